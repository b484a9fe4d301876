//! The sender against a zoo: real sockets on loopback that behave well, badly and worse.
//!
//! * `zoo` is the server: a script of bytes per connection;
//! * `answers`, `failures`, `guard`, `pool`, `tls`, `http2` and `trace` are what the sender makes of it.

mod answers;
mod failures;
mod guard;
mod http2;
mod pool;
mod tls;
mod trace;
mod zoo;

use std::{net::SocketAddr, path::Path, sync::Arc};

use posthorn::node::v1::{ErrorKind, Header, HttpAnswer, Lease, outcome::Result as Fact};
use posthorn_guard::{Policy, Resolver};
use posthorn_telemetry::Registry;

use super::{Dialer, Pool, Sender};
use crate::{clock, metrics::Metrics};

/// Time enough for everything that is meant to happen.
const PATIENT_MS: u32 = 30_000;
/// Time for what is not.
const SHORT_MS: u32 = 300;

/// The real sender, and its metrics to look at.
struct Node {
    sender: Sender,
    metrics: Arc<Metrics>,
}

impl Node {
    /// A node that may deliver to all of IPv4's loopback.
    fn new() -> Self {
        Self::with(
            Resolver::from_system(policy("127.0.0.0/8")).expect("a resolver"),
            None,
        )
    }

    /// A node that trusts the root certificate of a file.
    fn trusting(extra_ca: &Path) -> Self {
        let resolver = Resolver::from_system(policy("127.0.0.0/8")).expect("a resolver");
        Self::with(resolver, Some(extra_ca))
    }

    /// A node that asks a certain name server.
    fn asking(name_server: SocketAddr, allow: &str) -> Self {
        let resolver = Resolver::with_name_server(policy(allow), name_server);
        Self::with(resolver.expect("a resolver"), None)
    }

    fn with(resolver: Resolver, extra_ca: Option<&Path>) -> Self {
        let metrics = Arc::new(Metrics::new(&mut Registry::default()));
        let tls = posthorn_outbound::client_config(extra_ca).expect("a tls configuration");
        let sender = Sender::new(Pool::new(64), Dialer::new(resolver, tls), metrics.clone());
        Self { sender, metrics }
    }

    /// Performs a lease and waits until its connection is kept or closed.
    async fn perform(&self, mut lease: Lease) -> Fact {
        let performed = self.sender.perform(&mut lease, clock::now()).await;
        if let Some(reusable) = performed.reusable {
            reusable.keep().await;
        }
        performed.fact
    }

    async fn answer(&self, lease: Lease) -> HttpAnswer {
        match self.perform(lease).await {
            Fact::Answer(answer) => answer,
            other => panic!("no answer but {other:?}"),
        }
    }

    async fn error(&self, lease: Lease) -> ErrorKind {
        match self.perform(lease).await {
            Fact::Error(kind) => ErrorKind::try_from(kind).expect("a known kind"),
            other => panic!("no error but {other:?}"),
        }
    }
}

fn policy(allow: &str) -> Arc<Policy> {
    Arc::new(Policy::new(allow.parse().expect(allow), []))
}

/// A lease of a small request with time enough.
fn lease(url: &str) -> Lease {
    Lease {
        lease_id: 1,
        delivery_id: "dlv_1".to_owned(),
        endpoint_id: "ep_1".to_owned(),
        endpoint_version: 1,
        attempt: 1,
        url: url.to_owned(),
        headers: vec![
            header("content-type", "application/json"),
            header("webhook-id", "evt_1"),
        ],
        body: r#"{"a":1}"#.into(),
        connect_timeout_ms: PATIENT_MS,
        timeout_ms: PATIENT_MS,
        hold_ms: PATIENT_MS,
        proof: "proof of 1".into(),
        secret_headers: Vec::new(),
    }
}

/// A lease that has little time.
fn hasty_lease(url: &str) -> Lease {
    Lease {
        timeout_ms: SHORT_MS,
        ..lease(url)
    }
}

fn header(name: &str, value: &str) -> Header {
    Header {
        name: name.to_owned(),
        value: value.to_owned().into(),
    }
}
