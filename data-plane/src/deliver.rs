//! Performs leased requests: from a lease to what became of it.
//!
//! * `send` makes one attempt, within its time, over a kept or a new connection; `request` is what it sends;
//! * `pool` and `endpoint` keep connections for the next lease of the same endpoint;
//! * `connect` opens connections, behind the address guard, and `asked` notes who wants a client certificate;
//! * `connection` sends over one; `wire` and `frames` are the bytes beneath it, of HTTP/1.1 and of HTTP/2;
//! * `answer` reads what an endpoint answers, within limits, and `redact` takes secrets out of what is kept of it;
//! * `trace` notes how an attempt goes, and `outcome` names failures as the contract does.
//!
//! Nothing here retries, follows a redirect, asks a proxy or decodes a body: an attempt is one request, and what follows
//! from its outcome is the control plane's decision.

mod answer;
mod asked;
mod connect;
mod connection;
mod endpoint;
mod frames;
mod outcome;
mod pool;
mod redact;
mod request;
mod send;
mod trace;
mod wire;

pub(crate) use connect::Dialer;
pub(crate) use pool::Pool;
pub(crate) use send::Sender;

#[cfg(test)]
mod tests;
