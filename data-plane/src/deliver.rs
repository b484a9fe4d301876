//! Performs leased requests: from a lease to what became of it.
//!
//! * `send` makes one attempt, within its time, over a kept or a new connection; `request` is what it sends;
//! * `pool` and `endpoint` keep connections for the next lease of the same endpoint;
//! * `connect` opens connections, behind the address guard, and `tls` says which certificates are trusted;
//! * `connection` sends over one; `wire` and `frames` are the bytes beneath it, of HTTP/1.1 and of HTTP/2;
//! * `answer` reads what an endpoint answers, within limits, and `redact` takes secrets out of what is kept of it;
//! * `outcome` names failures.
//!
//! Nothing here retries, follows a redirect, asks a proxy or decodes a body: an attempt is one request, and what follows
//! from its outcome is the control plane's decision.

mod answer;
mod connect;
mod connection;
mod endpoint;
mod frames;
mod outcome;
mod pool;
mod redact;
mod request;
mod send;
mod tls;
mod wire;

pub(crate) use connect::Dialer;
pub(crate) use pool::Pool;
pub(crate) use send::Sender;
pub use tls::TlsError;
pub(crate) use tls::client_config;

#[cfg(test)]
mod tests;
