//! What providers post, from the edge to the ledger.

mod characters;
mod large;
mod operators;
mod secrets;
mod taking;
mod waiting;
