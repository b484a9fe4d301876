//! Declared event types in the database.

use std::collections::HashSet;

use uuid::Uuid;

use crate::model::{
    event_type::{EventType, EventTypeName},
    id::TenantId,
};
use crate::store::{Change, Error, OneOf, RegistryTx, Result, Store, view::reading::Reading};

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

/// A page of a tenant's event types, in the order of their bytes: PostgreSQL's column has the collation "C".
pub(in crate::store) const LIST: &str = "
    select name, description, version, created_at, updated_at
    from event_type
    where tenant_id = $1 and name > $2
    order by name
    limit $3";

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
        let rows: Vec<Row> = read!(self, conn => {
            sqlx::query_as(LIST).bind(tenant.uuid()).bind(after).bind(limit).fetch_all(conn).await
        })?;
        rows.into_iter().map(EventType::try_from).collect()
    }

    /// Up to `limit` names of event types of all tenants, by tenant and name, those after `after`.
    pub(crate) async fn event_type_page(
        &self,
        after: Option<(TenantId, EventTypeName)>,
        limit: i64,
    ) -> Result<Vec<(TenantId, EventTypeName)>> {
        const SQL: &str = "
            select tenant_id, name
            from event_type
            where (tenant_id, name) > ($1, $2)
            order by tenant_id, name
            limit $3";
        let (tenant, name) = after.map_or((Uuid::nil(), String::new()), |(tenant, name)| {
            (tenant.uuid(), name.as_str().to_owned())
        });
        let rows: Vec<(Uuid, String)> = read!(self, conn => {
            sqlx::query_as(SQL).bind(tenant).bind(name).bind(limit).fetch_all(conn).await
        })?;
        rows.into_iter().map(key_of).collect()
    }

    /// Those of these event types that are declared.
    pub(crate) async fn event_type_find_many(
        &self,
        names: &[(TenantId, EventTypeName)],
    ) -> Result<HashSet<(TenantId, EventTypeName)>> {
        const MANY: &str = "
            select tenant_id, name
            from event_type
            where (tenant_id, name) in (select * from unnest($1::uuid[], $2::text[]))";
        const ONE: &str =
            "select tenant_id, name from event_type where tenant_id = $1 and name = $2";
        let mut reading = Reading::begin(self).await?;
        let answer = match reading.conn() {
            OneOf::Postgres(conn) => {
                let tenants = names.iter().map(|(tenant, _)| tenant.uuid());
                let texts = names.iter().map(|(_, name)| name.as_str());
                let query = sqlx::query_as(MANY).bind(tenants.collect::<Vec<_>>());
                query.bind(texts.collect::<Vec<_>>()).fetch_all(conn).await
            }
            OneOf::Sqlite(conn) => {
                let one_by_one = async {
                    let mut rows = Vec::new();
                    for (tenant, name) in names {
                        let query = sqlx::query_as(ONE).bind(tenant.uuid()).bind(name.as_str());
                        rows.extend(query.fetch_optional(&mut *conn).await?);
                    }
                    Ok(rows)
                };
                one_by_one.await
            }
        };
        let rows: Vec<(Uuid, String)> = reading.end(answer)?;
        rows.into_iter().map(key_of).collect()
    }
}

fn key_of((tenant, name): (Uuid, String)) -> Result<(TenantId, EventTypeName)> {
    let name = EventTypeName::parse(&name).map_err(Error::bug)?;
    Ok((TenantId::from_uuid(tenant), name))
}

impl RegistryTx {
    /// One event type.
    pub(crate) async fn event_type_get(
        &mut self,
        tenant: TenantId,
        name: &EventTypeName,
    ) -> Result<Option<EventType>> {
        let row: Option<Row> = on!(&mut self.on, tx => {
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
        let rows = execute!(
            self,
            SQL,
            tenant.uuid(),
            new.name.as_str(),
            &new.description,
            new.version,
            new.created_at,
            new.updated_at
        );
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
        let rows = execute!(
            self,
            SQL,
            tenant.uuid(),
            changed.name.as_str(),
            changed.version,
            &changed.description,
            changed.updated_at
        );
        Change::from_rows(rows)
    }

    /// Deletes an event type.
    pub(crate) async fn event_type_delete(
        &mut self,
        tenant: TenantId,
        name: &EventTypeName,
    ) -> Result<Change> {
        const SQL: &str = "delete from event_type where tenant_id = $1 and name = $2";
        let rows = execute!(self, SQL, tenant.uuid(), name.as_str());
        Change::from_rows(rows)
    }
}
