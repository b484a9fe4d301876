//! Records of who did what: written with what they are of, listed for admins, and forgotten when they are old.

use sqlx::FromRow;
use uuid::Uuid;

use super::{
    Error, Result, Store, Tx,
    view::reading::Reading,
    view::scan::{SLICE_ROWS_MAX, Scan, Scanned, last_below},
};
use crate::model::{
    audit::{Actor, AuditOutcome, AuditRecord},
    id::{AuditId, KeyId, Shard, TenantId, uuid_floor},
};

/// How many records one statement forgets.
const RETIRED_ROWS_MAX: i64 = 1_000;

/// Which records to list, the newest first.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct AuditFilter<'a> {
    /// Only of this tenant.
    pub tenant_id: Option<TenantId>,
    /// Only of this key.
    pub key_id: Option<KeyId>,
    /// Only of this target.
    pub target: Option<&'a str>,
    /// Only of this method.
    pub method: Option<&'a str>,
    /// Only with this outcome.
    pub outcome: Option<AuditOutcome>,
    /// The first id that may be listed.
    pub from: Uuid,
    /// The last one.
    pub through: Uuid,
    /// How many.
    pub limit: i64,
}

/// What a page looks at: all that an index has of it, the narrowest first.
#[derive(Debug, Clone, Copy)]
pub(super) enum Drive<'a> {
    Target(&'a str),
    Key(KeyId),
    Tenant(TenantId),
    Denied,
    All,
}

macro_rules! floor {
    ($condition:literal) => {
        concat!(
            "select audit_id from audit where audit_id between $1 and $2 ",
            $condition,
            " order by audit_id desc limit 1 offset $3"
        )
    };
}

macro_rules! list {
    ($condition:literal) => {
        concat!(
            "select audit_id, recorded_at, tenant_id, key_id, claimed_actor, method, target, reason, request_id, outcome, \
                 changes
             from audit
             where audit_id between $1 and $2
               and ($3 is null or tenant_id = $3) and ($4 is null or key_id = $4)
               and ($5 is null or target = $5) and ($6 is null or method = $6)
               and ($7 is null or outcome = $7) ",
            $condition,
            " order by audit_id desc limit $8"
        )
    };
}

#[derive(FromRow)]
struct Row {
    audit_id: Uuid,
    recorded_at: i64,
    tenant_id: Option<Uuid>,
    key_id: Option<Uuid>,
    claimed_actor: String,
    method: String,
    target: String,
    reason: String,
    request_id: String,
    outcome: i16,
    changes: String,
}

impl TryFrom<Row> for AuditRecord {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self> {
        let claimed = row.claimed_actor;
        let actor = row.key_id.map_or(Actor::Posthorn, |key_id| Actor::Key {
            key_id: KeyId::from_uuid(key_id),
            claimed,
        });
        let outcome = AuditOutcome::from_column(row.outcome);
        Ok(Self {
            id: AuditId::from_uuid(row.audit_id),
            recorded_at: row.recorded_at,
            tenant_id: row.tenant_id.map(TenantId::from_uuid),
            actor,
            method: row.method,
            target: row.target,
            reason: row.reason,
            request_id: row.request_id,
            outcome: outcome.ok_or_else(|| Error::bug(format!("outcome {}", row.outcome)))?,
            changes: serde_json::from_str(&row.changes).map_err(Error::bug)?,
        })
    }
}

impl<'a> Drive<'a> {
    fn of(filter: &AuditFilter<'a>) -> Self {
        if let Some(target) = filter.target {
            Self::Target(target)
        } else if let Some(key_id) = filter.key_id {
            Self::Key(key_id)
        } else if let Some(tenant_id) = filter.tenant_id {
            Self::Tenant(tenant_id)
        } else if filter.outcome == Some(AuditOutcome::Denied) {
            Self::Denied
        } else {
            Self::All
        }
    }

    /// The statement that says where a slice stops, and the one that reads what is in it.
    pub(super) fn statements(self) -> [&'static str; 2] {
        match self {
            Self::Target(_) => [
                floor!("and target = $4 and target <> ''"),
                list!("and target = $5 and target <> ''"),
            ],
            Self::Key(_) => [floor!("and key_id = $4"), list!("and key_id = $4")],
            Self::Tenant(_) => [floor!("and tenant_id = $4"), list!("and tenant_id = $3")],
            Self::Denied => [floor!("and outcome = 2"), list!("and outcome = 2")],
            Self::All => [floor!(""), list!("")],
        }
    }
}

impl Store {
    /// Records, the newest first.
    pub(crate) async fn audit_list(
        &self,
        filter: &AuditFilter<'_>,
    ) -> Result<Scanned<AuditRecord>> {
        let mut reading = Reading::begin(self).await?;
        let mut scan = Scan::new(filter.limit);
        while let Some(slice) = scan.next() {
            let looked_at = AuditFilter {
                through: slice.after.map_or(filter.through, last_below),
                limit: slice.limit,
                ..*filter
            };
            scan.add(audit_slice(&mut reading, &looked_at).await?);
        }
        Ok(scan.end())
    }

    /// Forgets the records from before an instant. Returns how many there were.
    pub(crate) async fn audit_retire(&self, before: i64) -> Result<u64> {
        const SQL: &str = "
            delete from audit
            where audit_id in (select audit_id from audit where audit_id < $1 order by audit_id limit $2)";
        let mut retired = 0;
        loop {
            let mut conn = self.acquire().await?;
            let rows = on!(&mut conn, conn => {
                sqlx::query(SQL)
                    .bind(uuid_floor(before))
                    .bind(RETIRED_ROWS_MAX)
                    .execute(&mut **conn)
                    .await
                    .map(|done| done.rows_affected())
            })?;
            retired += rows;
            if rows == 0 {
                return Ok(retired);
            }
        }
    }
}

async fn audit_slice(
    reading: &mut Reading,
    filter: &AuditFilter<'_>,
) -> Result<Scanned<AuditRecord>> {
    let drive = Drive::of(filter);
    let [floor, list] = drive.statements();
    let stopped_at: Option<Uuid> = read_on!(reading, conn => {
        let query = sqlx::query_scalar(floor).bind(filter.from).bind(filter.through);
        let query = query.bind(SLICE_ROWS_MAX - 1);
        let query = match drive {
            Drive::Target(target) => query.bind(target),
            Drive::Key(id) => query.bind(id.uuid()),
            Drive::Tenant(id) => query.bind(id.uuid()),
            Drive::Denied | Drive::All => query,
        };
        query.fetch_optional(conn).await
    })?;
    let rows: Vec<Row> = read_on!(reading, conn => {
        sqlx::query_as(list)
            .bind(stopped_at.unwrap_or(filter.from))
            .bind(filter.through)
            .bind(filter.tenant_id.map(TenantId::uuid))
            .bind(filter.key_id.map(KeyId::uuid))
            .bind(filter.target)
            .bind(filter.method)
            .bind(filter.outcome.map(AuditOutcome::column))
            .bind(filter.limit)
            .fetch_all(conn)
            .await
    })?;
    Ok(Scanned {
        rows: rows
            .into_iter()
            .map(AuditRecord::try_from)
            .collect::<Result<_>>()?,
        stopped_at,
    })
}

impl<S> Tx<S> {
    /// Writes a record.
    pub(crate) async fn audit_insert(&mut self, record: &AuditRecord) -> Result<()> {
        const SQL: &str = "
            insert into audit
                (audit_id, shard, recorded_at, tenant_id, key_id, claimed_actor, method, target, reason, request_id, outcome,
                 changes)
            values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
        let changes = serde_json::to_string(&record.changes).map_err(Error::bug)?;
        execute!(
            self,
            SQL,
            record.id.uuid(),
            self.shard.map(Shard::column),
            record.recorded_at,
            record.tenant_id.map(TenantId::uuid),
            record.actor.key_id().map(KeyId::uuid),
            record.actor.claimed(),
            &record.method,
            &record.target,
            &record.reason,
            &record.request_id,
            record.outcome.column(),
            changes
        )?;
        Ok(())
    }
}
