//! How an attempt went, as its row holds it: nobody asks for rows by it, so it is one value, a protobuf message.

use prost::Message;

use crate::model::delivery::{HttpVersion, Trace};

/// The message. Its numbers are the table's own: none is used again for something else.
#[derive(Clone, PartialEq, Eq, Message)]
struct StoredTrace {
    #[prost(uint32, tag = "1")]
    http_version: u32,
    #[prost(uint32, optional, tag = "2")]
    dns_us: Option<u32>,
    #[prost(uint32, optional, tag = "3")]
    connect_us: Option<u32>,
    #[prost(uint32, optional, tag = "4")]
    tls_us: Option<u32>,
    #[prost(uint32, optional, tag = "5")]
    answer_us: Option<u32>,
    #[prost(string, tag = "6")]
    peer: String,
    #[prost(string, tag = "7")]
    url: String,
}

/// What the column holds.
pub(super) fn to_column(trace: &Trace) -> Vec<u8> {
    let version = trace.http_version.map_or(0, HttpVersion::column);
    let stored = StoredTrace {
        http_version: version.unsigned_abs().into(),
        dns_us: trace.dns_us,
        connect_us: trace.connect_us,
        tls_us: trace.tls_us,
        answer_us: trace.answer_us,
        peer: trace.peer.map(|peer| peer.to_string()).unwrap_or_default(),
        url: trace.url.clone(),
    };
    stored.encode_to_vec()
}

/// Reads the column.
pub(super) fn from_column(bytes: &[u8]) -> Result<Trace, prost::DecodeError> {
    let stored = StoredTrace::decode(bytes)?;
    let version = i16::try_from(stored.http_version).ok();
    Ok(Trace {
        http_version: version.and_then(HttpVersion::from_column),
        dns_us: stored.dns_us,
        connect_us: stored.connect_us,
        tls_us: stored.tls_us,
        answer_us: stored.answer_us,
        peer: stored.peer.parse().ok(),
        url: stored.url,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_read_as_it_was_written() {
        let whole = Trace {
            http_version: Some(HttpVersion::Http2),
            dns_us: Some(0),
            connect_us: Some(1),
            tls_us: Some(u32::MAX),
            answer_us: None,
            peer: "[2001:db8::1]:443".parse().ok(),
            url: "https://example.com/hook".to_owned(),
        };
        for trace in [whole, Trace::default()] {
            assert_eq!(from_column(&to_column(&trace)), Ok(trace));
        }
    }
}
