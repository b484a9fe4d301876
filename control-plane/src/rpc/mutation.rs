//! Changes that are safe to repeat: a request id is claimed in the transaction of the change it belongs to.
//!
//! A repeat within 24 h by the same key, of the same RPC and with the same content gets the first answer again, without
//! the secrets that answer held. After an error nothing is kept, so the same request id can be used again.

use std::marker::PhantomData;

use prost::Message;
use sha2::{Digest as _, Sha256};

use super::Caller;
use crate::{
    error::Error,
    registry::{Changed, Place, SharedRegistry},
    store::{RequestKey, RequestRow, Store, Tx},
};

/// How long a request id is remembered, in milliseconds.
pub(crate) const REMEMBERED_MS: i64 = 24 * 60 * 60 * 1_000;
const REQUEST_ID_CHARS_MAX: usize = 128;

/// One call that changes something.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    caller: Caller,
    rpc: &'static str,
    request_id: String,
    content_hash: [u8; 32],
    now: i64,
}

/// What a call turned out to be.
#[derive(Debug)]
pub(crate) enum Begun<R> {
    /// It was made before; this was the answer.
    Repeat(R),
    /// It is new.
    Fresh(Mutation<R>),
}

/// A change under way. Dropped without [`Mutation::commit`], nothing has happened.
#[derive(Debug)]
pub(crate) struct Mutation<R> {
    tx: Tx,
    call: Call,
    response: PhantomData<fn(R)>,
}

impl Call {
    /// Reads a call's request id; empty means none. `content` is the request, with secrets blinded if it holds any.
    pub(crate) fn new(
        caller: &Caller,
        rpc: &'static str,
        content: &impl Message,
        request_id: &str,
        now: i64,
    ) -> Result<Self, Error> {
        let is_printable = request_id.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        if request_id.len() > REQUEST_ID_CHARS_MAX || !is_printable {
            return Err(Error::invalid(
                "request_id",
                "must be 1 to 128 printable ASCII characters",
            ));
        }
        Ok(Self {
            caller: *caller,
            rpc,
            request_id: request_id.to_owned(),
            content_hash: Sha256::digest(content.encode_to_vec()).into(),
            now,
        })
    }

    /// The answer that this call got before, if it was made before. Costs no transaction: for calls that have slow
    /// checks to make before they begin one.
    pub(crate) async fn earlier<R: Message + Default>(
        &self,
        store: &Store,
    ) -> Result<Option<R>, Error> {
        if self.request_id.is_empty() {
            return Ok(None);
        }
        let row = store.request_get(self.key(), self.since()).await?;
        row.map(|row| self.answer_of(&row)).transpose()
    }

    /// Begins the transaction of this call and claims its request id.
    pub(crate) async fn begin<R: Message + Default>(
        self,
        store: &Store,
    ) -> Result<Begun<R>, Error> {
        let mut tx = store.begin().await?;
        if !self.request_id.is_empty() {
            let (key, since) = (self.key(), self.since());
            let is_new = tx
                .request_claim(key, &self.content_hash, since, self.now)
                .await?;
            if !is_new {
                let row = tx.request_get(key, since).await?;
                let row = row
                    .ok_or_else(|| Error::Unavailable("a repeat met its first call".to_owned()))?;
                return self.answer_of(&row).map(Begun::Repeat);
            }
        }
        Ok(Begun::Fresh(Mutation {
            tx,
            call: self,
            response: PhantomData,
        }))
    }

    fn answer_of<R: Message + Default>(&self, row: &RequestRow) -> Result<R, Error> {
        if row.content_hash != self.content_hash {
            return Err(Error::AlreadyExists(
                "request_id was used for this call with other content in the last 24 h".to_owned(),
            ));
        }
        R::decode(row.response.as_slice()).map_err(|error| Error::Internal(Box::new(error)))
    }

    fn key(&self) -> RequestKey<'_> {
        RequestKey {
            key_id: self.caller.key_id(),
            rpc: self.rpc,
            request_id: &self.request_id,
        }
    }

    fn since(&self) -> i64 {
        self.now - REMEMBERED_MS
    }
}

impl<R: Message + Default> Mutation<R> {
    /// Begins a call that has no slow checks to make: [`Call::new`] and [`Call::begin`] in one.
    pub(crate) async fn begin(
        store: &Store,
        caller: &Caller,
        rpc: &'static str,
        content: &impl Message,
        request_id: &str,
        now: i64,
    ) -> Result<Begun<R>, Error> {
        Call::new(caller, rpc, content, request_id, now)?
            .begin(store)
            .await
    }

    /// The transaction to make the change in.
    pub(crate) fn tx(&mut self) -> &mut Tx {
        &mut self.tx
    }

    /// Makes the change durable, and the answer to repeats with it: `response` without secrets.
    pub(crate) async fn commit(self, response: &R) -> Result<(), Error> {
        Ok(self.finished(response).await?.commit().await?)
    }

    /// The same for a change of the registry, which is published when it returns. Whatever becomes of the commit and of
    /// the caller, the rows are read anew.
    pub(crate) async fn publish(
        self,
        response: &R,
        registry: &SharedRegistry,
        changed: impl IntoIterator<Item = Changed>,
        places: impl IntoIterator<Item = Place>,
    ) -> Result<(), Error> {
        let tx = self.finished(response).await?;
        registry
            .commit(tx, changed, places.into_iter().collect())
            .await
    }

    async fn finished(mut self, response: &R) -> Result<Tx, Error> {
        if !self.call.request_id.is_empty() {
            let response = response.encode_to_vec();
            self.tx.request_finish(self.call.key(), &response).await?;
        }
        Ok(self.tx)
    }
}

#[cfg(test)]
mod tests;
