//! The pages for operators that every program serves: `/healthz`, `/readyz`, `/metrics`.

use std::{io, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::wait::eventually;

const READY_DEADLINE: Duration = Duration::from_mins(1);

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The status code.
    pub status: u16,
    /// The body, what is not UTF-8 replaced.
    pub body: String,
}

/// Gets a page over plain HTTP.
///
/// Errors: nobody listens, or what answers is not HTTP.
pub async fn get(addr: SocketAddr, path: &str) -> io::Result<Page> {
    let stream = TcpStream::connect(addr).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    let connection = tokio::spawn(connection);
    let request = http::Request::get(path)
        .header("host", addr.to_string())
        .body(Empty::<Bytes>::new());
    let request = request.expect("the path is one of ours");
    let response = sender
        .send_request(request)
        .await
        .map_err(io::Error::other)?;
    let status = response.status().as_u16();
    let body = response
        .into_body()
        .collect()
        .await
        .map_err(io::Error::other)?
        .to_bytes();
    connection.abort();
    Ok(Page {
        status,
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}

/// Waits until `/readyz` says so.
pub(crate) async fn ready(name: &str, addr: SocketAddr) {
    let what = format!("{name} is ready");
    eventually(&what, READY_DEADLINE, async || {
        get(addr, "/readyz")
            .await
            .is_ok_and(|page| page.status == 200)
    })
    .await;
}

/// The address after `label=` in what follows `listening ` on stdout.
pub(crate) fn address(facts: &str, label: &str) -> SocketAddr {
    facts
        .split_whitespace()
        .filter_map(|fact| fact.split_once('='))
        .find_map(|(name, value)| (name == label).then(|| value.parse().ok())?)
        .unwrap_or_else(|| panic!("no {label} address in `listening {facts}`"))
}
