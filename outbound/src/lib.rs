//! What the requests of both planes to others have in common: whom they trust, and what a request without an answer is said
//! to have failed of.
//!
//! * [`client_config`] is TLS towards others;
//! * [`Failure`] is the one vocabulary of failed attempts, polls and fetches, and [`of_connect`], [`of_handshake`] and
//!   [`of_request`] find the word for an error of the system, of TLS or of HTTP.

mod cause;
mod failure;
mod trust;

pub use cause::{of_connect, of_handshake, of_request};
pub use failure::Failure;
pub use trust::{TlsError, client_config};
