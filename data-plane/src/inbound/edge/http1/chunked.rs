//! Takes the data of a chunked body out of a buffer, strictly. Pure.
//!
//! Extensions and trailers are passed over within limits: no provider signs them, and nothing here needs them.

use bytes::{Bytes, BytesMut};

/// The longest line with a chunk's size, in bytes, its extension included.
const SIZE_LINE_BYTES_MAX: usize = 1_024;
/// The most hexadecimal digits of a size.
const SIZE_DIGITS_MAX: usize = 8;
/// All trailers together, in bytes, and how many there may be.
const TRAILER_BYTES_MAX: usize = 8 * 1_024;
const TRAILERS_MAX: usize = 64;
/// The sizes and extensions of a body may take so many bytes, and as many as its data besides.
const OVERHEAD_BYTES: u64 = 16 * 1024;

/// Where in a chunked body the buffer begins.
#[derive(Debug)]
pub(super) struct Chunked {
    state: State,
    overhead: u64,
    data: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Size,
    Data(u64),
    DataEnd,
    Trailers { bytes: usize, lines: usize },
    End,
}

/// What was in the buffer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Some of the body.
    Data(Bytes),
    /// Too little to say.
    More,
    /// The end of the body.
    End,
}

/// It is not a chunked body, or exceeds a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotChunked;

impl Default for Chunked {
    fn default() -> Self {
        Self {
            state: State::Size,
            overhead: 0,
            data: 0,
        }
    }
}

impl Chunked {
    /// Takes what can be taken.
    pub(super) fn step(&mut self, buffer: &mut BytesMut) -> Result<Step, NotChunked> {
        loop {
            match self.state {
                State::End => return Ok(Step::End),
                State::Data(_) if buffer.is_empty() => return Ok(Step::More),
                State::Data(left) => return Ok(Step::Data(self.take(buffer, left))),
                State::Size => match take_line(buffer, SIZE_LINE_BYTES_MAX)? {
                    Some(line) => self.begin_chunk(&line)?,
                    None => return Ok(Step::More),
                },
                State::DataEnd => match take_line(buffer, 0)? {
                    Some(_empty) => self.state = State::Size,
                    None => return Ok(Step::More),
                },
                State::Trailers { bytes, lines } => {
                    match take_line(buffer, TRAILER_BYTES_MAX - bytes)? {
                        Some(line) => self.state = after_trailer(&line, bytes, lines)?,
                        None => return Ok(Step::More),
                    }
                }
            }
        }
    }

    /// Whether all of the body was taken.
    pub(super) fn is_done(&self) -> bool {
        self.state == State::End
    }

    fn take(&mut self, buffer: &mut BytesMut, left: u64) -> Bytes {
        let bytes = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let left = left - bytes as u64;
        self.data += bytes as u64;
        self.state = if left == 0 {
            State::DataEnd
        } else {
            State::Data(left)
        };
        buffer.split_to(bytes).freeze()
    }

    fn begin_chunk(&mut self, line: &[u8]) -> Result<(), NotChunked> {
        self.overhead += line.len() as u64 + 4;
        if self.overhead > OVERHEAD_BYTES + 8 * self.data {
            return Err(NotChunked);
        }
        self.state = match size(line)? {
            0 => State::Trailers { bytes: 0, lines: 0 },
            size => State::Data(size),
        };
        Ok(())
    }
}

/// A line without its end, of at most so many bytes. `None`: its end has not come.
fn take_line(buffer: &mut BytesMut, bytes_max: usize) -> Result<Option<BytesMut>, NotChunked> {
    let Some(feed) = memchr::memchr(b'\n', buffer) else {
        // The CR may have come already.
        let bytes_fit = buffer.len() <= bytes_max + 1;
        return if bytes_fit { Ok(None) } else { Err(NotChunked) };
    };
    let mut line = buffer.split_to(feed + 1);
    if feed == 0 || line[feed - 1] != b'\r' || feed - 1 > bytes_max {
        return Err(NotChunked);
    }
    line.truncate(feed - 1);
    if line.iter().any(|byte| matches!(byte, b'\r' | 0)) {
        return Err(NotChunked);
    }
    Ok(Some(line))
}

fn size(line: &[u8]) -> Result<u64, NotChunked> {
    let end = line.iter().position(|byte| !byte.is_ascii_hexdigit());
    let (digits, extension) = line.split_at(end.unwrap_or(line.len()));
    let extension = extension.trim_ascii_start();
    let extension_is_one = extension.is_empty() || extension.starts_with(b";");
    if digits.is_empty() || digits.len() > SIZE_DIGITS_MAX || !extension_is_one {
        return Err(NotChunked);
    }
    let digits = std::str::from_utf8(digits).map_err(|_| NotChunked)?;
    u64::from_str_radix(digits, 16).map_err(|_| NotChunked)
}

fn after_trailer(line: &[u8], bytes: usize, lines: usize) -> Result<State, NotChunked> {
    if line.is_empty() {
        return Ok(State::End);
    }
    let name_bytes = memchr::memchr(b':', line).ok_or(NotChunked)?;
    let bytes = bytes + line.len() + 2;
    let lines = lines + 1;
    if name_bytes == 0 || bytes > TRAILER_BYTES_MAX || lines > TRAILERS_MAX {
        return Err(NotChunked);
    }
    Ok(State::Trailers { bytes, lines })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The body, and what was left over; given in pieces of `piece` bytes.
    fn decode(bytes: &[u8], piece: usize) -> Result<(Vec<u8>, Vec<u8>), NotChunked> {
        let mut chunked = Chunked::default();
        let (mut buffer, mut body) = (BytesMut::new(), Vec::new());
        let mut pieces = bytes.chunks(piece);
        loop {
            match chunked.step(&mut buffer)? {
                Step::Data(data) => body.extend_from_slice(&data),
                Step::End => break,
                Step::More => buffer.extend_from_slice(pieces.next().ok_or(NotChunked)?),
            }
        }
        let rest = pieces.flatten();
        let left = buffer.iter().chain(rest).copied().collect();
        Ok((body, left))
    }

    #[test]
    fn bodies_are_the_same_however_they_come() {
        for (bytes, body, left) in [
            ("0\r\n\r\n", "", ""),
            ("5\r\nhello\r\n0\r\n\r\nnext", "hello", "next"),
            (
                "1\r\na\r\n00b\r\nbcdefghijkl\r\n0\r\n\r\n",
                "abcdefghijkl",
                "",
            ),
            (
                "A;name=value\r\n0123456789\r\n0;last\r\n\r\n",
                "0123456789",
                "",
            ),
            ("1 ;x\r\n\n\r\n0\r\na: b\r\nc:d\r\n\r\n", "\n", ""),
        ] {
            for piece in [1, 2, 3, 1_000] {
                let decoded = decode(bytes.as_bytes(), piece).expect(bytes);
                let expected = (body.as_bytes().to_vec(), left.as_bytes().to_vec());
                assert_eq!(decoded, expected, "{bytes} by {piece}");
            }
        }
    }

    #[test]
    fn what_is_not_exactly_a_chunked_body_is_refused() {
        let extension = format!("1;{}\r\na\r\n0\r\n\r\n", "e".repeat(40 * 1024));
        let trailers = format!("0\r\n{}\r\n", "a: b\r\n".repeat(70));
        let trailer = format!("0\r\na: {}\r\n\r\n", "b".repeat(60 * 1024));
        let tiny = "1;eeeeeeeeeeeeeeeeeeee\r\na\r\n".repeat(10_000);
        for bytes in [
            "g\r\n",
            "\r\n",
            " 1\r\na\r\n",
            "+1\r\na\r\n",
            "0x1\r\na\r\n",
            "-1\r\n",
            "1,\r\na\r\n",
            "11111111111111111\r\n",
            "ffffffffffffffff1\r\n",
            "1\na\r\n0\r\n\r\n",
            "1\r\na\n0\r\n\r\n",
            "1\r\nab\r\n0\r\n\r\n",
            "1\r\n\r\n\r\n",
            "0\r\n\n",
            "0\r\nno colon\r\n\r\n",
            "0\r\n: b\r\n\r\n",
            "1\rx\r\na\r\n",
            &extension,
            &trailers,
            &trailer,
            &tiny,
        ] {
            for piece in [1, 1_000, 100_000] {
                let start = &bytes[..bytes.len().min(40)];
                assert_eq!(decode(bytes.as_bytes(), piece), Err(NotChunked), "{start}");
            }
        }
    }
}
