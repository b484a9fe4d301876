//! Endpoints and sources in the database, without their secrets: one table, of which each kind of objects has its rows.

use uuid::Uuid;

use crate::model::{
    id::{EndpointId, Id, TenantId},
    object::{Object, ObjectId, ObjectKind, ObjectState, Settings},
};
use crate::store::{Change, Error, RegistryTx, Result, Store, shard};

#[derive(sqlx::FromRow)]
struct Row {
    object_id: Uuid,
    tenant_id: Uuid,
    shard: i16,
    settings: String,
    state: i16,
    state_reason: String,
    version: i64,
    created_at: i64,
    updated_at: i64,
}

impl<S: Settings> TryFrom<Row> for Object<S> {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self> {
        let state = ObjectState::from_column(row.state);
        Ok(Self {
            id: S::Id::from_uuid(row.object_id),
            tenant_id: TenantId::from_uuid(row.tenant_id),
            shard: shard(row.shard)?,
            settings: serde_json::from_str(&row.settings).map_err(Error::bug)?,
            state: state.ok_or_else(|| Error::bug(format!("state {}", row.state)))?,
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
            "select o.object_id, o.tenant_id, t.shard, o.settings, o.state, o.state_reason, o.version, o.created_at, \
                 o.updated_at \
             from object o join tenant t on t.tenant_id = o.tenant_id ",
            $rest
        )
    };
}

const GET: &str = select!("where o.object_id = $1 and o.kind = $2");

const NAMED: &str = select!("where o.kind = $1 and o.tenant_id = $2 and o.name = $3");

/// A page of those of a kind that a tenant has.
pub(in crate::store) const LIST: &str = select!(
    "where o.kind = $1 and o.tenant_id = $2 and o.object_id > $3 order by o.object_id limit $4"
);

fn typed<S: Settings>(rows: impl IntoIterator<Item = Row>) -> Result<Vec<Object<S>>> {
    rows.into_iter().map(Object::try_from).collect()
}

impl Store {
    /// One object.
    pub(crate) async fn object_get<I: ObjectId>(
        &self,
        id: I,
    ) -> Result<Option<Object<I::Settings>>> {
        let row: Option<Row> = read!(self, conn => {
            let query = sqlx::query_as(GET).bind(id.uuid());
            query.bind(I::Settings::KIND.column()).fetch_optional(conn).await
        })?;
        row.map(Object::try_from).transpose()
    }

    /// The object of a tenant that has this name.
    pub(crate) async fn object_named<S: Settings>(
        &self,
        tenant: TenantId,
        name: &str,
    ) -> Result<Option<Object<S>>> {
        let row: Option<Row> = read!(self, conn => {
            let query = sqlx::query_as(NAMED).bind(S::KIND.column()).bind(tenant.uuid());
            query.bind(name).fetch_optional(conn).await
        })?;
        row.map(Object::try_from).transpose()
    }

    /// The objects of these ids, as far as they exist, in any order.
    pub(crate) async fn object_get_many<S: Settings>(
        &self,
        ids: &[Uuid],
    ) -> Result<Vec<Object<S>>> {
        const MANY: &str = select!("where o.object_id = any($1) and o.kind = $2");
        let rows: Vec<Row> = read_many!(self, ids, MANY, GET, S::KIND.column())?;
        typed(rows)
    }

    /// Up to `limit` objects of all tenants by id, those after `after`.
    pub(crate) async fn object_page<I: ObjectId>(
        &self,
        after: Option<I>,
        limit: i64,
    ) -> Result<Vec<Object<I::Settings>>> {
        const SQL: &str =
            select!("where o.kind = $1 and o.object_id > $2 order by o.object_id limit $3");
        let after = after.map_or(Uuid::nil(), I::uuid);
        let rows: Vec<Row> = read!(self, conn => {
            let query = sqlx::query_as(SQL).bind(I::Settings::KIND.column()).bind(after);
            query.bind(limit).fetch_all(conn).await
        })?;
        typed(rows)
    }

    /// Up to `limit` objects of a tenant by id, those after `after`.
    pub(crate) async fn object_list<I: ObjectId>(
        &self,
        tenant: TenantId,
        after: Option<I>,
        limit: i64,
    ) -> Result<Vec<Object<I::Settings>>> {
        let after = after.map_or(Uuid::nil(), I::uuid);
        let rows: Vec<Row> = read!(self, conn => {
            let query = sqlx::query_as(LIST).bind(I::Settings::KIND.column()).bind(tenant.uuid());
            query.bind(after).bind(limit).fetch_all(conn).await
        })?;
        typed(rows)
    }
}

impl RegistryTx {
    /// One object.
    pub(crate) async fn object_get<I: ObjectId>(
        &mut self,
        id: I,
    ) -> Result<Option<Object<I::Settings>>> {
        let row: Option<Row> = on!(&mut self.on, tx => {
            let query = sqlx::query_as(GET).bind(id.uuid());
            query.bind(I::Settings::KIND.column()).fetch_optional(&mut **tx).await
        })?;
        row.map(Object::try_from).transpose()
    }

    /// The object of a tenant that has this name.
    pub(crate) async fn object_named<S: Settings>(
        &mut self,
        tenant: TenantId,
        name: &str,
    ) -> Result<Option<Object<S>>> {
        let row: Option<Row> = on!(&mut self.on, tx => {
            let query = sqlx::query_as(NAMED).bind(S::KIND.column()).bind(tenant.uuid());
            query.bind(name).fetch_optional(&mut **tx).await
        })?;
        row.map(Object::try_from).transpose()
    }

    /// Adds an object. `Missing` means that the tenant is.
    pub(crate) async fn object_insert<S: Settings>(
        &mut self,
        object: &Object<S>,
    ) -> Result<Change> {
        const SQL: &str = "
            insert into object
                (kind, object_id, tenant_id, name, settings, state, state_reason, version, created_at, updated_at)
            values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
        let settings = serde_json::to_string(&object.settings).map_err(Error::bug)?;
        let rows = execute!(
            self,
            SQL,
            S::KIND.column(),
            object.id.uuid(),
            object.tenant_id.uuid(),
            object.settings.name(),
            settings,
            object.state.column(),
            &object.state_reason,
            object.version,
            object.created_at,
            object.updated_at
        );
        Change::from_rows(rows)
    }

    /// Writes an object's changed settings and state over the version before it.
    pub(crate) async fn object_update<S: Settings>(
        &mut self,
        object: &Object<S>,
    ) -> Result<Change> {
        const SQL: &str = "
            update object
            set name = $4, settings = $5, state = $6, state_reason = $7, version = $3, updated_at = $8
            where kind = $1 and object_id = $2 and version = $3 - 1";
        let settings = serde_json::to_string(&object.settings).map_err(Error::bug)?;
        let rows = execute!(
            self,
            SQL,
            S::KIND.column(),
            object.id.uuid(),
            object.version,
            object.settings.name(),
            settings,
            object.state.column(),
            &object.state_reason,
            object.updated_at
        );
        Change::from_rows(rows)
    }

    /// Counts a change of what belongs to an object, and keeps its row from other writers until the transaction ends.
    pub(crate) async fn object_touch<I: ObjectId>(&mut self, id: I, now: i64) -> Result<Change> {
        const SQL: &str = "
            update object
            set version = version + 1, updated_at = $3
            where kind = $1 and object_id = $2";
        let rows = execute!(self, SQL, I::Settings::KIND.column(), id.uuid(), now);
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
            update object
            set state = 3, state_reason = $3, version = version + 1, updated_at = $4
            where kind = $1 and object_id = $2 and state <> 3";
        let rows = execute!(
            self,
            SQL,
            ObjectKind::Endpoint.column(),
            id.uuid(),
            reason,
            now
        );
        Change::from_rows(rows)
    }

    /// Deletes an object and its secrets. What it brought or got stays.
    pub(crate) async fn object_delete<I: ObjectId>(&mut self, id: I) -> Result<Change> {
        const SQL: &str = "delete from object where kind = $1 and object_id = $2";
        let rows = execute!(self, SQL, I::Settings::KIND.column(), id.uuid());
        Change::from_rows(rows)
    }
}
