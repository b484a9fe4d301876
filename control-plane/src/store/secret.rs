//! Sealed secrets in the database: signing keys and the values of secret headers.

use uuid::Uuid;

use super::{Error, Result, Store, Tx};
use crate::{
    model::{
        id::{EndpointId, SecretId, TenantId},
        secret::{Purpose, SealedSecret},
    },
    vault::SealedUnder,
};

/// How many endpoints [`Store::secret_retired`] names at most.
const RETIRED_MAX: i64 = 500;

#[derive(sqlx::FromRow)]
struct Row {
    secret_id: Uuid,
    version: i32,
    tenant_id: Uuid,
    endpoint_id: Uuid,
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
        Ok(Self {
            id: SecretId::from_uuid(row.secret_id),
            version: row.version,
            tenant_id: TenantId::from_uuid(row.tenant_id),
            endpoint_id: EndpointId::from_uuid(row.endpoint_id),
            purpose: Purpose::from_column(row.purpose)
                .ok_or_else(|| Error::bug(format!("purpose {}", row.purpose)))?,
            name: row.name,
            kek_id: row.kek_id,
            sealed: row.sealed,
            fingerprint: row.fingerprint,
            retires_at: row.retires_at,
            created_at: row.created_at,
        })
    }
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "select secret_id, version, tenant_id, endpoint_id, purpose, name, kek_id, sealed, \
             fingerprint, retires_at, created_at from secret ",
            $rest
        )
    };
}

const OF_ENDPOINT: &str = select!("where endpoint_id = $1 order by secret_id, version");

/// What a page of a tenant's endpoints has.
pub(super) const RANGE: &str = select!(
    "where endpoint_id >= $2 and endpoint_id <= $3 and tenant_id = $1 \
     order by endpoint_id, secret_id, version"
);

impl Store {
    /// The secrets of one endpoint.
    pub(crate) async fn secret_list(&self, endpoint: EndpointId) -> Result<Vec<SealedSecret>> {
        let rows: Vec<Row> = read!(self, conn => {
            sqlx::query_as(OF_ENDPOINT).bind(endpoint.uuid()).fetch_all(conn).await
        })?;
        rows.into_iter().map(SealedSecret::try_from).collect()
    }

    /// The secrets of these endpoints, of each in the order of [`Store::secret_list`].
    pub(crate) async fn secret_list_many(&self, endpoints: &[Uuid]) -> Result<Vec<SealedSecret>> {
        const MANY: &str =
            select!("where endpoint_id = any($1) order by endpoint_id, secret_id, version");
        let rows: Vec<Row> = read_many!(self, endpoints, MANY, OF_ENDPOINT)?;
        rows.into_iter().map(SealedSecret::try_from).collect()
    }

    /// The secrets of all endpoints with ids from `first` to `last`, whatever their tenant, by endpoint.
    pub(crate) async fn secret_page(
        &self,
        first: EndpointId,
        last: EndpointId,
    ) -> Result<Vec<SealedSecret>> {
        const SQL: &str = select!(
            "where endpoint_id >= $1 and endpoint_id <= $2 order by endpoint_id, secret_id, version"
        );
        let rows: Vec<Row> = read!(self, conn => {
            sqlx::query_as(SQL).bind(first.uuid()).bind(last.uuid()).fetch_all(conn).await
        })?;
        rows.into_iter().map(SealedSecret::try_from).collect()
    }

    /// The secrets of the tenant's endpoints with ids from `first` to `last`, by endpoint.
    pub(crate) async fn secret_list_range(
        &self,
        tenant: TenantId,
        first: EndpointId,
        last: EndpointId,
    ) -> Result<Vec<SealedSecret>> {
        let rows: Vec<Row> = read!(self, conn => {
            let query = sqlx::query_as(RANGE).bind(tenant.uuid());
            query.bind(first.uuid()).bind(last.uuid()).fetch_all(conn).await
        })?;
        rows.into_iter().map(SealedSecret::try_from).collect()
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
        rows.into_iter().map(SealedSecret::try_from).collect()
    }

    /// How many secrets, of endpoints and of sources, are sealed under which master key.
    pub(crate) async fn secret_sealed_under(&self) -> Result<Vec<SealedUnder>> {
        const SQL: &str = "
            select kek_id, count(*) as secrets
            from (select kek_id from secret union all select kek_id from source_secret) as sealed
            group by kek_id
            order by kek_id";
        let rows: Vec<(String, i64)> =
            read!(self, conn => sqlx::query_as(SQL).fetch_all(conn).await)?;
        let rows = rows.into_iter();
        let typed = rows.map(|(kek_id, secrets)| SealedUnder { kek_id, secrets });
        Ok(typed.collect())
    }

    /// The endpoints that have a former signing key whose time is over at `now`, up to 500.
    pub(crate) async fn secret_retired(&self, now: i64) -> Result<Vec<EndpointId>> {
        const SQL: &str = "select distinct endpoint_id from secret where retires_at <= $1 limit $2";
        let ids: Vec<Uuid> = read!(self, conn => {
            sqlx::query_scalar(SQL).bind(now).bind(RETIRED_MAX).fetch_all(conn).await
        })?;
        Ok(ids.into_iter().map(EndpointId::from_uuid).collect())
    }
}

impl Tx {
    /// The secrets of one endpoint.
    pub(crate) async fn secret_list(&mut self, endpoint: EndpointId) -> Result<Vec<SealedSecret>> {
        let rows: Vec<Row> = on!(self, tx => {
            sqlx::query_as(OF_ENDPOINT).bind(endpoint.uuid()).fetch_all(&mut **tx).await
        })?;
        rows.into_iter().map(SealedSecret::try_from).collect()
    }

    /// Adds a secret.
    pub(crate) async fn secret_insert(&mut self, secret: &SealedSecret) -> Result<()> {
        const SQL: &str = "
            insert into secret
                (secret_id, version, tenant_id, endpoint_id, purpose, name, kek_id, sealed, fingerprint,
                 retires_at, created_at)
            values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
        on!(self, tx => {
            sqlx::query(SQL)
                .bind(secret.id.uuid())
                .bind(secret.version)
                .bind(secret.tenant_id.uuid())
                .bind(secret.endpoint_id.uuid())
                .bind(secret.purpose.column())
                .bind(&secret.name)
                .bind(&secret.kek_id)
                .bind(&secret.sealed)
                .bind(&secret.fingerprint)
                .bind(secret.retires_at)
                .bind(secret.created_at)
                .execute(&mut **tx)
                .await
                .map(drop)
        })?;
        Ok(())
    }

    /// Sets until when a signing key that is replaced signs too.
    pub(crate) async fn secret_retire(
        &mut self,
        id: SecretId,
        version: i32,
        retires_at: i64,
    ) -> Result<()> {
        const SQL: &str = "
            update secret
            set retires_at = $3
            where secret_id = $1 and version = $2 and retires_at is null";
        on!(self, tx => {
            let query = sqlx::query(SQL).bind(id.uuid()).bind(version);
            query.bind(retires_at).execute(&mut **tx).await.map(drop)
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
        on!(self, tx => {
            sqlx::query(SQL)
                .bind(former.id.uuid())
                .bind(former.version)
                .bind(&rewrapped.sealed)
                .bind(&rewrapped.kek_id)
                .bind(&former.kek_id)
                .execute(&mut **tx)
                .await
                .map(drop)
        })?;
        Ok(())
    }

    /// Deletes one version of a secret.
    pub(crate) async fn secret_delete(&mut self, id: SecretId, version: i32) -> Result<()> {
        const SQL: &str = "delete from secret where secret_id = $1 and version = $2";
        on!(self, tx => {
            sqlx::query(SQL).bind(id.uuid()).bind(version).execute(&mut **tx).await.map(drop)
        })?;
        Ok(())
    }

    /// Deletes an endpoint's former signing keys whose time is over at `now`.
    pub(crate) async fn secret_prune(&mut self, endpoint: EndpointId, now: i64) -> Result<()> {
        const SQL: &str = "delete from secret where endpoint_id = $1 and retires_at <= $2";
        on!(self, tx => {
            sqlx::query(SQL).bind(endpoint.uuid()).bind(now).execute(&mut **tx).await.map(drop)
        })?;
        Ok(())
    }
}
