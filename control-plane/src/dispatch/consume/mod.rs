//! Consumers: internal services that take deliveries over a stream of their own instead of getting them posted.
//!
//! A handler of a consumer group is an endpoint. Its lane is served by the group's streams: each takes what its credit
//! covers, and what becomes of a handout is an attempt like a node's. `held` is what a stream holds, `handing` sends
//! handouts, `settling` takes what is said of them, `session` keeps both together until the stream ends.
//!
//! Nothing here reads the contract's messages: that is done at the edge, which hands over [`Said`].

mod handing;
mod held;
mod session;
mod settling;
mod unsettled;

use std::{pin::Pin, sync::Arc};

use posthorn::v1;
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tonic::Status;

pub(crate) use self::session::consume;
use crate::model::id::{EndpointId, InboundId, KeyId, Shard};

/// What a consumer says once its stream stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    /// It can take so many more.
    Credit(u32),
    /// It is done with handouts.
    Words(Vec<Word>),
    /// It needs so many milliseconds more, from now, for these leases.
    Extensions(Vec<(u64, u64)>),
}

/// What a handler says of a handout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Word {
    /// The lease.
    pub lease_id: u64,
    /// What became of it.
    pub what: What,
}

/// What became of a handout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// The handler did this.
    Done(String),
    /// It failed like this.
    Failed(String),
    /// It failed like this, and no later try can mend it.
    Refused(String),
}

/// What a consumer says, as it comes.
pub(crate) type SaidStream = Pin<Box<dyn Stream<Item = Result<Said, Status>> + Send>>;

/// For how many milliseconds a provider still waits for the answer to a request.
pub(crate) type AnswerWithin = Arc<dyn Fn(InboundId) -> u32 + Send + Sync>;

/// A consumer whose handlers are registered.
pub(crate) struct Consumer {
    /// The key that it came with.
    pub key_id: KeyId,
    /// Where the data of its tenant are.
    pub shard: Shard,
    /// Its group.
    pub group: String,
    /// Its handlers: their endpoints and names.
    pub handlers: Vec<(EndpointId, String)>,
    /// How long providers wait.
    pub answer_within: AnswerWithin,
    /// What it says.
    pub from_consumer: SaidStream,
    /// What it is told.
    pub to_consumer: mpsc::Sender<Result<v1::ConsumeResponse, Status>>,
}
