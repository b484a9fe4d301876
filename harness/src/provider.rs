//! A provider that signs by Standard Webhooks and posts to an edge.

use std::{
    error::Error,
    io,
    net::SocketAddr,
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use sha2::Sha256;
use tokio::{net::TcpStream, task::JoinHandle};

/// What a provider is called in a source's settings when it signs as this one does.
pub const STANDARD_WEBHOOKS: &str = "standard_webhooks";

/// A provider. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Provider {
    edge: SocketAddr,
    path: String,
    secret: Vec<u8>,
}

/// How an edge answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posted {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

/// A connection to an edge, kept alive. Closed when dropped.
#[derive(Debug)]
pub struct ProviderConnection {
    sender: SendRequest<Full<Bytes>>,
    connection: JoinHandle<hyper::Result<()>>,
}

impl Provider {
    /// One that posts to a source at an edge with a `whsec_` secret.
    pub fn new(edge: SocketAddr, source_id: &str, secret: &str) -> Self {
        let key = secret.strip_prefix("whsec_").unwrap_or(secret);
        Self {
            edge,
            path: format!("/in/{source_id}"),
            secret: STANDARD.decode(key).expect("the secret is base64"),
        }
    }

    /// The same provider, posting to another edge.
    #[must_use]
    pub fn at(&self, edge: SocketAddr) -> Self {
        Self {
            edge,
            ..self.clone()
        }
    }

    /// A signed request of now.
    pub fn request(&self, id: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
        self.request_at(id, body, now_s())
    }

    /// A signed request of another time, in seconds since 1970.
    pub fn request_at(
        &self,
        id: &str,
        body: impl Into<Bytes>,
        timestamp: u64,
    ) -> Request<Full<Bytes>> {
        let body = body.into();
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.secret).expect("any length makes a key");
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(&body);
        let signature = STANDARD.encode(mac.finalize().into_bytes());
        Request::post(&self.path)
            .header(header::HOST, self.edge.to_string())
            .header(header::CONTENT_TYPE, "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", format!("v1,{signature}"))
            .body(Full::new(body))
            .expect("the request is well formed")
    }

    /// Posts a signed body over a connection of its own.
    ///
    /// Errors: no connection, or no whole answer.
    pub async fn post(
        &self,
        id: &str,
        body: impl Into<Bytes>,
    ) -> Result<Posted, Box<dyn Error + Send + Sync>> {
        let request = self.request(id, body);
        Ok(self.connect().await?.send(request).await?)
    }

    /// Opens a connection.
    ///
    /// Errors: nobody listens.
    pub async fn connect(&self) -> io::Result<ProviderConnection> {
        let stream = TcpStream::connect(self.edge).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        Ok(ProviderConnection {
            sender,
            connection: tokio::spawn(connection),
        })
    }
}

impl ProviderConnection {
    /// Sends one request, and waits for the whole answer.
    ///
    /// Errors: the connection ended before that.
    pub async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Posted, hyper::Error> {
        self.sender.ready().await?;
        let answer = self.sender.send_request(request).await?;
        let (head, body) = answer.into_parts();
        Ok(Posted {
            status: head.status,
            headers: head.headers,
            body: body.collect().await?.to_bytes(),
        })
    }
}

impl Drop for ProviderConnection {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

fn now_s() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("it is later than 1970")
        .as_secs()
}
