//! Sealed secrets of sources in the database: those that requests are verified with, and those that polling sends.

use uuid::Uuid;

use super::{Error, Result, Store, Tx};
use crate::model::{
    id::{SecretId, SourceId, TenantId},
    secret::{Purpose, SealedSourceSecret},
};

/// How many sources [`Store::source_secret_retired`] names at most.
const RETIRED_MAX: i64 = 500;

#[derive(sqlx::FromRow)]
struct Row {
    secret_id: Uuid,
    tenant_id: Uuid,
    source_id: Uuid,
    purpose: i16,
    kek_id: String,
    sealed: Vec<u8>,
    fingerprint: String,
    retires_at: Option<i64>,
    created_at: i64,
}

impl TryFrom<Row> for SealedSourceSecret {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self> {
        Ok(Self {
            id: SecretId::from_uuid(row.secret_id),
            tenant_id: TenantId::from_uuid(row.tenant_id),
            source_id: SourceId::from_uuid(row.source_id),
            purpose: Purpose::from_column(row.purpose)
                .ok_or_else(|| Error::bug(format!("purpose {}", row.purpose)))?,
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
            "select secret_id, tenant_id, source_id, purpose, kek_id, sealed, fingerprint, retires_at, \
             created_at from source_secret ",
            $rest
        )
    };
}

// Ids rise with time, so the newest come first.
const OF_SOURCE: &str =
    select!("where source_id = $1 order by retires_at is not null, secret_id desc");

/// What a page of a tenant's sources has.
pub(super) const RANGE: &str = select!(
    "where source_id >= $2 and source_id <= $3 and tenant_id = $1 \
     order by source_id, retires_at is not null, secret_id desc"
);

impl Store {
    /// The secrets of one source: the current ones, then the former ones, of each the newest first.
    pub(crate) async fn source_secret_list(
        &self,
        source: SourceId,
    ) -> Result<Vec<SealedSourceSecret>> {
        let rows: Vec<Row> = read!(self, conn => {
            sqlx::query_as(OF_SOURCE).bind(source.uuid()).fetch_all(conn).await
        })?;
        rows.into_iter().map(SealedSourceSecret::try_from).collect()
    }

    /// The secrets of these sources, of each in the order of [`Store::source_secret_list`].
    pub(crate) async fn source_secret_list_many(
        &self,
        sources: &[Uuid],
    ) -> Result<Vec<SealedSourceSecret>> {
        const MANY: &str = select!(
            "where source_id = any($1) order by source_id, retires_at is not null, secret_id desc"
        );
        let rows: Vec<Row> = read_many!(self, sources, MANY, OF_SOURCE)?;
        rows.into_iter().map(SealedSourceSecret::try_from).collect()
    }

    /// The secrets of all sources with ids from `first` to `last`, whatever their tenant, by source.
    pub(crate) async fn source_secret_page(
        &self,
        first: SourceId,
        last: SourceId,
    ) -> Result<Vec<SealedSourceSecret>> {
        const SQL: &str = select!(
            "where source_id >= $1 and source_id <= $2 \
             order by source_id, retires_at is not null, secret_id desc"
        );
        let rows: Vec<Row> = read!(self, conn => {
            sqlx::query_as(SQL).bind(first.uuid()).bind(last.uuid()).fetch_all(conn).await
        })?;
        rows.into_iter().map(SealedSourceSecret::try_from).collect()
    }

    /// The secrets of the tenant's sources with ids from `first` to `last`, by source, each source's as in
    /// [`Store::source_secret_list`].
    pub(crate) async fn source_secret_list_range(
        &self,
        tenant: TenantId,
        first: SourceId,
        last: SourceId,
    ) -> Result<Vec<SealedSourceSecret>> {
        let rows: Vec<Row> = read!(self, conn => {
            let query = sqlx::query_as(RANGE).bind(tenant.uuid());
            query.bind(first.uuid()).bind(last.uuid()).fetch_all(conn).await
        })?;
        rows.into_iter().map(SealedSourceSecret::try_from).collect()
    }

    /// Up to `limit` secrets that are sealed under another master key than `kek_id`, those after `after`.
    pub(crate) async fn source_secret_list_other_kek(
        &self,
        kek_id: &str,
        after: SecretId,
        limit: i64,
    ) -> Result<Vec<SealedSourceSecret>> {
        const SQL: &str =
            select!("where kek_id <> $1 and secret_id > $2 order by secret_id limit $3");
        let rows: Vec<Row> = read!(self, conn => {
            let query = sqlx::query_as(SQL).bind(kek_id).bind(after.uuid());
            query.bind(limit).fetch_all(conn).await
        })?;
        rows.into_iter().map(SealedSourceSecret::try_from).collect()
    }

    /// The sources that have a former secret whose time is over at `now`, up to 500.
    pub(crate) async fn source_secret_retired(&self, now: i64) -> Result<Vec<SourceId>> {
        const SQL: &str =
            "select distinct source_id from source_secret where retires_at <= $1 limit $2";
        let ids: Vec<Uuid> = read!(self, conn => {
            sqlx::query_scalar(SQL).bind(now).bind(RETIRED_MAX).fetch_all(conn).await
        })?;
        Ok(ids.into_iter().map(SourceId::from_uuid).collect())
    }
}

impl Tx {
    /// The secrets of one source, in the order of [`Store::source_secret_list`].
    pub(crate) async fn source_secret_list(
        &mut self,
        source: SourceId,
    ) -> Result<Vec<SealedSourceSecret>> {
        let rows: Vec<Row> = on!(self, tx => {
            sqlx::query_as(OF_SOURCE).bind(source.uuid()).fetch_all(&mut **tx).await
        })?;
        rows.into_iter().map(SealedSourceSecret::try_from).collect()
    }

    /// Adds a secret.
    pub(crate) async fn source_secret_insert(&mut self, secret: &SealedSourceSecret) -> Result<()> {
        const SQL: &str = "
            insert into source_secret
                (secret_id, tenant_id, source_id, purpose, kek_id, sealed, fingerprint, retires_at, created_at)
            values ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        on!(self, tx => {
            sqlx::query(SQL)
                .bind(secret.id.uuid())
                .bind(secret.tenant_id.uuid())
                .bind(secret.source_id.uuid())
                .bind(secret.purpose.column())
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

    /// Sets until when the secrets of a source are accepted at most. One whose time is over before that keeps its time.
    pub(crate) async fn source_secret_retire(
        &mut self,
        source: SourceId,
        retires_at: i64,
    ) -> Result<()> {
        const SQL: &str = "
            update source_secret
            set retires_at = $2
            where source_id = $1 and purpose = 3 and (retires_at is null or retires_at > $2)";
        on!(self, tx => {
            let query = sqlx::query(SQL).bind(source.uuid());
            query.bind(retires_at).execute(&mut **tx).await.map(drop)
        })?;
        Ok(())
    }

    /// Deletes the secrets of a source that are for one purpose.
    pub(crate) async fn source_secret_delete(
        &mut self,
        source: SourceId,
        purpose: Purpose,
    ) -> Result<()> {
        const SQL: &str = "delete from source_secret where source_id = $1 and purpose = $2";
        on!(self, tx => {
            let query = sqlx::query(SQL).bind(source.uuid());
            query.bind(purpose.column()).execute(&mut **tx).await.map(drop)
        })?;
        Ok(())
    }

    /// Deletes a source's former secrets whose time is over at `now`.
    pub(crate) async fn source_secret_prune(&mut self, source: SourceId, now: i64) -> Result<()> {
        const SQL: &str = "delete from source_secret where source_id = $1 and retires_at <= $2";
        on!(self, tx => {
            sqlx::query(SQL).bind(source.uuid()).bind(now).execute(&mut **tx).await.map(drop)
        })?;
        Ok(())
    }

    /// Replaces the record of a secret that was sealed anew under another master key, unless it changed meanwhile.
    pub(crate) async fn source_secret_rewrap(
        &mut self,
        former: &SealedSourceSecret,
        rewrapped: &SealedSourceSecret,
    ) -> Result<()> {
        const SQL: &str = "
            update source_secret
            set sealed = $2, kek_id = $3
            where secret_id = $1 and kek_id = $4";
        on!(self, tx => {
            sqlx::query(SQL)
                .bind(former.id.uuid())
                .bind(&rewrapped.sealed)
                .bind(&rewrapped.kek_id)
                .bind(&former.kek_id)
                .execute(&mut **tx)
                .await
                .map(drop)
        })?;
        Ok(())
    }
}
