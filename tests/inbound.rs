//! What providers post, from the edge to the ledger.

mod batches;
mod catalogue;
mod characters;
mod large;
mod loops;
pub(crate) mod operators;
mod repeats;
mod secrets;
mod streams;
mod taking;
mod unfinished;
mod waiting;
