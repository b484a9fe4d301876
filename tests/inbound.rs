//! What providers post, from the edge to the ledger.

mod operators;
mod secrets;
mod taking;
mod waiting;
