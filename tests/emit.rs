//! Emitting: limits, idempotency, streams, and that bytes go out as they came in.

mod content;
mod idempotency;
mod limits;
mod lookup;
mod matching;
mod stream;
