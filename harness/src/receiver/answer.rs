//! How a receiver answers.

use std::{future::pending, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::Full;

/// What the receiver does with the requests to one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Answers with this status code and no body.
    Status(u16),
    /// Answers with one status code after the other; the last one again and again.
    Sequence(Vec<u16>),
    /// Answers 200 after this long.
    Delay(Duration),
    /// Never answers.
    Hang,
    /// Answers 200 with the headers and the body of the request as text.
    Echo,
    /// Answers with exactly this.
    Full {
        /// The status code.
        status: u16,
        /// Headers, in this order.
        headers: Vec<(String, String)>,
        /// The body.
        body: Bytes,
    },
}

impl Default for Answer {
    fn default() -> Self {
        Self::Status(200)
    }
}

impl Answer {
    /// Answers the request with these headers and this body, which came after `earlier` others to the same path.
    pub(super) async fn give(
        self,
        (headers, body): (&HeaderMap, &Bytes),
        earlier: usize,
    ) -> Response<Full<Bytes>> {
        match self {
            Self::Status(status) => empty(status),
            Self::Sequence(statuses) => {
                empty(*statuses.get(earlier).or(statuses.last()).unwrap_or(&200))
            }
            Self::Delay(delay) => {
                tokio::time::sleep(delay).await;
                empty(200)
            }
            Self::Hang => pending().await,
            Self::Echo => full(200, Vec::new(), echo(headers, body).into()),
            Self::Full {
                status,
                headers,
                body,
            } => full(status, headers, body),
        }
    }
}

fn echo(headers: &HeaderMap, body: &[u8]) -> String {
    let text = String::from_utf8_lossy;
    let fields = headers
        .iter()
        .map(|(name, value)| format!("{name}: {}\n", text(value.as_bytes())));
    let head: String = fields.collect();
    head + &text(body)
}

pub(super) fn empty(status: u16) -> Response<Full<Bytes>> {
    full(status, Vec::new(), Bytes::new())
}

fn full(status: u16, headers: Vec<(String, String)>, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = StatusCode::from_u16(status).expect("a status code is 100 to 999");
    for (name, value) in headers {
        let name: HeaderName = name.parse().expect("a header's name");
        let value: HeaderValue = value.parse().expect("a header's value");
        response.headers_mut().append(name, value);
    }
    response
}
