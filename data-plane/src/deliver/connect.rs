//! Opens connections to endpoints: resolve, vet, dial the vetted address, look who answered, speak TLS.
//!
//! [`open_socket`] is the only function of the crate that opens a connection to an endpoint. No proxy variable of the
//! environment is read, by construction: there is no code here that could.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use hyper_util::rt::{TokioExecutor, TokioIo};
use posthorn_guard::{
    ResolveError, Resolver, Scheme, Target,
    flood::{Counted, Counting, Flood},
    tapped::Tapped,
};
use posthorn_outbound::Failure;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tracing::{debug, warn};

use super::{
    asked::{self, NoCertificate},
    connection::{Connection, Http1, Http2},
    frames::Frames,
    trace::{Phase, Trace},
    wire::{Informational, Wire},
};
use crate::clock;

/// How long an address may take before the next one is dialled beside it.
const NEXT_AFTER: Duration = Duration::from_millis(250);
/// The longest head of an HTTP/1.1 answer, in bytes, and the size of the buffer that it is read into.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// The longest list of header fields of an HTTP/2 answer, in bytes.
const HEADER_LIST_BYTES_MAX: u32 = 64 * 1024;
/// How much an HTTP/2 peer may send ahead, in bytes: as much as is read of a body.
const WINDOW_BYTES: u32 = 64 * 1024;
/// What an HTTP/2 peer may send since an answer last came further, in bytes: more than the windows of a connection. At twice
/// as much it is cut.
const FLOOD_BYTES_MAX: u64 = 1024 * 1024 + 256 * 1024;

/// Opens connections behind the guard.
pub(crate) struct Dialer {
    resolver: Resolver,
    tls: TlsConnector,
}

impl Dialer {
    /// A dialer that judges addresses with the resolver and certificates with the configuration.
    pub(crate) fn new(resolver: Resolver, mut tls: ClientConfig) -> Self {
        // HTTP/2 is offered before HTTP/1.1.
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        tls.client_auth_cert_resolver = Arc::new(NoCertificate);
        let tls = TlsConnector::from(Arc::new(tls));
        Self { resolver, tls }
    }

    /// The guard's policy and the judge of names.
    pub(crate) fn resolver(&self) -> &Resolver {
        &self.resolver
    }

    /// Opens a connection to the target within `limit`.
    pub(crate) async fn open(
        &self,
        target: &Target,
        limit: Duration,
        trace: &mut Trace,
    ) -> Result<Connection, Failure> {
        match timeout(limit, self.open_however_long(target, trace)).await {
            Ok(opened) => opened,
            Err(_) => Err(trace.timed_out()),
        }
    }

    async fn open_however_long(
        &self,
        target: &Target,
        trace: &mut Trace,
    ) -> Result<Connection, Failure> {
        if target.name().is_some() {
            trace.enter(Phase::Dns, clock::now());
        }
        let addresses = self.resolver.resolve(target).await.map_err(|error| {
            debug!(
                error = &error as &dyn std::error::Error,
                "target has no address to dial"
            );
            match error {
                ResolveError::NotAllowed => Failure::TargetNotAllowed,
                ResolveError::NoSuchName => Failure::DnsNoSuchName,
                ResolveError::NoAnswer(_) => Failure::DnsNoAnswer,
            }
        })?;
        trace.enter(Phase::Connect, clock::now());
        let stream = dial_any(&addresses, trace).await?;
        let peer = stream
            .peer_addr()
            .map_err(|error| posthorn_outbound::of_connect(&error))?;
        trace.reach(peer);
        if !self.resolver.admits(target, peer) {
            return Err(Failure::TargetNotAllowed);
        }
        match target.scheme() {
            Scheme::Http => http1(stream, peer).await,
            Scheme::Https => {
                trace.enter(Phase::Tls, clock::now());
                self.secure(target, stream, peer).await
            }
        }
    }

    async fn secure(
        &self,
        target: &Target,
        stream: TcpStream,
        peer: SocketAddr,
    ) -> Result<Connection, Failure> {
        let name = ServerName::try_from(target.host()).map_err(|_| Failure::TlsWrongName)?;
        let stream = asked::named(self.tls.connect(name, stream)).await?;
        if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
            http2(stream, peer).await
        } else {
            http1(stream, peer).await
        }
    }
}

/// The first of the addresses that answers. The next one is dialled beside those before when they have all failed, or have
/// not answered for a while. Whoever waits for this has one deadline for all.
async fn dial_any(addresses: &[SocketAddr], trace: &mut Trace) -> Result<TcpStream, Failure> {
    let mut left = addresses.iter().copied();
    let mut dials = JoinSet::new();
    let mut failure = None;
    loop {
        let next = left.next();
        if let Some(address) = next {
            trace.reach(address);
            dials.spawn(open_socket(address));
        }
        tokio::select! {
            dialled = dials.join_next() => match dialled {
                Some(Ok(Ok(stream))) => return Ok(stream),
                Some(Ok(Err(error))) => {
                    debug!(%error, "no connection");
                    failure = Some(error);
                }
                // Nothing of it panics, and nobody else ends it.
                Some(Err(_)) => {}
                // Named only now: that one family cannot be spoken here is nothing to warn of when the other answers.
                None => {
                    return Err(failure.as_ref().map_or(Failure::LocalError, named));
                }
            },
            () = sleep(NEXT_AFTER), if next.is_some() => {}
        }
    }
}

fn named(error: &io::Error) -> Failure {
    let failure = posthorn_outbound::of_connect(error);
    if failure == Failure::LocalError {
        warn!(%error, "this host cannot open a connection");
    }
    failure
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that opens a socket to an endpoint; the address has been vetted"
)]
async fn open_socket(vetted: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(vetted).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn http1<S>(stream: S, peer: SocketAddr) -> Result<Connection, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let informational = Arc::new(Informational::default());
    let io = Wire::new(TokioIo::new(stream), informational.clone());
    let (sender, driver) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(HEAD_BYTES_MAX)
        // What RFC 9112 has a user agent mend: the status decides, however old-fashioned the rest of the head is.
        .allow_obsolete_multiline_headers_in_responses(true)
        .allow_spaces_after_header_name_in_responses(true)
        .ignore_invalid_headers_in_responses(true)
        .handshake(io)
        .await
        .map_err(|error| posthorn_outbound::of_request(&error))?;
    let task = tokio::spawn(async move {
        if let Err(error) = driver.await {
            debug!(%error, "connection ended");
        }
    });
    let connection = Http1::new(sender, peer, informational, task.abort_handle());
    Ok(Connection::Http1(connection))
}

async fn http2(stream: TlsStream<TcpStream>, peer: SocketAddr) -> Result<Connection, Failure> {
    let flood = Arc::new(Flood::new(FLOOD_BYTES_MAX));
    let counted = Counted::new(stream, Counting(flood.clone()));
    let io = TokioIo::new(Tapped::new(counted, Frames::default()));
    let (sender, driver) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
        .max_header_list_size(HEADER_LIST_BYTES_MAX)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES * 16)
        .handshake(io)
        .await
        .map_err(|error| posthorn_outbound::of_request(&error))?;
    tokio::spawn(async move {
        if let Err(error) = driver.await {
            debug!(%error, "connection ended");
        }
    });
    Ok(Connection::Http2(Http2::new(sender, peer, flood)))
}
