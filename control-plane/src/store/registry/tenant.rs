//! Tenants in the database.

use uuid::Uuid;

use crate::model::{id::TenantId, tenant::Tenant};
use crate::store::{
    Change, Error, RegistryTx, Result, Store, registry::change::is_foreign_key, shard,
};

/// What became of a deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(crate) enum TenantDeletion {
    /// The tenant, its event types and its keys are gone.
    Done,
    /// The tenant still has endpoints or sources. The transaction can only be rolled back.
    InUse,
    /// There was no such tenant.
    Missing,
}

#[derive(sqlx::FromRow)]
struct Row {
    tenant_id: Uuid,
    shard: i16,
    settings: String,
    version: i64,
    created_at: i64,
    updated_at: i64,
}

impl TryFrom<Row> for Tenant {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self> {
        Ok(Self {
            id: TenantId::from_uuid(row.tenant_id),
            shard: shard(row.shard)?,
            settings: serde_json::from_str(&row.settings).map_err(Error::bug)?,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "select tenant_id, shard, settings, version, created_at, updated_at from tenant ",
            $rest
        )
    };
}

const GET: &str = select!("where tenant_id = $1");

/// A page of all tenants.
pub(in crate::store) const LIST: &str = select!("where tenant_id > $1 order by tenant_id limit $2");

impl Store {
    /// One tenant.
    pub(crate) async fn tenant_get(&self, id: TenantId) -> Result<Option<Tenant>> {
        let row: Option<Row> = read!(self, conn => {
            sqlx::query_as(GET).bind(id.uuid()).fetch_optional(conn).await
        })?;
        row.map(Tenant::try_from).transpose()
    }

    /// The tenants of these ids, as far as they exist, in any order.
    pub(crate) async fn tenant_get_many(&self, ids: &[Uuid]) -> Result<Vec<Tenant>> {
        const MANY: &str = select!("where tenant_id = any($1)");
        let rows: Vec<Row> = read_many!(self, ids, MANY, GET)?;
        rows.into_iter().map(Tenant::try_from).collect()
    }

    /// Up to `limit` tenants by id, those after `after`.
    pub(crate) async fn tenant_list(
        &self,
        after: Option<TenantId>,
        limit: i64,
    ) -> Result<Vec<Tenant>> {
        let after = after.map_or(Uuid::nil(), TenantId::uuid);
        let rows: Vec<Row> = read!(self, conn => {
            sqlx::query_as(LIST).bind(after).bind(limit).fetch_all(conn).await
        })?;
        rows.into_iter().map(Tenant::try_from).collect()
    }
}

impl RegistryTx {
    /// One tenant.
    pub(crate) async fn tenant_get(&mut self, id: TenantId) -> Result<Option<Tenant>> {
        let row: Option<Row> = on!(&mut self.on, tx => {
            sqlx::query_as(GET).bind(id.uuid()).fetch_optional(&mut **tx).await
        })?;
        row.map(Tenant::try_from).transpose()
    }

    /// Adds a tenant. Names are unique.
    pub(crate) async fn tenant_insert(&mut self, tenant: &Tenant) -> Result<Change> {
        const SQL: &str = "
            insert into tenant (tenant_id, shard, name, settings, version, created_at, updated_at)
            values ($1, $2, $3, $4, $5, $6, $7)";
        let settings = serde_json::to_string(&tenant.settings).map_err(Error::bug)?;
        let rows = execute!(
            self,
            SQL,
            tenant.id.uuid(),
            tenant.shard.column(),
            &tenant.settings.name,
            settings,
            tenant.version,
            tenant.created_at,
            tenant.updated_at
        );
        Change::from_rows(rows)
    }

    /// Writes a changed tenant over the version before it.
    pub(crate) async fn tenant_update(&mut self, tenant: &Tenant) -> Result<Change> {
        const SQL: &str = "
            update tenant
            set name = $3, settings = $4, version = $2, updated_at = $5
            where tenant_id = $1 and version = $2 - 1";
        let settings = serde_json::to_string(&tenant.settings).map_err(Error::bug)?;
        let rows = execute!(
            self,
            SQL,
            tenant.id.uuid(),
            tenant.version,
            &tenant.settings.name,
            settings,
            tenant.updated_at
        );
        Change::from_rows(rows)
    }

    /// Deletes a tenant without endpoints and sources, and its event types and keys with it.
    pub(crate) async fn tenant_delete(&mut self, id: TenantId) -> Result<TenantDeletion> {
        const SQL: &str = "delete from tenant where tenant_id = $1";
        let rows = execute!(self, SQL, id.uuid());
        match rows {
            Ok(0) => Ok(TenantDeletion::Missing),
            Ok(_) => Ok(TenantDeletion::Done),
            Err(error) if is_foreign_key(&error) => Ok(TenantDeletion::InUse),
            Err(error) => Err(error.into()),
        }
    }
}
