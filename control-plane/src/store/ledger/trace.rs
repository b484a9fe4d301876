//! How an attempt went, as its row holds it: nobody asks for rows by it, so it is one value, a protobuf message.

use std::net::{IpAddr, SocketAddr};

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
    /// The octets of its address and the two of its port; empty: nobody.
    #[prost(bytes, tag = "6")]
    peer: Vec<u8>,
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
        peer: trace.peer.map(octets).unwrap_or_default(),
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
        peer: peer(&stored.peer),
        url: stored.url,
    })
}

fn octets(peer: SocketAddr) -> Vec<u8> {
    let port = peer.port().to_be_bytes();
    match peer.ip() {
        IpAddr::V4(ip) => [&ip.octets()[..], &port].concat(),
        IpAddr::V6(ip) => [&ip.octets()[..], &port].concat(),
    }
}

fn peer(octets: &[u8]) -> Option<SocketAddr> {
    let (ip, port) = octets.split_last_chunk()?;
    let ip = match ip.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(ip).ok()?),
        _ => IpAddr::from(<[u8; 16]>::try_from(ip).ok()?),
    };
    Some(SocketAddr::new(ip, u16::from_be_bytes(*port)))
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
        let of_ipv4 = Trace {
            peer: "192.0.2.1:80".parse().ok(),
            ..whole.clone()
        };
        for trace in [whole, of_ipv4, Trace::default()] {
            assert_eq!(from_column(&to_column(&trace)), Ok(trace));
        }
    }
}
