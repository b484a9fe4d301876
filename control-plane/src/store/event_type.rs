//! Declared event types in the database.

use super::{Change, Error, Result, Store, Tx};
use crate::model::{
    event_type::{EventType, EventTypeName},
    id::TenantId,
};

#[derive(sqlx::FromRow)]
struct Row {
    name: String,
    description: String,
    version: i64,
    created_at: i64,
    updated_at: i64,
}

impl TryFrom<Row> for EventType {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self> {
        Ok(Self {
            name: EventTypeName::parse(&row.name).map_err(Error::bug)?,
            description: row.description,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

const GET: &str = "
    select name, description, version, created_at, updated_at
    from event_type
    where tenant_id = $1 and name = $2";

impl Store {
    /// One event type.
    pub(crate) async fn event_type_get(
        &self,
        tenant: TenantId,
        name: &EventTypeName,
    ) -> Result<Option<EventType>> {
        let row: Option<Row> = read!(self, conn => {
            sqlx::query_as(GET)
                .bind(tenant.uuid())
                .bind(name.as_str())
                .fetch_optional(conn)
                .await
        })?;
        row.map(EventType::try_from).transpose()
    }

    /// Up to `limit` event types of a tenant by name, those after `after`.
    pub(crate) async fn event_type_list(
        &self,
        tenant: TenantId,
        after: &str,
        limit: i64,
    ) -> Result<Vec<EventType>> {
        // Names are ASCII; the order is that of their bytes, whatever collation a database has.
        const POSTGRES: &str = r#"
            select name, description, version, created_at, updated_at
            from event_type
            where tenant_id = $1 and name collate "C" > $2
            order by name collate "C"
            limit $3"#;
        const SQLITE: &str = "
            select name, description, version, created_at, updated_at
            from event_type
            where tenant_id = $1 and name > $2
            order by name
            limit $3";
        let sql = if self.is_sqlite() { SQLITE } else { POSTGRES };
        let rows: Vec<Row> = read!(self, conn => {
            let query = sqlx::query_as(sql).bind(tenant.uuid()).bind(after);
            query.bind(limit).fetch_all(conn).await
        })?;
        rows.into_iter().map(EventType::try_from).collect()
    }
}

impl Tx {
    /// One event type.
    pub(crate) async fn event_type_get(
        &mut self,
        tenant: TenantId,
        name: &EventTypeName,
    ) -> Result<Option<EventType>> {
        let row: Option<Row> = on!(self, tx => {
            sqlx::query_as(GET)
                .bind(tenant.uuid())
                .bind(name.as_str())
                .fetch_optional(&mut **tx)
                .await
        })?;
        row.map(EventType::try_from).transpose()
    }

    /// Adds an event type. Names are unique in a tenant; `Missing` means that the tenant is.
    pub(crate) async fn event_type_insert(
        &mut self,
        tenant: TenantId,
        new: &EventType,
    ) -> Result<Change> {
        const SQL: &str = "
            insert into event_type (tenant_id, name, description, version, created_at, updated_at)
            values ($1, $2, $3, $4, $5, $6)";
        let rows = on!(self, tx => {
            sqlx::query(SQL)
                .bind(tenant.uuid())
                .bind(new.name.as_str())
                .bind(&new.description)
                .bind(new.version)
                .bind(new.created_at)
                .bind(new.updated_at)
                .execute(&mut **tx)
                .await
                .map(|done| done.rows_affected())
        });
        Change::from_rows(rows)
    }

    /// Writes a changed event type over the version before it.
    pub(crate) async fn event_type_update(
        &mut self,
        tenant: TenantId,
        changed: &EventType,
    ) -> Result<Change> {
        const SQL: &str = "
            update event_type
            set description = $4, version = $3, updated_at = $5
            where tenant_id = $1 and name = $2 and version = $3 - 1";
        let rows = on!(self, tx => {
            sqlx::query(SQL)
                .bind(tenant.uuid())
                .bind(changed.name.as_str())
                .bind(changed.version)
                .bind(&changed.description)
                .bind(changed.updated_at)
                .execute(&mut **tx)
                .await
                .map(|done| done.rows_affected())
        });
        Change::from_rows(rows)
    }

    /// Deletes an event type.
    pub(crate) async fn event_type_delete(
        &mut self,
        tenant: TenantId,
        name: &EventTypeName,
    ) -> Result<Change> {
        const SQL: &str = "delete from event_type where tenant_id = $1 and name = $2";
        let rows = on!(self, tx => {
            sqlx::query(SQL)
                .bind(tenant.uuid())
                .bind(name.as_str())
                .execute(&mut **tx)
                .await
                .map(|done| done.rows_affected())
        });
        Change::from_rows(rows)
    }
}
