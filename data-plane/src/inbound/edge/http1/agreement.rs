//! Whether the edge reads HTTP/1 as another program does: for tests and fuzzing only.
//!
//! The other program is hyper. What the edge takes for the first, second, third request of a connection, hyper must take
//! for the same, or refuse; and the edge must read the same however the bytes come. The edge may refuse what hyper
//! takes: then it closes, and nothing after that is read as a request.

use std::{convert::Infallible, sync::Arc};

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Empty};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

use super::{
    chunked::{Chunked, Step},
    head::{Framing, Parsed, Scan},
};
use crate::{inbound::edge::limits::HeadLimits, lock::Leaf};

const LIMITS: HeadLimits = HeadLimits {
    bytes: 16 * 1024,
    fields: 64,
    target_bytes: 4 * 1024,
};

/// A complete request.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    method: String,
    target: Vec<u8>,
    body: Vec<u8>,
}

/// Checks that the bytes of a connection are read as they must be, whole and in pieces of `piece` bytes.
///
/// # Panics
///
/// When they are not.
pub(crate) fn check(bytes: &[u8], piece: usize) {
    let ours = by_the_edge(bytes, bytes.len().max(1));
    assert_eq!(
        ours,
        by_the_edge(bytes, piece.max(1)),
        "in pieces of {piece}"
    );
    if ours.is_empty() {
        return;
    }
    let theirs = by_hyper(bytes);
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!((&ours.method, &ours.body), (&theirs.method, &theirs.body));
        // hyper cuts fragments off, which the edge refuses, and writes absolute targets in its own way.
        if ours.target.starts_with(b"/") && !ours.target.contains(&b'#') {
            assert_eq!(ours.target, theirs.target);
        }
    }
}

/// The requests that the edge takes.
fn by_the_edge(bytes: &[u8], piece: usize) -> Vec<Seen> {
    let (mut scan, mut buffer, mut seen) = (Scan::default(), BytesMut::new(), Vec::new());
    let mut pieces = bytes.chunks(piece);
    loop {
        match scan.head(&mut buffer, &LIMITS) {
            Err(_) => return seen,
            Ok(None) => match pieces.next() {
                Some(piece) => buffer.extend_from_slice(piece),
                None => return seen,
            },
            Ok(Some(parsed)) => {
                let Some(body) = body(&parsed, &mut buffer, &mut pieces) else {
                    return seen;
                };
                seen.push(Seen {
                    method: parsed.head.method.as_str().to_owned(),
                    target: parsed.head.target.to_vec(),
                    body,
                });
                if !parsed.keeps_alive {
                    return seen;
                }
            }
        }
    }
}

/// The body, unless it is none or does not end.
fn body<'a>(
    parsed: &Parsed,
    buffer: &mut BytesMut,
    pieces: &mut impl Iterator<Item = &'a [u8]>,
) -> Option<Vec<u8>> {
    let (mut body, mut chunked) = (Vec::new(), Chunked::default());
    loop {
        match parsed.framing {
            Framing::Length(bytes) => {
                let bytes = usize::try_from(bytes).ok()?;
                if buffer.len() >= bytes {
                    return Some(buffer.split_to(bytes).to_vec());
                }
            }
            Framing::Chunked => match chunked.step(buffer).ok()? {
                Step::End => return Some(body),
                Step::More => {}
                Step::Data(data) => {
                    body.extend_from_slice(&data);
                    continue;
                }
            },
        }
        buffer.extend_from_slice(pieces.next()?);
    }
}

/// The requests that hyper takes.
fn by_hyper(bytes: &[u8]) -> Vec<Seen> {
    let seen = Arc::new(Leaf::new(Vec::new()));
    let log = seen.clone();
    let service = service_fn(move |request| look(request, log.clone()));
    let talk = async {
        let (mut client, server) = duplex(1024 * 1024);
        let connection = http1::Builder::new()
            .half_close(true)
            .serve_connection(TokioIo::new(server), service);
        let client = async {
            // hyper may close before it has read all.
            let _closed = client.write_all(bytes).await;
            let _closed = client.shutdown().await;
            let mut answers = Vec::new();
            let _closed = client.read_to_end(&mut answers).await;
        };
        let (_failed, ()) = tokio::join!(connection, client);
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    if let Ok(runtime) = runtime {
        runtime.block_on(talk);
    }
    seen.lock().clone()
}

async fn look(
    request: Request<Incoming>,
    log: Arc<Leaf<Vec<Seen>>>,
) -> Result<Response<Empty<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    if let Ok(body) = body.collect().await {
        log.lock().push(Seen {
            method: parts.method.as_str().to_owned(),
            target: parts.uri.to_string().into_bytes(),
            body: body.to_bytes().to_vec(),
        });
    }
    Ok(Response::new(Empty::new()))
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, sample::select};

    use super::*;

    fn line() -> impl Strategy<Value = String> {
        let known = select(vec![
            "host: e",
            "content-length: 0",
            "content-length: 5",
            "content-length: 05",
            "content-length: 5, 5",
            "content-length:\t3 ",
            "content-length : 5",
            "Content-Length: 7",
            "transfer-encoding: chunked",
            "transfer-encoding: chunked ",
            "transfer-encoding: gzip, chunked",
            "transfer-encoding: identity",
            "transfer-encoding:\x0bchunked",
            "connection: close",
            "connection: keep-alive",
            "expect: 100-continue",
            "x: y",
            " folded",
            "",
        ]);
        let end = select(vec!["\r\n", "\r\n", "\r\n", "\r\n", "\n", "\r"]);
        (known, end).prop_map(|(line, end)| format!("{line}{end}"))
    }

    fn request() -> impl Strategy<Value = String> {
        let start = select(vec![
            "POST /a HTTP/1.1\r\n",
            "POST /b HTTP/1.1\r\n",
            "GET /c HTTP/1.1\r\n",
            "POST /d HTTP/1.0\r\n",
            "\r\nPOST /e HTTP/1.1\r\n",
        ]);
        let body = select(vec![
            "",
            "hello",
            "0\r\n\r\n",
            "5\r\nhello\r\n0\r\n\r\n",
            "5;a=b\r\nhello\r\n0\r\nx: y\r\n\r\n",
            "5\nhello\n0\n\n",
            "005\r\nhello\r\n00\r\n\r\n",
            "5 \r\nhello\r\n0\r\n\r\n",
            "POST /inner HTTP/1.1\r\n\r\n",
        ]);
        let lines = prop::collection::vec(line(), 0..4);
        (start, lines, body)
            .prop_map(|(start, lines, body)| format!("{start}{}\r\n{body}", lines.concat()))
    }

    #[test]
    fn both_see_every_request_of_a_good_connection() {
        let bytes = b"POST /a HTTP/1.1\r\ncontent-length: 2\r\n\r\nhiPOST /b HTTP/1.1\r\n\
            transfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\nGET /c HTTP/1.1\r\n\r\n";
        let ours = by_the_edge(bytes, 4);
        assert_eq!(ours.len(), 3);
        assert_eq!(ours, by_hyper(bytes));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        #[test]
        fn what_the_edge_takes_for_requests_hyper_takes_for_the_same(
            requests in prop::collection::vec(request(), 1..4),
            piece in 1_usize..40,
        ) {
            check(requests.concat().as_bytes(), piece);
        }

        #[test]
        fn any_bytes_are_read_the_same_however_they_come(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            piece in 1_usize..40,
        ) {
            check(&bytes, piece);
        }
    }
}
