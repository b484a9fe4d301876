//! The client's address: the peer's, unless the peer is a proxy that is trusted to say whose. Pure.
//!
//! Proxies append, so the list is read from its end: the first address that is no trusted proxy is the client's. What
//! the client itself wrote stands before that and is never believed.

use std::{
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use ipnet::IpNet;

use super::head::Head;

/// So many entries are read, from the end.
const ENTRIES_MAX: usize = 20;

/// Addresses of proxies that are trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrustedProxy(IpNet);

/// Why a text is no range of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be an address or a range, such as 10.1.0.0/16")]
pub struct NoRange;

impl FromStr for TrustedProxy {
    type Err = NoRange;

    fn from_str(text: &str) -> Result<Self, NoRange> {
        let single = || text.parse::<IpAddr>().map(IpNet::from);
        text.parse()
            .or_else(|_| single())
            .map(Self)
            .map_err(|_| NoRange)
    }
}

/// Whose request it is.
pub(super) fn client_address(peer: IpAddr, proxies: &[TrustedProxy], head: &Head) -> IpAddr {
    let peer = peer.to_canonical();
    let trusted = |address: &IpAddr| proxies.iter().any(|proxy| proxy.0.contains(address));
    if !trusted(&peer) {
        return peer;
    }
    let mut client = peer;
    for said in entries(head).take(ENTRIES_MAX) {
        // Whatever stands before an entry that is no address was not written by one of our proxies.
        let Some(address) = said else { return client };
        client = address;
        if !trusted(&address) {
            return client;
        }
    }
    client
}

/// The entries of `x-forwarded-for`, or of `forwarded` where that is missing, from the end.
fn entries(head: &Head) -> impl Iterator<Item = Option<IpAddr>> {
    let name = match head.values("x-forwarded-for").next() {
        Some(_) => "x-forwarded-for",
        None => "forwarded",
    };
    let mut lines: Vec<&[u8]> = head.values(name).collect();
    lines.reverse();
    let entries = lines
        .into_iter()
        .flat_map(|line| line.rsplit(|byte| *byte == b','));
    let text = entries.map(|entry| std::str::from_utf8(entry).unwrap_or_default().trim());
    text.map(move |entry| match name {
        "forwarded" => address(forwarded_for(entry)),
        _ => address(entry),
    })
}

/// The `for` of an element of `forwarded`.
fn forwarded_for(element: &str) -> &str {
    let pairs = element.split(';').filter_map(|pair| pair.split_once('='));
    let mut named = pairs.filter(|(name, _)| name.trim().eq_ignore_ascii_case("for"));
    named
        .next()
        .map_or("", |(_, value)| value.trim().trim_matches('"'))
}

/// An address with or without a port, an IPv6 one with or without brackets.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let socket = || text.parse::<SocketAddr>().map(|socket| socket.ip());
    let address = bare.parse::<IpAddr>().or_else(|_| socket());
    address.ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use http::Method;
    use posthorn::node::v1::Header;

    use super::*;

    fn check(peer: &str, fields: &[(&str, &str)], expected: &str) {
        let proxies = ["10.0.0.0/8", "192.0.2.1", "2001:db8::/32"];
        let proxies = proxies.map(|range| range.parse().expect("a range"));
        let fields = fields.iter().map(|(name, value)| Header {
            name: (*name).to_owned(),
            value: value.as_bytes().to_vec().into(),
        });
        let head = Head {
            method: Method::POST,
            target: "/".into(),
            fields: fields.collect(),
        };
        let address = client_address(peer.parse().expect("an address"), &proxies, &head);
        assert_eq!(address.to_string(), expected, "{peer} {:?}", head.fields);
    }

    #[test]
    fn only_a_trusted_proxy_is_believed_and_only_about_the_last_address_that_is_none() {
        let xff = "x-forwarded-for";
        for (peer, fields, expected) in [
            ("1.1.1.1", &[][..], "1.1.1.1"),
            ("1.1.1.1", &[(xff, "2.2.2.2")], "1.1.1.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("::ffff:10.0.0.1", &[(xff, "2.2.2.2")], "2.2.2.2"),
            ("10.0.0.1", &[(xff, "9.9.9.9, 2.2.2.2")], "2.2.2.2"),
            (
                "10.0.0.1",
                &[(xff, "9.9.9.9,2.2.2.2 , 10.9.9.9,192.0.2.1")],
                "2.2.2.2",
            ),
            (
                "10.0.0.1",
                &[(xff, "9.9.9.9"), (xff, "2.2.2.2, 10.0.0.2")],
                "2.2.2.2",
            ),
            ("10.0.0.1", &[(xff, "10.0.0.3, 10.0.0.2")], "10.0.0.3"),
            (
                "10.0.0.1",
                &[(xff, "2.2.2.2, unknown, 10.0.0.2")],
                "10.0.0.2",
            ),
            ("10.0.0.1", &[(xff, "")], "10.0.0.1"),
            ("10.0.0.1", &[(xff, "2.2.2.2:81")], "2.2.2.2"),
            ("10.0.0.1", &[(xff, "[2001:db9::1]:81")], "2001:db9::1"),
            ("2001:db8::1", &[(xff, "2001:db9::1")], "2001:db9::1"),
            (
                "10.0.0.1",
                &[("forwarded", "for=9.9.9.9, for=2.2.2.2;proto=https")],
                "2.2.2.2",
            ),
            (
                "10.0.0.1",
                &[("forwarded", "proto=https;For=\"[2001:db9::1]:81\"")],
                "2001:db9::1",
            ),
            ("10.0.0.1", &[("forwarded", "for=_hidden")], "10.0.0.1"),
            (
                "10.0.0.1",
                &[("forwarded", "for=3.3.3.3"), (xff, "2.2.2.2")],
                "2.2.2.2",
            ),
        ] {
            check(peer, fields, expected);
        }
    }

    #[test]
    fn no_more_than_twenty_entries_are_read() {
        let chain = format!("2.2.2.2{}", ", 10.0.0.7".repeat(1_000));
        check("10.0.0.1", &[("x-forwarded-for", &chain)], "10.0.0.7");
        let chain = format!("2.2.2.2{}", ", 10.0.0.7".repeat(19));
        check("10.0.0.1", &[("x-forwarded-for", &chain)], "2.2.2.2");
    }
}
