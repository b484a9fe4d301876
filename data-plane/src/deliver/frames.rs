//! The frames of an HTTP/2 connection to an endpoint, looked at just so far that informational answers are counted.
//!
//! The HTTP/2 library keeps each of them until somebody asks, and nobody does: without a limit an endpoint could fill the
//! node's memory with a few bytes for each. What is no HTTP/2 is left for the library to find.

use std::{
    collections::BTreeMap,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use posthorn_guard::tapped::Tap;
use tokio::io::{AsyncRead, ReadBuf};

use super::wire::{INFORMATIONAL_MAX, TooManyInformational};

const HEAD_BYTES: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const END_STREAM: u8 = 1;
/// How many heads one stream may have: informational ones, that of the answer, and trailers.
const HEADS_MAX: usize = INFORMATIONAL_MAX + 2;
/// How many streams are counted at one time: more than a connection has. The oldest is forgotten first.
const STREAMS_COUNTED_MAX: usize = 256;

/// Where in the frames a connection is, and how many heads its open streams have had.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    head: Vec<u8>,
    payload_left: usize,
    heads: BTreeMap<u32, usize>,
}

impl Frames {
    /// More came.
    fn came(&mut self, mut bytes: &[u8]) -> Result<(), TooManyInformational> {
        while !bytes.is_empty() {
            let skipped = self.payload_left.min(bytes.len());
            self.payload_left -= skipped;
            bytes = &bytes[skipped..];
            let taken = (HEAD_BYTES - self.head.len()).min(bytes.len());
            if self.payload_left > 0 || taken == 0 {
                continue;
            }
            self.head.extend_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            if let [a, b, c, kind, flags, d, e, f, g] = self.head[..] {
                self.head.clear();
                self.payload_left = usize_of([0, a, b, c]);
                self.began(kind, flags, u32::from_be_bytes([d, e, f, g]))?;
            }
        }
        Ok(())
    }

    fn began(&mut self, kind: u8, flags: u8, stream: u32) -> Result<(), TooManyInformational> {
        if kind == HEADERS {
            let heads = self.heads.entry(stream).or_default();
            *heads += 1;
            if *heads > HEADS_MAX {
                return Err(TooManyInformational);
            }
        }
        let ends = matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0;
        if ends || kind == RST_STREAM {
            self.heads.remove(&stream);
        }
        if self.heads.len() > STREAMS_COUNTED_MAX {
            self.heads.pop_first();
        }
        Ok(())
    }
}

impl Tap for Frames {
    fn poll_read<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(stream).poll_read(context, buffer))?;
        let counted = self.came(&buffer.filled()[before..]);
        Poll::Ready(counted.map_err(io::Error::other))
    }
}

fn usize_of(bytes: [u8; 4]) -> usize {
    usize::try_from(u32::from_be_bytes(bytes)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
        let length = u8::try_from(payload.len()).unwrap();
        [&[0, 0, length, kind, flags, 0, 0, 0, stream][..], payload].concat()
    }

    #[test]
    fn heads_are_counted_for_each_stream_however_the_bytes_are_cut() {
        let one = [
            frame(4, 0, 0, b"settings that look like a frame"),
            frame(HEADERS, 4, 1, b"x"),
            frame(DATA, 0, 1, &[1; 9]),
        ]
        .concat();
        for size in 1..one.len() {
            let mut frames = Frames::default();
            let heads = one.repeat(HEADS_MAX);
            for part in heads.chunks(size) {
                frames.came(part).unwrap();
            }
            frames
                .came(&frame(HEADERS, 4, 3, b"another stream"))
                .unwrap();
            assert!(frames.came(&one).is_err(), "{size}");
        }
    }

    #[test]
    fn what_ended_is_forgotten_and_what_never_ends_is_bounded() {
        let mut frames = Frames::default();
        for _ in 0..100 {
            frames.came(&frame(HEADERS, 4, 1, b"x")).unwrap();
            frames.came(&frame(DATA, END_STREAM, 1, b"x")).unwrap();
            frames
                .came(&frame(HEADERS, 4 | END_STREAM, 3, b"x"))
                .unwrap();
            frames.came(&frame(HEADERS, 4, 5, b"x")).unwrap();
            frames.came(&frame(RST_STREAM, 0, 5, &[0; 4])).unwrap();
        }
        assert!(frames.heads.is_empty());
        for stream in 1..=2_000 {
            frames.began(HEADERS, 4, stream).unwrap();
        }
        assert_eq!(frames.heads.len(), STREAMS_COUNTED_MAX);
    }
}
