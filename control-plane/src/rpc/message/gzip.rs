//! Compressed messages: gzip, the one coding that every gRPC client has. <https://www.rfc-editor.org/rfc/rfc1952>
//!
//! The end of a gzip member says how long its content is. So much is paid for, and no more is made: one that goes on, or ends
//! before that, is no message.

use std::io::Read as _;

use bytes::{BufMut as _, Bytes, BytesMut};
use flate2::bufread::GzDecoder;

use super::PREFIX_BYTES;

/// The shortest member: its head, an empty block, its end.
const MEMBER_BYTES_MIN: usize = 20;

/// How long the content is, by the member's own word.
pub(super) fn announced(member: &[u8]) -> Option<u32> {
    let (_, end) = member.split_last_chunk::<4>()?;
    (member.len() >= MEMBER_BYTES_MIN).then(|| u32::from_le_bytes(*end))
}

/// The message that a member of so much content holds, with a prefix that says that it is plain. None: it is not what it says.
pub(super) fn unpack(member: &[u8], length: usize) -> Option<Bytes> {
    let mut message = BytesMut::zeroed(PREFIX_BYTES + length);
    let (mut prefix, content) = message.split_at_mut(PREFIX_BYTES);
    prefix.put_u8(0);
    prefix.put_u32(u32::try_from(length).ok()?);
    let mut decoder = GzDecoder::new(member);
    decoder.read_exact(content).ok()?;
    let is_over = decoder.read(&mut [0]).ok()? == 0 && decoder.into_inner().is_empty();
    is_over.then(|| message.freeze())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn pack(content: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_member_is_unpacked_to_what_it_announces_and_no_further() {
        let long = vec![7; 100_000];
        for content in [&b""[..], b"a", &long] {
            let member = pack(content);
            let length = announced(&member).unwrap() as usize;
            assert_eq!(length, content.len());
            let message = unpack(&member, length).unwrap();
            assert_eq!(message[0], 0);
            assert_eq!(message[1..5], u32::try_from(length).unwrap().to_be_bytes());
            assert_eq!(&message[PREFIX_BYTES..], content);
        }
        let mut lies = pack(&[7; 1_000]);
        let end = lies.len() - 4;
        lies[end..].copy_from_slice(&10_u32.to_le_bytes());
        assert_eq!(announced(&lies), Some(10));
        assert_eq!(unpack(&lies, 10), None, "it goes on");
        let two = [pack(b"a"), pack(b"b")].concat();
        assert_eq!(unpack(&two, 1), None, "two members");
        assert_eq!(unpack(&pack(b"a")[..15], 1), None);
        assert_eq!(announced(b"short"), None);
    }
}
