//! HTTP/1.1 as the edge speaks it: one request after the other, each answered before the next is looked at.
//!
//! The edge reads HTTP/1 itself, on `httparse`, rather than through hyper. hyper passes over what the edge has to refuse
//! (line ends without CR, a length said twice, a length beside a transfer coding) before any code of ours sees it, and
//! has one timer for what needs three: silence before the first byte, between requests, and within a head. Checking the
//! bytes before hyper would mean to follow every body's framing beside it, and that would be most of what is here.
//!
//! * `head` and `chunked` read bytes, and wait for nothing;
//! * `body` is what the gate reads;
//! * `reply` writes answers.
//!
//! Pipelined requests wait in the socket: at most a read's worth of them is in memory.

#[cfg(any(test, feature = "fuzzing"))]
mod agreement;
mod body;
mod chunked;
mod head;
mod reply;

use std::{net::IpAddr, sync::Arc, time::Duration};

use bytes::BytesMut;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use self::{
    body::Http1Body,
    head::{NoHead, Parsed, Scan},
};
use super::{
    gate::{Answer, Gate},
    refusal::Refusal,
};
use crate::clock;

#[cfg(feature = "fuzzing")]
pub(super) use agreement::check;

/// How much is read at one time while a head is awaited, in bytes.
const READ_BYTES: usize = 4 * 1024;
/// A client that does not take its answer in so long does not get it.
const WRITE_WITHIN: Duration = Duration::from_secs(10);
/// After an answer that closes, what the client still sends is passed over for so long and so many bytes: closing
/// at once would take the answer from it.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 32 * 1024;

/// Serves one connection to its end, or until `stop` is cancelled and the request under way is answered.
pub(super) async fn serve<S>(stream: S, peer: IpAddr, gate: Arc<Gate>, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let connection = Connection {
        stream,
        buffer: BytesMut::new(),
        scan: Scan::default(),
        reply: Vec::new(),
        opened: clock::now(),
        served: 0,
        peer,
        gate,
        stop,
    };
    connection.run().await;
}

struct Connection<S> {
    stream: S,
    /// What came and was not used yet.
    buffer: BytesMut,
    scan: Scan,
    /// An answer being written; kept for its memory.
    reply: Vec<u8>,
    opened: Instant,
    served: u32,
    peer: IpAddr,
    gate: Arc<Gate>,
    stop: CancellationToken,
}

/// What a connection goes on to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    Another,
    Close,
}

/// Why no head was read.
enum Silent {
    /// Nothing is to be said: the client went, was silent for too long, or speaks something else.
    End,
    Refused(Refusal),
}

impl From<NoHead> for Silent {
    fn from(no_head: NoHead) -> Self {
        match no_head {
            NoHead::Refused(refusal) => Self::Refused(refusal),
            NoHead::OtherProtocol => Self::End,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Connection<S> {
    async fn run(mut self) {
        loop {
            let after = match self.read_head().await {
                Ok(parsed) => self.answer(parsed).await,
                Err(Silent::Refused(refusal)) => {
                    let answer = self.gate.refused(refusal);
                    self.write(&answer, false, After::Close).await;
                    After::Close
                }
                Err(Silent::End) => return,
            };
            if after == After::Close {
                return self.linger().await;
            }
        }
    }

    /// The next head, within its time.
    async fn read_head(&mut self) -> Result<Parsed, Silent> {
        let times = self.gate.limits.times;
        if self.buffer.is_empty() {
            // A connection must begin to speak as fast as it must speak.
            let silence = if self.served == 0 {
                self.head_within()
            } else {
                times.idle
            };
            let idle = self.gate.crowd.idle(self.served > 0);
            tokio::select! {
                read = timeout(silence, self.read_before_head()) => read.map_err(|_| Silent::End)??,
                () = idle.goes() => return Err(Silent::End),
            }
        }
        if let Some(parsed) = self.scan.head(&mut self.buffer, &self.gate.limits.head)? {
            return Ok(parsed);
        }
        let within = self.head_within();
        let rest = timeout(within, self.read_rest_of_head()).await;
        rest.map_err(|_| Silent::End)?
    }

    fn head_within(&self) -> Duration {
        let gate = &self.gate;
        gate.crowd.head_within(gate.limits.times.head)
    }

    async fn read_before_head(&mut self) -> Result<(), Silent> {
        if self.stop.is_cancelled() {
            return Err(Silent::End);
        }
        let Self {
            stream,
            buffer,
            stop,
            ..
        } = self;
        buffer.reserve(READ_BYTES);
        let read = stop.run_until_cancelled(stream.read_buf(buffer)).await;
        match read {
            Some(Ok(1..)) => Ok(()),
            _ => Err(Silent::End),
        }
    }

    async fn read_rest_of_head(&mut self) -> Result<Parsed, Silent> {
        loop {
            self.buffer.reserve(READ_BYTES);
            let Ok(1..) = self.stream.read_buf(&mut self.buffer).await else {
                return Err(Silent::End);
            };
            if let Some(parsed) = self.scan.head(&mut self.buffer, &self.gate.limits.head)? {
                return Ok(parsed);
            }
        }
    }

    async fn answer(&mut self, parsed: Parsed) -> After {
        self.served += 1;
        let is_head = parsed.head.method == http::Method::HEAD;
        let length = parsed.framing.length();
        let mut body = Http1Body::new(
            &mut self.stream,
            &mut self.buffer,
            parsed.framing,
            parsed.expects_continue,
        );
        let answer = self
            .gate
            .answer(parsed.head, length, &mut body, self.peer)
            .await;
        let next_is_a_request = body.pass_over();
        let closes = match answer {
            Answer::Gone => return After::Close,
            Answer::Refused(refusal, _) => refusal.closes(),
            Answer::Given(_) => false,
        };
        let after = if closes || !next_is_a_request || !parsed.keeps_alive || self.is_over() {
            After::Close
        } else {
            After::Another
        };
        self.write(&answer, is_head, after).await
    }

    /// Whether the connection has had its time or its requests, or the edge closes.
    fn is_over(&self) -> bool {
        let limits = &self.gate.limits;
        let age = clock::now().saturating_duration_since(self.opened);
        self.served >= limits.requests_per_connection
            || age >= limits.times.age
            || self.stop.is_cancelled()
    }

    async fn write(&mut self, answer: &Answer, is_head: bool, after: After) -> After {
        self.reply.clear();
        reply::write(
            answer,
            is_head,
            after == After::Close,
            clock::unix_ms(),
            &mut self.reply,
        );
        let written = async {
            self.stream.write_all(&self.reply).await?;
            self.stream.flush().await
        };
        match timeout(WRITE_WITHIN, written).await {
            Ok(Ok(())) => after,
            _ => After::Close,
        }
    }

    async fn linger(mut self) {
        let passed_over = async {
            self.stream.shutdown().await.ok()?;
            let mut passed = 0;
            while passed < LINGER_BYTES {
                self.buffer.clear();
                self.buffer.reserve(READ_BYTES);
                match self.stream.read_buf(&mut self.buffer).await {
                    Ok(bytes @ 1..) => passed += bytes,
                    _ => break,
                }
            }
            Some(())
        };
        let _late = timeout(LINGER, passed_over).await;
    }
}
