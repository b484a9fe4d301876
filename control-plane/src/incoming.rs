//! Connections of gRPC: who gets one, how it begins, what it may bring and when it ends.
//!
//! * `listen` is the socket that they come to, `places` says who may be connected and `strangers` who goes, `peer` is what calls know of the other end;
//! * `greeting` and `tls` are the beginning, with a deadline;
//! * `connection` serves HTTP/2, `window` is its flow control, `life` says when a connection is over.
//!
//! Whoever is told to go hears it from HTTP/2 first (GOAWAY), and the calls of those who are known go on to their end.

mod connection;
mod greeting;
mod life;
mod listen;
mod peer;
mod places;
mod strangers;
mod tls;
pub(crate) mod window;

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use http::{Request, Response};
use posthorn_telemetry::Readiness;
use tokio::{
    net::TcpListener,
    task::{JoinError, JoinSet},
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tower::Service;

use self::{
    connection::{Serving, run},
    places::Places,
};
pub(crate) use self::{
    listen::listen,
    peer::{Peer, Standing},
    tls::{Certificate, TlsError, certificate},
};
use crate::{clock, config::Limits, metrics::GrpcMetrics};

/// How often it is looked whether the files of the certificate have changed.
const CERTIFICATE_RELOAD: Duration = Duration::from_mins(1);
/// How long accepting rests after it failed, such as for want of descriptors.
const PAUSE: Duration = Duration::from_millis(100);
/// The condition of readiness that a want of descriptors takes away: nobody can connect, not even a node.
const FILES: &str = "open files";

/// What connections are taken with.
pub(crate) struct Incoming {
    /// Where they come from.
    pub listener: TcpListener,
    /// The certificate, if TLS is served.
    pub tls: Option<Certificate>,
    /// How much is taken on.
    pub limits: Limits,
    /// Counts what is refused.
    pub metrics: GrpcMetrics,
    /// Is told when descriptors run out.
    pub readiness: Readiness,
}

impl Incoming {
    /// Serves connections until `stop`, then until every one of them has ended.
    pub(crate) async fn serve<S>(self, service: S, stop: CancellationToken)
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send,
    {
        self.readiness.set(FILES, true);
        let places = Places::new(self.limits.clone(), self.metrics);
        let tls = self.tls.map(Arc::new);
        let mut followers = JoinSet::new();
        if let Some(certificate) = tls.clone() {
            followers.spawn(async move { certificate.follow(CERTIFICATE_RELOAD).await });
        }
        let serving = Arc::new(Serving {
            service,
            tls,
            limits: self.limits,
        });
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(ended) = connections.join_next() => log_panic(ended),
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, address)) => {
                        self.readiness.set(FILES, true);
                        let place = places.take(address.ip(), clock::monotonic());
                        connections.spawn(run(stream, place, serving.clone(), stop.clone()));
                    }
                    Err(error) => {
                        failed(&error, &places, &self.readiness);
                        sleep(PAUSE).await;
                    }
                }
            }
        }
        // Nobody is to wait in the queue of a listener that accepts no more.
        drop(self.listener);
        while let Some(ended) = connections.join_next().await {
            log_panic(ended);
        }
    }
}

/// A connection could not be accepted. Those that were reset meanwhile are no reason to worry.
fn failed(error: &io::Error, places: &Places, readiness: &Readiness) {
    let is_peers = matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    );
    if is_peers {
        return;
    }
    tracing::warn!(%error, "could not accept a connection");
    readiness.set(FILES, false);
    places.make_room(clock::monotonic());
}

fn log_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection of gRPC broke down");
    }
}

/// A stranger for tests of what calls may take.
#[cfg(test)]
pub(crate) fn stranger(limits: &Limits) -> Arc<Peer> {
    let places = Places::new(limits.clone(), GrpcMetrics::default());
    let address = std::net::Ipv4Addr::LOCALHOST.into();
    places.take(address, clock::monotonic()).peer().clone()
}
