//! The edge: takes what providers post, and answers what the control plane says.
//!
//! * `listener` accepts connections, `tls` has the certificate;
//! * `http1` and `http2` read requests and write answers;
//! * `gate` takes one request from its head to its answer; `head`, `host`, `target` and `client_address` judge heads,
//!   `admission`, `intake`, `pace` and `crowd` bound what is taken in, the guard's `flood` what comes beside requests;
//! * `refusal` is every answer that the edge makes itself, and `request_id` what it is called by.
//!
//! The edge stores nothing, verifies nothing and knows no source but by its limits: whether one exists is the control
//! plane's to say, in an answer like any other. It answers 2xx only what the control plane answered so.

mod admission;
mod body;
mod client_address;
mod config;
mod crowd;
mod gate;
mod head;
mod host;
mod http1;
mod http2;
mod intake;
mod limits;
mod listener;
mod metrics;
mod pace;
mod refusal;
mod request_id;
mod target;
mod tls;
mod unfit;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use posthorn_telemetry::{Readiness, Registry};
use rand::rngs::SmallRng;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::{
    admission::Admission,
    crowd::Crowd,
    gate::Gate,
    host::Hosts,
    limits::Limits,
    listener::{Addresses, Listener},
    metrics::EdgeMetrics,
    request_id::RequestIds,
};
use crate::{Error, inbound::forward::Forwarder};

pub use client_address::{NoRange, TrustedProxy};
pub use config::{EdgeConfig, EdgeConfigError};
pub use host::{EdgeHost, NoHost};
pub use tls::EdgeTlsError;

/// The condition of readiness.
const LISTENS: &str = "edge listens";

/// A bound edge that does not answer yet.
pub(crate) struct Edge {
    listener: Listener,
    addr: SocketAddr,
    tls_reload: Duration,
}

impl Edge {
    /// Reads the certificate and binds the listener.
    pub(crate) async fn bind(
        config: EdgeConfig,
        forwarder: Arc<Forwarder>,
        rng: SmallRng,
        registry: &mut Registry,
    ) -> Result<Self, Error> {
        let files = config.tls_files()?;
        if files.is_none() && !config.listen.ip().is_loopback() {
            let addr = config.listen;
            warn!(%addr, "the edge on {addr} is in plaintext: a proxy in front of it must add TLS");
        }
        let tls = files.map(tls::tls).transpose()?;
        let listen = config.listen;
        let listener = TcpListener::bind(listen).await;
        let listener = listener.map_err(|error| Error::Listen(listen, error))?;
        let addr = listener
            .local_addr()
            .map_err(|error| Error::Listen(listen, error))?;
        let listener = Listener {
            listener,
            tls: tls.map(Arc::new),
            tls_timeout: config.tls_timeout,
            addresses: Arc::new(Addresses::new(config.connections_per_address)),
            gate: Arc::new(gate(&config, forwarder, rng, EdgeMetrics::new(registry))),
        };
        Ok(Self {
            listener,
            addr,
            tls_reload: config.tls_reload,
        })
    }

    /// Where it listens, with the real port.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Answers until `shutdown` is cancelled, then answers what is under way, but no longer than `drain_timeout`.
    pub(crate) async fn serve(
        self,
        shutdown: CancellationToken,
        readiness: &Readiness,
        drain_timeout: Duration,
    ) {
        readiness.set(LISTENS, true);
        let late = async {
            shutdown.cancelled().await;
            readiness.set(LISTENS, false);
            tokio::time::sleep(drain_timeout).await;
        };
        let tls = self.listener.tls.clone();
        let certificate = async {
            match &tls {
                Some(tls) => tls.follow(self.tls_reload).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.listener.run(shutdown.clone()) => info!("the edge has answered everyone"),
            () = late => warn!("drain timeout: the edge closes what is under way"),
            () = certificate => {}
        }
    }
}

fn gate(
    config: &EdgeConfig,
    forwarder: Arc<Forwarder>,
    rng: SmallRng,
    metrics: EdgeMetrics,
) -> Gate {
    let admission = Admission::new(
        (config.requests_in_flight, metrics.requests.clone()),
        (config.bytes_in_flight, metrics.bytes.clone()),
    );
    Gate {
        limits: Limits::new(config),
        crowd: Crowd::new(config.connections),
        hosts: Hosts::new(config.hosts.clone()),
        trusted_proxies: config.trusted_proxies.clone(),
        admission: Arc::new(admission),
        forwarder,
        request_ids: RequestIds::new(rng),
        metrics,
    }
}

/// What the fuzz target does with a connection's bytes.
#[cfg(feature = "fuzzing")]
pub(crate) fn fuzz(bytes: &[u8], piece: usize) {
    http1::check(bytes, piece);
    if let Some(host) = host::check(bytes) {
        let known = target::path_query(bytes, host).map(target::source);
        debug_assert!(
            !matches!(known, Ok(Some(_))),
            "no host is a target of a source"
        );
    }
    let field = posthorn::node::v1::Header {
        name: "x-forwarded-for".to_owned(),
        value: ::bytes::Bytes::copy_from_slice(bytes),
    };
    let head = head::Head {
        method: http::Method::POST,
        target: ::bytes::Bytes::copy_from_slice(bytes),
        fields: vec![field],
    };
    let peer = std::net::IpAddr::from([127, 0, 0, 1]);
    let trusted = "127.0.0.0/8".parse().ok();
    let proxies: Vec<TrustedProxy> = trusted.into_iter().collect();
    client_address::client_address(peer, &proxies, &head);
}
