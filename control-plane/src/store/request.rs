//! The ledger of calls that were made with a request id.

use super::{Result, Store, Tx};
use crate::model::id::{KeyId, Shard};

/// What names a call: request ids of two keys or two RPCs have nothing to do with each other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RequestKey<'a> {
    /// The key that called.
    pub key_id: KeyId,
    /// The RPC's name.
    pub rpc: &'a str,
    /// The id that the caller chose.
    pub request_id: &'a str,
}

/// A call that was made before.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct RequestRow {
    /// The hash of its content.
    pub content_hash: Vec<u8>,
    /// The encoded response.
    pub response: Vec<u8>,
}

const GET: &str = "
    select content_hash, response
    from request
    where key_id = $1 and rpc = $2 and request_id = $3 and created_at >= $4";

impl Store {
    /// The call of that name, if it was made at `since` or later.
    pub(crate) async fn request_get(
        &self,
        key: RequestKey<'_>,
        since: i64,
    ) -> Result<Option<RequestRow>> {
        Ok(read!(self, conn => {
            let query = sqlx::query_as(GET).bind(key.key_id.uuid()).bind(key.rpc);
            query.bind(key.request_id).bind(since).fetch_optional(conn).await
        })?)
    }

    /// Forgets calls that were made before `before`, up to 5,000 of them; returns how many.
    pub(crate) async fn request_prune(&self, before: i64) -> Result<u64> {
        const SQL: &str = "
            delete from request
            where (key_id, rpc, request_id) in (
                select key_id, rpc, request_id
                from request
                where created_at < $1
                order by created_at
                limit 5000
            )";
        let mut conn = self.acquire().await?;
        let done = on!(&mut conn, conn => {
            sqlx::query(SQL).bind(before).execute(&mut **conn).await.map(|done| done.rows_affected())
        })?;
        Ok(done)
    }
}

impl<S> Tx<S> {
    /// The call of that name, if it was made at `since` or later.
    pub(crate) async fn request_get(
        &mut self,
        key: RequestKey<'_>,
        since: i64,
    ) -> Result<Option<RequestRow>> {
        Ok(on!(&mut self.on, tx => {
            let query = sqlx::query_as(GET).bind(key.key_id.uuid()).bind(key.rpc);
            query.bind(key.request_id).bind(since).fetch_optional(&mut **tx).await
        })?)
    }

    /// Claims a call's name for this transaction, waiting for another that holds it. False: a call of `since` or later
    /// has it. An older one is forgotten.
    pub(crate) async fn request_claim(
        &mut self,
        key: RequestKey<'_>,
        content_hash: &[u8],
        since: i64,
        now: i64,
    ) -> Result<bool> {
        const SQL: &str = "
            insert into request (key_id, rpc, request_id, content_hash, response, created_at, shard)
            values ($1, $2, $3, $4, $5, $6, $8)
            on conflict (key_id, rpc, request_id) do update
            set content_hash = excluded.content_hash,
                response = excluded.response,
                created_at = excluded.created_at
            where request.created_at < $7";
        let rows = execute!(
            self,
            SQL,
            key.key_id.uuid(),
            key.rpc,
            key.request_id,
            content_hash,
            b"".as_slice(),
            now,
            since,
            self.shard.map(Shard::column)
        )?;
        Ok(rows == 1)
    }

    /// Keeps the response of a call that this transaction claimed.
    pub(crate) async fn request_finish(
        &mut self,
        key: RequestKey<'_>,
        response: &[u8],
    ) -> Result<()> {
        const SQL: &str = "
            update request
            set response = $4
            where key_id = $1 and rpc = $2 and request_id = $3";
        on!(&mut self.on, tx => {
            let query = sqlx::query(SQL).bind(key.key_id.uuid()).bind(key.rpc);
            query.bind(key.request_id).bind(response).execute(&mut **tx).await.map(drop)
        })?;
        Ok(())
    }
}
