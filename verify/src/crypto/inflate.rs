//! Gzip undone, within limits.

use std::{borrow::Cow, io::Read as _};

use flate2::read::MultiGzDecoder;

use crate::Refusal;

/// The most bytes that a body may inflate to.
const INFLATED_BYTES_MAX: u64 = 25 * 1024 * 1024;
/// How many times its own size a body may inflate to.
const RATIO_MAX: u64 = 100;
/// Small bodies may inflate to this much in any case: their ratio says nothing.
const INFLATED_BYTES_FREE: u64 = 64 * 1024;

/// The body, inflated when it begins with gzip's magic bytes.
pub(crate) fn inflated(body: &[u8]) -> Result<Cow<'_, [u8]>, Refusal> {
    if !body.starts_with(&[0x1f, 0x8b]) {
        return Ok(Cow::Borrowed(body));
    }
    let size = u64::try_from(body.len()).unwrap_or(u64::MAX);
    let limit = size
        .saturating_mul(RATIO_MAX)
        .clamp(INFLATED_BYTES_FREE, INFLATED_BYTES_MAX);
    let mut bytes = Vec::new();
    let read = MultiGzDecoder::new(body)
        .take(limit + 1)
        .read_to_end(&mut bytes);
    let within = u64::try_from(bytes.len()).is_ok_and(|length| length <= limit);
    match read {
        Ok(_) if within => Ok(Cow::Owned(bytes)),
        _ => Err(Refusal::MalformedBody),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).expect("a vector takes all");
        encoder.finish().expect("a vector takes all")
    }

    #[test]
    fn gzip_is_undone_and_everything_else_stays() {
        assert_eq!(inflated(b"{}").as_deref(), Ok(b"{}".as_slice()));
        assert_eq!(inflated(&gzip(b"{}")).as_deref(), Ok(b"{}".as_slice()));
    }

    #[test]
    fn a_bomb_or_a_torn_stream_is_refused() {
        let bomb = gzip(&vec![0; 30 * 1024 * 1024]);
        assert_eq!(inflated(&bomb), Err(Refusal::MalformedBody));
        let whole = gzip(b"some text that is long enough");
        for length in 2..whole.len() {
            assert_eq!(
                inflated(&whole[..length]),
                Err(Refusal::MalformedBody),
                "{length}"
            );
        }
    }
}
