//! Endpoints in the database, without their secrets.

use uuid::Uuid;

use super::{Change, Error, Result, Store, Tx};
use crate::model::{
    endpoint::{Endpoint, EndpointState},
    id::{EndpointId, TenantId},
};

#[derive(sqlx::FromRow)]
struct Row {
    endpoint_id: Uuid,
    tenant_id: Uuid,
    settings: String,
    state: i16,
    state_reason: String,
    version: i64,
    created_at: i64,
    updated_at: i64,
}

impl TryFrom<Row> for Endpoint {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self> {
        Ok(Self {
            id: EndpointId::from_uuid(row.endpoint_id),
            tenant_id: TenantId::from_uuid(row.tenant_id),
            settings: serde_json::from_str(&row.settings).map_err(Error::bug)?,
            state: EndpointState::from_column(row.state)
                .ok_or_else(|| Error::bug(format!("endpoint state {}", row.state)))?,
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
            "select endpoint_id, tenant_id, settings, state, state_reason, version, created_at, \
             updated_at from endpoint ",
            $rest
        )
    };
}

const GET: &str = select!("where endpoint_id = $1");

const NAMED: &str = select!("where tenant_id = $1 and name = $2");

/// A page of a tenant's endpoints.
pub(super) const LIST: &str =
    select!("where tenant_id = $1 and endpoint_id > $2 order by endpoint_id limit $3");

impl Store {
    /// The endpoint of a tenant that has this name.
    pub(crate) async fn endpoint_named(
        &self,
        tenant: TenantId,
        name: &str,
    ) -> Result<Option<Endpoint>> {
        let row: Option<Row> = read!(self, conn => {
            sqlx::query_as(NAMED).bind(tenant.uuid()).bind(name).fetch_optional(conn).await
        })?;
        row.map(Endpoint::try_from).transpose()
    }

    /// One endpoint.
    pub(crate) async fn endpoint_get(&self, id: EndpointId) -> Result<Option<Endpoint>> {
        let row: Option<Row> = read!(self, conn => {
            sqlx::query_as(GET).bind(id.uuid()).fetch_optional(conn).await
        })?;
        row.map(Endpoint::try_from).transpose()
    }

    /// The endpoints of these ids, as far as they exist, in any order.
    pub(crate) async fn endpoint_get_many(&self, ids: &[Uuid]) -> Result<Vec<Endpoint>> {
        const MANY: &str = select!("where endpoint_id = any($1)");
        let rows: Vec<Row> = read_many!(self, ids, MANY, GET)?;
        rows.into_iter().map(Endpoint::try_from).collect()
    }

    /// Up to `limit` endpoints of all tenants by id, those after `after`.
    pub(crate) async fn endpoint_page(
        &self,
        after: Option<EndpointId>,
        limit: i64,
    ) -> Result<Vec<Endpoint>> {
        const SQL: &str = select!("where endpoint_id > $1 order by endpoint_id limit $2");
        let after = after.map_or(Uuid::nil(), EndpointId::uuid);
        let rows: Vec<Row> = read!(self, conn => {
            sqlx::query_as(SQL).bind(after).bind(limit).fetch_all(conn).await
        })?;
        rows.into_iter().map(Endpoint::try_from).collect()
    }

    /// Up to `limit` endpoints of a tenant by id, those after `after`.
    pub(crate) async fn endpoint_list(
        &self,
        tenant: TenantId,
        after: Option<EndpointId>,
        limit: i64,
    ) -> Result<Vec<Endpoint>> {
        let after = after.map_or(Uuid::nil(), EndpointId::uuid);
        let rows: Vec<Row> = read!(self, conn => {
            sqlx::query_as(LIST).bind(tenant.uuid()).bind(after).bind(limit).fetch_all(conn).await
        })?;
        rows.into_iter().map(Endpoint::try_from).collect()
    }
}

impl Tx {
    /// The endpoint of a tenant that has this name.
    pub(crate) async fn endpoint_named(
        &mut self,
        tenant: TenantId,
        name: &str,
    ) -> Result<Option<Endpoint>> {
        let row: Option<Row> = on!(self, tx => {
            sqlx::query_as(NAMED).bind(tenant.uuid()).bind(name).fetch_optional(&mut **tx).await
        })?;
        row.map(Endpoint::try_from).transpose()
    }

    /// One endpoint.
    pub(crate) async fn endpoint_get(&mut self, id: EndpointId) -> Result<Option<Endpoint>> {
        let row: Option<Row> = on!(self, tx => {
            sqlx::query_as(GET).bind(id.uuid()).fetch_optional(&mut **tx).await
        })?;
        row.map(Endpoint::try_from).transpose()
    }

    /// Adds an endpoint. Names are unique in a tenant; `Missing` means that the tenant is.
    pub(crate) async fn endpoint_insert(&mut self, endpoint: &Endpoint) -> Result<Change> {
        const SQL: &str = "
            insert into endpoint
                (endpoint_id, tenant_id, name, settings, state, state_reason, version, created_at, updated_at)
            values ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        let settings = serde_json::to_string(&endpoint.settings).map_err(Error::bug)?;
        let rows = on!(self, tx => {
            sqlx::query(SQL)
                .bind(endpoint.id.uuid())
                .bind(endpoint.tenant_id.uuid())
                .bind(&endpoint.settings.name)
                .bind(settings)
                .bind(endpoint.state.column())
                .bind(&endpoint.state_reason)
                .bind(endpoint.version)
                .bind(endpoint.created_at)
                .bind(endpoint.updated_at)
                .execute(&mut **tx)
                .await
                .map(|done| done.rows_affected())
        });
        Change::from_rows(rows)
    }

    /// Writes an endpoint's changed settings and state over the version before it.
    pub(crate) async fn endpoint_update(&mut self, endpoint: &Endpoint) -> Result<Change> {
        const SQL: &str = "
            update endpoint
            set name = $3, settings = $4, state = $5, state_reason = $6, version = $2, updated_at = $7
            where endpoint_id = $1 and version = $2 - 1";
        let settings = serde_json::to_string(&endpoint.settings).map_err(Error::bug)?;
        let rows = on!(self, tx => {
            sqlx::query(SQL)
                .bind(endpoint.id.uuid())
                .bind(endpoint.version)
                .bind(&endpoint.settings.name)
                .bind(settings)
                .bind(endpoint.state.column())
                .bind(&endpoint.state_reason)
                .bind(endpoint.updated_at)
                .execute(&mut **tx)
                .await
                .map(|done| done.rows_affected())
        });
        Change::from_rows(rows)
    }

    /// Counts a change of what belongs to an endpoint, and keeps its row from other writers until the transaction ends.
    pub(crate) async fn endpoint_touch(&mut self, id: EndpointId, now: i64) -> Result<Change> {
        const SQL: &str = "
            update endpoint
            set version = version + 1, updated_at = $2
            where endpoint_id = $1";
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

    /// Disables an endpoint, unless it is disabled or gone already.
    pub(crate) async fn endpoint_disable(
        &mut self,
        id: EndpointId,
        reason: &str,
        now: i64,
    ) -> Result<Change> {
        const SQL: &str = "
            update endpoint
            set state = 3, state_reason = $2, version = version + 1, updated_at = $3
            where endpoint_id = $1 and state <> 3";
        let rows = on!(self, tx => {
            sqlx::query(SQL)
                .bind(id.uuid())
                .bind(reason)
                .bind(now)
                .execute(&mut **tx)
                .await
                .map(|done| done.rows_affected())
        });
        Change::from_rows(rows)
    }

    /// Deletes an endpoint and its secrets.
    pub(crate) async fn endpoint_delete(&mut self, id: EndpointId) -> Result<Change> {
        const SQL: &str = "delete from endpoint where endpoint_id = $1";
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
