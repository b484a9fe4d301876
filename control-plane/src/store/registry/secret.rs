//! Sealed secrets in the database, of whatever has secrets: signing keys and values of headers of endpoints, and what
//! requests to sources are verified with or polling sends. Rows go with their owner, by foreign keys.

use uuid::Uuid;

use crate::store::{Error, RegistryTx, Result, Store};
use crate::{
    model::{
        id::{SecretId, TenantId},
        object::ObjectKind,
        secret::{Binding, Owner, Purpose, SealedSecret},
    },
    vault::SealedUnder,
};

/// How many owners [`Store::secret_retired`] names at most.
const RETIRED_MAX: i64 = 500;

#[derive(sqlx::FromRow)]
struct Row {
    secret_id: Uuid,
    version: i32,
    tenant_id: Uuid,
    owner_kind: i16,
    owner_id: Uuid,
    purpose: i16,
    name: String,
    kek_id: String,
    sealed: Vec<u8>,
    fingerprint: String,
    retires_at: Option<i64>,
    created_at: i64,
}

impl TryFrom<Row> for SealedSecret {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self> {
        let purpose = Purpose::from_columns(row.purpose, row.name);
        Ok(Self {
            binding: Binding {
                tenant_id: TenantId::from_uuid(row.tenant_id),
                owner: owner(row.owner_kind, row.owner_id)?,
                id: SecretId::from_uuid(row.secret_id),
                version: row.version,
                purpose: purpose.ok_or_else(|| Error::bug(format!("purpose {}", row.purpose)))?,
            },
            kek_id: row.kek_id,
            sealed: row.sealed,
            fingerprint: row.fingerprint,
            retires_at: row.retires_at,
            created_at: row.created_at,
        })
    }
}

fn owner(kind: i16, id: Uuid) -> Result<Owner> {
    let kind = ObjectKind::from_column(kind);
    let kind = kind.ok_or_else(|| Error::bug("kind of an owner"))?;
    Ok(Owner::new(kind, id))
}

fn typed(rows: Vec<Row>) -> Result<Vec<SealedSecret>> {
    rows.into_iter().map(SealedSecret::try_from).collect()
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "select secret_id, version, tenant_id, owner_kind, owner_id, purpose, name, kek_id, sealed, \
             fingerprint, retires_at, created_at from secret ",
            $rest
        )
    };
}

// Ids rise with time, so the newest come first.
const OF_OWNER: &str = select!(
    "where owner_id = $1 and owner_kind = $2 \
     order by retires_at is not null, secret_id desc, version desc"
);

/// What a page of a tenant's endpoints or sources has.
pub(in crate::store) const RANGE: &str = select!(
    "where owner_id >= $3 and owner_id <= $4 and owner_kind = $2 and tenant_id = $1 \
     order by owner_id, retires_at is not null, secret_id desc, version desc"
);

impl Store {
    /// The secrets of one owner: the current ones, then the former ones, of each the newest first.
    pub(crate) async fn secret_list(&self, owner: Owner) -> Result<Vec<SealedSecret>> {
        let rows: Vec<Row> = read!(self, conn => {
            let query = sqlx::query_as(OF_OWNER).bind(owner.uuid());
            query.bind(owner.kind().column()).fetch_all(conn).await
        })?;
        typed(rows)
    }

    /// The secrets of the owners of these ids, of each in the order of [`Store::secret_list`].
    pub(crate) async fn secret_list_many(
        &self,
        kind: ObjectKind,
        ids: &[Uuid],
    ) -> Result<Vec<SealedSecret>> {
        const MANY: &str = select!(
            "where owner_id = any($1) and owner_kind = $2 \
             order by owner_id, retires_at is not null, secret_id desc, version desc"
        );
        let rows: Vec<Row> = read_many!(self, ids, MANY, OF_OWNER, kind.column())?;
        typed(rows)
    }

    /// The secrets of all owners of a kind from `first` to `last`, whatever their tenant, by owner.
    pub(crate) async fn secret_page(&self, first: Owner, last: Owner) -> Result<Vec<SealedSecret>> {
        const SQL: &str = select!(
            "where owner_kind = $1 and owner_id >= $2 and owner_id <= $3 \
             order by owner_id, retires_at is not null, secret_id desc, version desc"
        );
        let rows: Vec<Row> = read!(self, conn => {
            let query = sqlx::query_as(SQL).bind(first.kind().column());
            query.bind(first.uuid()).bind(last.uuid()).fetch_all(conn).await
        })?;
        typed(rows)
    }

    /// The secrets of the tenant's owners of a kind from `first` to `last`, by owner, of each in the order of
    /// [`Store::secret_list`].
    pub(crate) async fn secret_list_range(
        &self,
        tenant: TenantId,
        first: Owner,
        last: Owner,
    ) -> Result<Vec<SealedSecret>> {
        let rows: Vec<Row> = read!(self, conn => {
            let query = sqlx::query_as(RANGE).bind(tenant.uuid()).bind(first.kind().column());
            query.bind(first.uuid()).bind(last.uuid()).fetch_all(conn).await
        })?;
        typed(rows)
    }

    /// Up to `limit` secrets that are sealed under another master key than `kek_id`, those after `after`.
    pub(crate) async fn secret_list_other_kek(
        &self,
        kek_id: &str,
        after: (SecretId, i32),
        limit: i64,
    ) -> Result<Vec<SealedSecret>> {
        const SQL: &str = select!(
            "where kek_id <> $1 and (secret_id, version) > ($2, $3) \
             order by secret_id, version limit $4"
        );
        let rows: Vec<Row> = read!(self, conn => {
            let query = sqlx::query_as(SQL).bind(kek_id).bind(after.0.uuid()).bind(after.1);
            query.bind(limit).fetch_all(conn).await
        })?;
        typed(rows)
    }

    /// How many secrets are sealed under which master key.
    pub(crate) async fn secret_sealed_under(&self) -> Result<Vec<SealedUnder>> {
        const SQL: &str =
            "select kek_id, count(*) as secrets from secret group by kek_id order by kek_id";
        let rows: Vec<(String, i64)> =
            read!(self, conn => sqlx::query_as(SQL).fetch_all(conn).await)?;
        let rows = rows.into_iter();
        let typed = rows.map(|(kek_id, secrets)| SealedUnder { kek_id, secrets });
        Ok(typed.collect())
    }

    /// The owners that have a former secret whose time is over at `now`, up to 500.
    pub(crate) async fn secret_retired(&self, now: i64) -> Result<Vec<Owner>> {
        const SQL: &str =
            "select distinct owner_kind, owner_id from secret where retires_at <= $1 limit $2";
        let owners: Vec<(i16, Uuid)> = read!(self, conn => {
            sqlx::query_as(SQL).bind(now).bind(RETIRED_MAX).fetch_all(conn).await
        })?;
        owners
            .into_iter()
            .map(|(kind, id)| owner(kind, id))
            .collect()
    }
}

impl RegistryTx {
    /// The secrets of one owner, in the order of [`Store::secret_list`].
    pub(crate) async fn secret_list(&mut self, owner: Owner) -> Result<Vec<SealedSecret>> {
        let rows: Vec<Row> = on!(&mut self.on, tx => {
            let query = sqlx::query_as(OF_OWNER).bind(owner.uuid());
            query.bind(owner.kind().column()).fetch_all(&mut **tx).await
        })?;
        typed(rows)
    }

    /// Adds a secret.
    pub(crate) async fn secret_insert(&mut self, secret: &SealedSecret) -> Result<()> {
        const SQL: &str = "
            insert into secret
                (secret_id, version, tenant_id, owner_kind, owner_id, purpose, name, kek_id, sealed, fingerprint,
                 retires_at, created_at)
            values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
        let binding = &secret.binding;
        execute!(
            self,
            SQL,
            binding.id.uuid(),
            binding.version,
            binding.tenant_id.uuid(),
            binding.owner.kind().column(),
            binding.owner.uuid(),
            binding.purpose.column(),
            binding.purpose.name(),
            &secret.kek_id,
            &secret.sealed,
            &secret.fingerprint,
            secret.retires_at,
            secret.created_at
        )?;
        Ok(())
    }

    /// Sets until when an owner's secrets for a purpose are good at most. One whose time is over before that keeps its
    /// time.
    pub(crate) async fn secret_retire(
        &mut self,
        owner: Owner,
        purpose: &Purpose,
        retires_at: i64,
    ) -> Result<()> {
        const SQL: &str = "
            update secret
            set retires_at = $5
            where owner_kind = $1 and owner_id = $2 and purpose = $3 and name = $4
              and (retires_at is null or retires_at > $5)";
        execute!(
            self,
            SQL,
            owner.kind().column(),
            owner.uuid(),
            purpose.column(),
            purpose.name(),
            retires_at
        )?;
        Ok(())
    }

    /// Deletes an owner's secrets for a purpose.
    pub(crate) async fn secret_delete(&mut self, owner: Owner, purpose: &Purpose) -> Result<()> {
        const SQL: &str = "
            delete from secret
            where owner_kind = $1 and owner_id = $2 and purpose = $3 and name = $4";
        execute!(
            self,
            SQL,
            owner.kind().column(),
            owner.uuid(),
            purpose.column(),
            purpose.name()
        )?;
        Ok(())
    }

    /// Deletes an owner's former secrets whose time is over at `now`.
    pub(crate) async fn secret_prune(&mut self, owner: Owner, now: i64) -> Result<()> {
        const SQL: &str =
            "delete from secret where owner_kind = $1 and owner_id = $2 and retires_at <= $3";
        on!(&mut self.on, tx => {
            let query = sqlx::query(SQL).bind(owner.kind().column()).bind(owner.uuid());
            query.bind(now).execute(&mut **tx).await.map(drop)
        })?;
        Ok(())
    }

    /// Replaces the record of a secret that was sealed anew under another master key, unless it changed meanwhile.
    pub(crate) async fn secret_rewrap(
        &mut self,
        former: &SealedSecret,
        rewrapped: &SealedSecret,
    ) -> Result<()> {
        const SQL: &str = "
            update secret
            set sealed = $3, kek_id = $4
            where secret_id = $1 and version = $2 and kek_id = $5";
        execute!(
            self,
            SQL,
            former.binding.id.uuid(),
            former.binding.version,
            &rewrapped.sealed,
            &rewrapped.kek_id,
            &former.kek_id
        )?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
