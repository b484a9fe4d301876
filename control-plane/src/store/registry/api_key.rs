//! API keys in the database: hashes, never texts.

use uuid::Uuid;

use crate::model::{
    api_key::{ApiKey, KeyHash, Roles},
    id::{KeyId, TenantId},
};
use crate::store::{Change, Error, RegistryTx, Result, Store};

/// Which keys a list has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyScope {
    /// Every key.
    All,
    /// The keys of one tenant.
    Tenant(TenantId),
}

#[derive(sqlx::FromRow)]
struct Row {
    key_id: Uuid,
    tenant_id: Option<Uuid>,
    name: String,
    roles: i16,
    hash: Vec<u8>,
    created_at: i64,
    expires_at: Option<i64>,
    revoked_at: Option<i64>,
}

impl TryFrom<Row> for ApiKey {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self> {
        Ok(Self {
            id: KeyId::from_uuid(row.key_id),
            tenant_id: row.tenant_id.map(TenantId::from_uuid),
            name: row.name,
            roles: Roles::from_column(row.roles)
                .ok_or_else(|| Error::bug(format!("roles {}", row.roles)))?,
            created_at: row.created_at,
            expires_at: row.expires_at,
            revoked_at: row.revoked_at,
            hash: KeyHash::from_bytes(&row.hash)
                .ok_or_else(|| Error::bug("length of a key's hash"))?,
        })
    }
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "select key_id, tenant_id, name, roles, hash, created_at, expires_at, revoked_at \
             from api_key ",
            $rest
        )
    };
}

const GET: &str = select!("where key_id = $1");

/// A page of all keys.
pub(in crate::store) const LIST: &str = select!("where key_id > $1 order by key_id limit $2");
/// A page of a tenant's keys.
pub(in crate::store) const LIST_OF_TENANT: &str =
    select!("where key_id > $1 and tenant_id = $3 order by key_id limit $2");

impl Store {
    /// One key.
    pub(crate) async fn api_key_get(&self, id: KeyId) -> Result<Option<ApiKey>> {
        let row: Option<Row> = read!(self, conn => {
            sqlx::query_as(GET).bind(id.uuid()).fetch_optional(conn).await
        })?;
        row.map(ApiKey::try_from).transpose()
    }

    /// The keys of these ids, as far as they exist, in any order.
    pub(crate) async fn api_key_get_many(&self, ids: &[Uuid]) -> Result<Vec<ApiKey>> {
        const MANY: &str = select!("where key_id = any($1)");
        let rows: Vec<Row> = read_many!(self, ids, MANY, GET)?;
        rows.into_iter().map(ApiKey::try_from).collect()
    }

    /// Up to `limit` keys by id, those after `after`; revoked and expired ones too.
    pub(crate) async fn api_key_list(
        &self,
        scope: KeyScope,
        after: Option<KeyId>,
        limit: i64,
    ) -> Result<Vec<ApiKey>> {
        let after = after.map_or(Uuid::nil(), KeyId::uuid);
        let rows: Vec<Row> = match scope {
            KeyScope::All => read!(self, conn => {
                sqlx::query_as(LIST).bind(after).bind(limit).fetch_all(conn).await
            }),
            KeyScope::Tenant(tenant) => read!(self, conn => {
                let query = sqlx::query_as(LIST_OF_TENANT).bind(after).bind(limit);
                query.bind(tenant.uuid()).fetch_all(conn).await
            }),
        }?;
        rows.into_iter().map(ApiKey::try_from).collect()
    }
}

impl Store {
    /// The id of the first key that the installation had. Keys are revoked and never deleted, so it stays.
    pub(crate) async fn first_key_id(&self) -> Result<KeyId> {
        let id: Uuid = read!(self, conn => {
            sqlx::query_scalar("select key_id from api_key order by key_id limit 1").fetch_one(conn).await
        })?;
        Ok(KeyId::from_uuid(id))
    }
}

impl RegistryTx {
    /// Revokes a key. One that is revoked keeps the time of the first revocation. None: there is no such key.
    pub(crate) async fn api_key_revoke(&mut self, id: KeyId, now: i64) -> Result<Option<ApiKey>> {
        const SQL: &str = "
            update api_key
            set revoked_at = coalesce(revoked_at, $2)
            where key_id = $1
            returning key_id, tenant_id, name, roles, hash, created_at, expires_at, revoked_at";
        let row: Option<Row> = on!(&mut self.on, tx => {
            sqlx::query_as(SQL).bind(id.uuid()).bind(now).fetch_optional(&mut **tx).await
        })?;
        row.map(ApiKey::try_from).transpose()
    }

    /// Whether there is any key: without one, nobody has started this database before.
    pub(crate) async fn api_key_exists(&mut self) -> Result<bool> {
        const SQL: &str = "select count(*) from (select 1 from api_key limit 1) as one";
        let count: i64 =
            on!(&mut self.on, tx => sqlx::query_scalar(SQL).fetch_one(&mut **tx).await)?;
        Ok(count > 0)
    }

    /// Adds a key. `Missing` means that its tenant is.
    pub(crate) async fn api_key_insert(&mut self, key: &ApiKey) -> Result<Change> {
        const SQL: &str = "
            insert into api_key (key_id, tenant_id, name, roles, hash, created_at, expires_at, revoked_at)
            values ($1, $2, $3, $4, $5, $6, $7, $8)";
        let rows = execute!(
            self,
            SQL,
            key.id.uuid(),
            key.tenant_id.map(TenantId::uuid),
            &key.name,
            key.roles.column(),
            key.hash.as_bytes(),
            key.created_at,
            key.expires_at,
            key.revoked_at
        );
        Change::from_rows(rows)
    }

    /// Deletes a key that has ended.
    pub(crate) async fn api_key_delete(&mut self, id: KeyId) -> Result<Change> {
        const SQL: &str = "delete from api_key where key_id = $1";
        let rows = execute!(self, SQL, id.uuid());
        Change::from_rows(rows)
    }
}
