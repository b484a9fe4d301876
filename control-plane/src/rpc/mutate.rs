//! The one frame of every call that changes something, and of its repeats.
//!
//! In this order: the request id is claimed, or the call is answered as before; the change is made; it is put on record; the
//! answer is kept for repeats; all of that is committed together; what follows from it is done, such as telling the engine;
//! and what changed in the registry is published. So whatever acts on a change finds it in the database, and nobody is told
//! of one that is not.
//!
//! A repeat within 24 h by the same key, of the same RPC and with the same content gets the first answer again, without
//! the secrets that answer held. After an error nothing is kept, so the same request id can be used again.

use posthorn::v1;
use prost::Message;
use rand::Rng;
use sha2::{Digest as _, Sha256};

use super::Caller;
use crate::{
    audit::{self, Record},
    core::Core,
    error::{Error, Reason},
    model::{
        audit::{Actor, AuditRecord},
        id::{KeyId, Shard},
    },
    registry::{Changed, Place},
    store::{LedgerTx, RegistryTx, RequestKey, RequestRow, Store, Tx},
};

/// How long a request id is remembered, in milliseconds.
pub(crate) const REMEMBERED_MS: i64 = 24 * 60 * 60 * 1_000;
const REQUEST_ID_CHARS_MAX: usize = 128;

/// The request of a call that changes something.
pub(crate) trait Mutation: Message {
    /// The call's name, such as `CreateTenant`.
    const RPC: &'static str;

    /// The caller's id for the call, as it came. Empty: none.
    fn request_id(&self) -> &str;
}

/// Makes changes.
#[derive(Debug, Clone)]
pub(crate) struct Mutations {
    core: Core,
}

/// One call that changes something.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    key_id: KeyId,
    actor: Actor,
    /// The call's name, such as `CreateTenant`.
    rpc: &'static str,
    request_id: String,
    content_hash: [u8; 32],
    now: i64,
}

/// A change that a transaction holds, and what is to follow its commit.
#[must_use = "a change is made by returning it to the frame"]
pub(crate) struct Made<R> {
    answer: R,
    record: Record,
    changed: Vec<Changed>,
    places: Vec<Place>,
    then: Box<dyn FnOnce(&mut R) + Send>,
}

impl Mutations {
    /// Changes the store, and publishes in the registry what changed there.
    pub(crate) fn new(core: &Core) -> Self {
        Self { core: core.clone() }
    }

    /// Makes a change of the registry, unless the call was made before. Whatever becomes of the commit and of the caller,
    /// changed rows are read anew.
    ///
    /// # Errors
    /// What `change` fails with; nothing has happened then.
    pub(crate) async fn make<R: Message + Default>(
        &self,
        call: Call,
        change: impl AsyncFnOnce(&mut RegistryTx) -> Result<Made<R>, Error>,
    ) -> Result<R, Error> {
        self.frame(self.core.store.begin().await?, call, change)
            .await
    }

    /// Makes a change of the data of a shard, unless the call was made before.
    ///
    /// # Errors
    /// What `change` fails with; nothing has happened then.
    pub(crate) async fn make_in<R: Message + Default>(
        &self,
        shard: Shard,
        call: Call,
        change: impl AsyncFnOnce(&mut LedgerTx) -> Result<Made<R>, Error>,
    ) -> Result<R, Error> {
        let tx = self.core.store.begin_in(shard).await?;
        self.frame(tx, call, change).await
    }

    async fn frame<S, R: Message + Default>(
        &self,
        mut tx: Tx<S>,
        call: Call,
        change: impl AsyncFnOnce(&mut Tx<S>) -> Result<Made<R>, Error>,
    ) -> Result<R, Error> {
        if let Some(answer) = call.claim(&mut tx).await? {
            return Ok(answer);
        }
        let made = change(&mut tx).await?;
        let record = call.record(made.record, &mut self.core.rng());
        audit::write(&mut tx, &record).await?;
        call.keep(&mut tx, &made.answer).await?;
        let mut answer = made.answer;
        let promise = self
            .core
            .registry
            .promise(made.changed)
            .holding(made.places);
        tx.commit().await?;
        audit::log(&record);
        (made.then)(&mut answer);
        promise.kept().await?;
        Ok(answer)
    }
}

impl<R> Made<R> {
    /// A change that is answered so, without secrets, as repeats get the same; and what is put on record of it.
    pub(crate) fn new(answer: R, record: Record) -> Self {
        Self {
            answer,
            record,
            changed: Vec::new(),
            places: Vec::new(),
            then: Box::new(|_| ()),
        }
    }

    /// It changed these rows of the registry.
    pub(crate) fn of(mut self, changed: impl IntoIterator<Item = Changed>) -> Self {
        self.changed.extend(changed);
        self
    }

    /// It took these places, which count until the rows are published.
    pub(crate) fn holding(mut self, places: impl IntoIterator<Item = Place>) -> Self {
        self.places.extend(places);
        self
    }

    /// What follows once it is committed. Secrets that only the first answer shows are put into it here.
    pub(crate) fn then(mut self, follow: impl FnOnce(&mut R) + Send + 'static) -> Self {
        self.then = Box::new(follow);
        self
    }
}

impl Call {
    /// Reads a call's request id; empty means none. `request` has its secrets blinded if it holds any.
    pub(crate) fn new<M: Mutation>(caller: &Caller, request: &M, now: i64) -> Result<Self, Error> {
        let request_id = request.request_id();
        let is_printable = request_id.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        if request_id.len() > REQUEST_ID_CHARS_MAX || !is_printable {
            return Err(Error::invalid(
                "request_id",
                "must be 1 to 128 printable ASCII characters",
            ));
        }
        Ok(Self {
            key_id: caller.key_id(),
            actor: caller.actor(),
            rpc: M::RPC,
            request_id: request_id.to_owned(),
            content_hash: Sha256::digest(request.encode_to_vec()).into(),
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

    /// What is put on record of it.
    fn record(&self, record: Record, rng: &mut impl Rng) -> AuditRecord {
        let record = record.called(&self.request_id);
        record.by(self.actor.clone(), self.rpc, self.now, rng)
    }

    /// Claims the request id. Some: the call was made before, and this was the answer.
    async fn claim<S, R: Message + Default>(&self, tx: &mut Tx<S>) -> Result<Option<R>, Error> {
        if self.request_id.is_empty() {
            return Ok(None);
        }
        let (key, since) = (self.key(), self.since());
        let is_new = tx
            .request_claim(key, &self.content_hash, since, self.now)
            .await?;
        if is_new {
            return Ok(None);
        }
        let row = tx.request_get(key, since).await?;
        let row =
            row.ok_or_else(|| Error::Unavailable("a repeat met its first call".to_owned()))?;
        self.answer_of(&row).map(Some)
    }

    /// Keeps the answer for repeats.
    async fn keep<S>(&self, tx: &mut Tx<S>, answer: &impl Message) -> Result<(), Error> {
        if self.request_id.is_empty() {
            return Ok(());
        }
        let answer = answer.encode_to_vec();
        Ok(tx.request_finish(self.key(), &answer).await?)
    }

    fn answer_of<R: Message + Default>(&self, row: &RequestRow) -> Result<R, Error> {
        if row.content_hash != self.content_hash {
            return Err(Error::AlreadyExists(
                Reason::RequestIdReused,
                "request_id was used for this call with other content in the last 24 h".to_owned(),
            ));
        }
        R::decode(row.response.as_slice()).map_err(|error| Error::Internal(Box::new(error)))
    }

    fn key(&self) -> RequestKey<'_> {
        RequestKey {
            key_id: self.key_id,
            rpc: self.rpc,
            request_id: &self.request_id,
        }
    }

    fn since(&self) -> i64 {
        self.now - REMEMBERED_MS
    }
}

macro_rules! mutations {
    ($($rpc:ident($request:ident))*) => {$(
        impl Mutation for v1::$request {
            const RPC: &'static str = stringify!($rpc);

            fn request_id(&self) -> &str {
                &self.request_id
            }
        }
    )*};
}

mutations! {
    AcceptInboundRequest(AcceptInboundRequestRequest)
    CancelDelivery(CancelDeliveryRequest)
    CreateApiKey(CreateApiKeyRequest)
    CreateEndpoint(CreateEndpointRequest)
    CreateEventType(CreateEventTypeRequest)
    CreateSource(CreateSourceRequest)
    CreateTenant(CreateTenantRequest)
    DeleteEndpoint(DeleteEndpointRequest)
    DeleteEventType(DeleteEventTypeRequest)
    DeleteSource(DeleteSourceRequest)
    DeleteTenant(DeleteTenantRequest)
    DiscardDeadLetters(DiscardDeadLettersRequest)
    HoldInboundRequest(HoldInboundRequestRequest)
    RedriveDeadLetters(RedriveDeadLettersRequest)
    ReleaseInboundRequest(ReleaseInboundRequestRequest)
    ReplayInboundRequest(ReplayInboundRequestRequest)
    RetryDelivery(RetryDeliveryRequest)
    ReverifyInboundRequest(ReverifyInboundRequestRequest)
    RotateEndpointSecret(RotateEndpointSecretRequest)
    RotateSourceSecret(RotateSourceSecretRequest)
    SetEndpointState(SetEndpointStateRequest)
    SetSourceState(SetSourceStateRequest)
    TestEndpoint(TestEndpointRequest)
    UpdateEndpoint(UpdateEndpointRequest)
    UpdateEventType(UpdateEventTypeRequest)
    UpdateSource(UpdateSourceRequest)
    UpdateTenant(UpdateTenantRequest)
}

/// A read, but one that is put on record. There is nothing to repeat.
impl Mutation for v1::ReadInboundPayloadRequest {
    const RPC: &'static str = "ReadInboundPayload";

    fn request_id(&self) -> &'static str {
        ""
    }
}

#[cfg(test)]
mod tests;
