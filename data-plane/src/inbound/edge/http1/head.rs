//! Reads the head of an HTTP/1 request out of a buffer, strictly. Pure.
//!
//! Everything that two programs could read in two ways is refused: line ends without CR, a length that is said twice or
//! beside a transfer coding, any coding but exactly `chunked`. So whatever stands before the edge, it and the edge agree
//! where a request ends.

use bytes::{Bytes, BytesMut};
use http::Method;
use httparse::{EMPTY_HEADER, Error as ParseError, Status};
use posthorn::node::v1::Header;

use super::super::{
    head::{Head, Length},
    limits::{FIELDS_MAX, HeadLimits},
    refusal::Refusal,
};

/// What a client says that wants HTTP/2 without TLS.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n";
/// What the request line has besides the target, in bytes: the longest method that is known, blanks, the version.
const LINE_BYTES: usize = 24;

/// A head and what follows from it for the connection.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) head: Head,
    pub(super) framing: Framing,
    pub(super) expects_continue: bool,
    /// Whether the client wants to use the connection again.
    pub(super) keeps_alive: bool,
}

/// How the body is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// So many bytes.
    Length(u64),
    /// In chunks.
    Chunked,
}

impl Framing {
    /// How long the body is.
    pub(super) fn length(self) -> Length {
        match self {
            Self::Length(bytes) => Length::Known(bytes),
            Self::Chunked => Length::Unknown,
        }
    }
}

/// Why there is no head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoHead {
    /// Answer with this, and close.
    Refused(Refusal),
    /// Close without an answer: HTTP/2 where it is not spoken.
    OtherProtocol,
}

impl From<Refusal> for NoHead {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// How far a head has been looked through. Bytes are looked at once, however slowly they come.
#[derive(Debug, Default)]
pub(super) struct Scan {
    looked_at: usize,
    line_start: usize,
    lines: usize,
    passed_empty_line: bool,
}

impl Scan {
    /// Takes a head off the buffer. `None`: more of it must come. The buffer must only have grown since the last call.
    pub(super) fn head(
        &mut self,
        buffer: &mut BytesMut,
        limits: &HeadLimits,
    ) -> Result<Option<Parsed>, NoHead> {
        if self.lines == 0 && !self.passed_empty_line {
            // Some clients of old end a body with an empty line too many.
            match &buffer[..] {
                b"\r" => return Ok(None),
                [b'\r', b'\n', ..] => {
                    let _empty_line = buffer.split_to(2);
                    self.passed_empty_line = true;
                }
                _ => {}
            }
        }
        match self.end(buffer, limits)? {
            Some(end) => {
                let head = buffer.split_to(end).freeze();
                *self = Self::default();
                parse(&head, limits).map(Some)
            }
            None => Ok(None),
        }
    }

    /// Where the head ends: after the first empty line.
    fn end(&mut self, buffer: &[u8], limits: &HeadLimits) -> Result<Option<usize>, NoHead> {
        while let Some(found) = memchr::memchr(b'\n', &buffer[self.looked_at..]) {
            let feed = self.looked_at + found;
            self.looked_at = feed + 1;
            if feed == self.line_start || buffer[feed - 1] != b'\r' {
                return Err(Refusal::LineEnd.into());
            }
            let is_empty = feed - 1 == self.line_start;
            self.line_start = feed + 1;
            self.check_line(buffer, feed, limits)?;
            if is_empty {
                return Ok(Some(feed + 1));
            }
            self.lines += 1;
        }
        self.looked_at = buffer.len();
        self.check_unfinished(buffer, limits)?;
        Ok(None)
    }

    /// Judges the line that ends at `feed`.
    fn check_line(&self, buffer: &[u8], feed: usize, limits: &HeadLimits) -> Result<(), NoHead> {
        if self.lines == 0 {
            if buffer.starts_with(HTTP2_PREFACE) {
                return Err(NoHead::OtherProtocol);
            }
            check_request_line(feed, limits)?;
        }
        if feed >= limits.bytes {
            return Err(Refusal::HeadLong.into());
        }
        Ok(())
    }

    /// Judges what there is of a head whose end has not come.
    fn check_unfinished(&self, buffer: &[u8], limits: &HeadLimits) -> Result<(), NoHead> {
        if self.lines == 0 {
            // What no method begins with is no HTTP, such as the greeting of TLS: no need to wait for more.
            if buffer
                .first()
                .is_some_and(|first| !first.is_ascii_graphic() && *first != b'\r')
            {
                return Err(Refusal::Malformed.into());
            }
            check_request_line(buffer.len(), limits)?;
        }
        if buffer.len() >= limits.bytes {
            return Err(Refusal::HeadLong.into());
        }
        Ok(())
    }
}

fn check_request_line(bytes: usize, limits: &HeadLimits) -> Result<(), NoHead> {
    if bytes > limits.target_bytes + LINE_BYTES {
        return Err(Refusal::TargetLong.into());
    }
    Ok(())
}

fn parse(head: &Bytes, limits: &HeadLimits) -> Result<Parsed, NoHead> {
    let mut lines = [EMPTY_HEADER; FIELDS_MAX];
    let room = &mut lines[..limits.fields.min(FIELDS_MAX)];
    let mut request = httparse::Request::new(room);
    match request.parse(head) {
        Ok(Status::Complete(bytes)) if bytes == head.len() => {}
        Err(ParseError::TooManyHeaders) => return Err(Refusal::HeadLong.into()),
        _ => return Err(Refusal::Malformed.into()),
    }
    let (Some(method), Some(target), Some(version)) =
        (request.method, request.path, request.version)
    else {
        return Err(Refusal::Malformed.into());
    };
    if target.len() > limits.target_bytes {
        return Err(Refusal::TargetLong.into());
    }
    let is_1_1 = version == 1;
    let framing = framing(request.headers, is_1_1)?;
    let says = |name: &str, token: &str| has_token(request.headers, name, token);
    Ok(Parsed {
        framing,
        expects_continue: is_1_1 && says("expect", "100-continue"),
        keeps_alive: is_1_1 && !says("connection", "close"),
        head: Head {
            method: Method::from_bytes(method.as_bytes()).map_err(|_| Refusal::Malformed)?,
            target: head.slice_ref(target.as_bytes()),
            fields: request
                .headers
                .iter()
                .map(|line| field(head, line))
                .collect(),
        },
    })
}

fn field(head: &Bytes, line: &httparse::Header<'_>) -> Header {
    Header {
        name: line.name.to_ascii_lowercase(),
        value: head.slice_ref(line.value),
    }
}

/// One length, or exactly `chunked`, or neither, which is no body.
fn framing(lines: &[httparse::Header<'_>], is_1_1: bool) -> Result<Framing, Refusal> {
    let (mut length, mut coding) = (None, None);
    for line in lines {
        let place = if line.name.eq_ignore_ascii_case("content-length") {
            &mut length
        } else if line.name.eq_ignore_ascii_case("transfer-encoding") {
            &mut coding
        } else {
            continue;
        };
        if place.replace(line.value).is_some() {
            return Err(Refusal::Framing);
        }
    }
    match (length, coding) {
        (None, None) => Ok(Framing::Length(0)),
        (Some(length), None) => content_length(length).map(Framing::Length),
        (None, Some(coding)) if is_1_1 => transfer_coding(coding),
        _ => Err(Refusal::Framing),
    }
}

/// Digits and nothing else.
fn content_length(value: &[u8]) -> Result<u64, Refusal> {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(value).ok().filter(|_| digits);
    text.and_then(|text| text.parse().ok())
        .ok_or(Refusal::Framing)
}

/// A list that ends in `chunked` is HTTP, but has codings that are not undone here.
fn transfer_coding(value: &[u8]) -> Result<Framing, Refusal> {
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(Framing::Chunked);
    }
    let mut codings = value.rsplit(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    let last_is_chunked = codings
        .next()
        .is_some_and(|last| last.eq_ignore_ascii_case(b"chunked"));
    let others = ["gzip", "x-gzip", "deflate", "compress", "x-compress"];
    let known = |coding: &[u8]| {
        others
            .iter()
            .any(|other| coding.eq_ignore_ascii_case(other.as_bytes()))
    };
    if last_is_chunked && codings.all(known) {
        Err(Refusal::TransferCoding)
    } else {
        Err(Refusal::Framing)
    }
}

fn has_token(lines: &[httparse::Header<'_>], name: &str, token: &str) -> bool {
    let named = lines
        .iter()
        .filter(|line| line.name.eq_ignore_ascii_case(name));
    let mut tokens = named.flat_map(|line| line.value.split(|byte| *byte == b','));
    tokens.any(|said| said.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

#[cfg(test)]
mod tests;
