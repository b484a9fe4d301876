//! Sources in the database, without their secrets.

use uuid::Uuid;

use super::{Change, Error, Result, Store, Tx};
use crate::model::{
    id::{SourceId, TenantId},
    source::{Source, SourceState},
};

#[derive(sqlx::FromRow)]
struct Row {
    source_id: Uuid,
    tenant_id: Uuid,
    settings: String,
    state: i16,
    state_reason: String,
    version: i64,
    created_at: i64,
    updated_at: i64,
}

impl TryFrom<Row> for Source {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self> {
        Ok(Self {
            id: SourceId::from_uuid(row.source_id),
            tenant_id: TenantId::from_uuid(row.tenant_id),
            settings: serde_json::from_str(&row.settings).map_err(Error::bug)?,
            state: SourceState::from_column(row.state)
                .ok_or_else(|| Error::bug(format!("source state {}", row.state)))?,
            state_reason: row.state_reason,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "select source_id, tenant_id, settings, state, state_reason, version, created_at, \
             updated_at from source ",
            $rest
        )
    };
}

const GET: &str = select!("where source_id = $1");

/// A page of a tenant's sources.
pub(super) const LIST: &str =
    select!("where tenant_id = $1 and source_id > $2 order by source_id limit $3");

impl Store {
    /// One source.
    pub(crate) async fn source_get(&self, id: SourceId) -> Result<Option<Source>> {
        let row: Option<Row> = read!(self, conn => {
            sqlx::query_as(GET).bind(id.uuid()).fetch_optional(conn).await
        })?;
        row.map(Source::try_from).transpose()
    }

    /// The sources of these ids, as far as they exist, in any order.
    pub(crate) async fn source_get_many(&self, ids: &[Uuid]) -> Result<Vec<Source>> {
        const MANY: &str = select!("where source_id = any($1)");
        let rows: Vec<Row> = read_many!(self, ids, MANY, GET)?;
        rows.into_iter().map(Source::try_from).collect()
    }

    /// Up to `limit` sources of all tenants by id, those after `after`.
    pub(crate) async fn source_page(
        &self,
        after: Option<SourceId>,
        limit: i64,
    ) -> Result<Vec<Source>> {
        const SQL: &str = select!("where source_id > $1 order by source_id limit $2");
        let after = after.map_or(Uuid::nil(), SourceId::uuid);
        let rows: Vec<Row> = read!(self, conn => {
            sqlx::query_as(SQL).bind(after).bind(limit).fetch_all(conn).await
        })?;
        rows.into_iter().map(Source::try_from).collect()
    }

    /// Up to `limit` sources of a tenant by id, those after `after`.
    pub(crate) async fn source_list(
        &self,
        tenant: TenantId,
        after: Option<SourceId>,
        limit: i64,
    ) -> Result<Vec<Source>> {
        let after = after.map_or(Uuid::nil(), SourceId::uuid);
        let rows: Vec<Row> = read!(self, conn => {
            sqlx::query_as(LIST).bind(tenant.uuid()).bind(after).bind(limit).fetch_all(conn).await
        })?;
        rows.into_iter().map(Source::try_from).collect()
    }
}

impl Tx {
    /// One source.
    pub(crate) async fn source_get(&mut self, id: SourceId) -> Result<Option<Source>> {
        let row: Option<Row> = on!(self, tx => {
            sqlx::query_as(GET).bind(id.uuid()).fetch_optional(&mut **tx).await
        })?;
        row.map(Source::try_from).transpose()
    }

    /// Adds a source. Names are unique in a tenant; `Missing` means that the tenant is.
    pub(crate) async fn source_insert(&mut self, source: &Source) -> Result<Change> {
        const SQL: &str = "
            insert into source
                (source_id, tenant_id, name, settings, state, state_reason, version, created_at, updated_at)
            values ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        let settings = serde_json::to_string(&source.settings).map_err(Error::bug)?;
        let rows = on!(self, tx => {
            sqlx::query(SQL)
                .bind(source.id.uuid())
                .bind(source.tenant_id.uuid())
                .bind(&source.settings.name)
                .bind(settings)
                .bind(source.state.column())
                .bind(&source.state_reason)
                .bind(source.version)
                .bind(source.created_at)
                .bind(source.updated_at)
                .execute(&mut **tx)
                .await
                .map(|done| done.rows_affected())
        });
        Change::from_rows(rows)
    }

    /// Writes a source's changed settings and state over the version before it.
    pub(crate) async fn source_update(&mut self, source: &Source) -> Result<Change> {
        const SQL: &str = "
            update source
            set name = $3, settings = $4, state = $5, state_reason = $6, version = $2, updated_at = $7
            where source_id = $1 and version = $2 - 1";
        let settings = serde_json::to_string(&source.settings).map_err(Error::bug)?;
        let rows = on!(self, tx => {
            sqlx::query(SQL)
                .bind(source.id.uuid())
                .bind(source.version)
                .bind(&source.settings.name)
                .bind(settings)
                .bind(source.state.column())
                .bind(&source.state_reason)
                .bind(source.updated_at)
                .execute(&mut **tx)
                .await
                .map(|done| done.rows_affected())
        });
        Change::from_rows(rows)
    }

    /// Counts a change of what belongs to a source, and keeps its row from other writers until the transaction ends.
    pub(crate) async fn source_touch(&mut self, id: SourceId, now: i64) -> Result<Change> {
        const SQL: &str = "
            update source
            set version = version + 1, updated_at = $2
            where source_id = $1";
        let rows = on!(self, tx => {
            sqlx::query(SQL)
                .bind(id.uuid())
                .bind(now)
                .execute(&mut **tx)
                .await
                .map(|done| done.rows_affected())
        });
        Change::from_rows(rows)
    }

    /// Deletes a source, its secrets and what is known of its polling. What it brought stays.
    pub(crate) async fn source_delete(&mut self, id: SourceId) -> Result<Change> {
        const SQL: &str = "delete from source where source_id = $1";
        let rows = on!(self, tx => {
            sqlx::query(SQL)
                .bind(id.uuid())
                .execute(&mut **tx)
                .await
                .map(|done| done.rows_affected())
        });
        Change::from_rows(rows)
    }
}
