//! `host`: what one looks like, and which are served. Pure.

use std::str::FromStr;

/// The longest `host`, in bytes.
const BYTES_MAX: usize = 255;

/// The hosts that are served.
#[derive(Debug, Clone, Default)]
pub(super) struct Hosts(Vec<EdgeHost>);

/// A host that is served: with a port, at that port only; without one, at any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EdgeHost(String);

/// Why a text is no host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a name or an address with or without a port, such as in.example.com")]
pub struct NoHost;

impl FromStr for EdgeHost {
    type Err = NoHost;

    fn from_str(text: &str) -> Result<Self, NoHost> {
        let host = check(text.as_bytes()).ok_or(NoHost)?;
        Ok(Self(host.to_ascii_lowercase()))
    }
}

impl Hosts {
    /// Those; all of them if there are none.
    pub(super) fn new(hosts: Vec<EdgeHost>) -> Self {
        Self(hosts)
    }

    /// Whether the host is served. It must be one that [`check`] has passed.
    pub(super) fn serve(&self, host: &str) -> bool {
        let name = split(host).map_or(host, |(name, _)| name);
        let is = |served: &EdgeHost| {
            host.eq_ignore_ascii_case(&served.0) || name.eq_ignore_ascii_case(&served.0)
        };
        self.0.is_empty() || self.0.iter().any(is)
    }
}

/// The host, if it is one: a name, an IPv4 address, or an IPv6 address in brackets, with or without a port.
pub(super) fn check(host: &[u8]) -> Option<&str> {
    let host = std::str::from_utf8(host).ok()?;
    if host.len() > BYTES_MAX {
        return None;
    }
    let (name, port) = match split(host) {
        Some((name, port)) => (name, Some(port)),
        None => (host, None),
    };
    let port_is_one = port.is_none_or(|port| {
        port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok()
    });
    (is_name(name) && port_is_one).then_some(host)
}

/// The name and the port, if there is a colon before one.
fn split(host: &str) -> Option<(&str, &str)> {
    let (name, port) = host.rsplit_once(':')?;
    // The last colon of a bare IPv6 address is before no port.
    (!port.contains(']')).then_some((name, port))
}

fn is_name(name: &str) -> bool {
    if let Some(address) = name.strip_prefix('[') {
        let address = address
            .strip_suffix(']')
            .map(str::parse::<std::net::Ipv6Addr>);
        return matches!(address, Some(Ok(_)));
    }
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    !name.is_empty() && name.bytes().all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_with_or_without_a_port() {
        let long = format!("{}.example", "a".repeat(300));
        for (host, good) in [
            ("in.example.com", true),
            ("in.example.com:8443", true),
            ("IN.example_1", true),
            ("127.0.0.1:1", true),
            ("[::1]", true),
            ("[2001:db8::1]:443", true),
            ("", false),
            (":80", false),
            ("a:", false),
            ("a:65536", false),
            ("a:+80", false),
            ("a:80a", false),
            ("a:80:80", false),
            ("user@a", false),
            ("user:secret@a", false),
            ("a b", false),
            ("a,b", false),
            ("a/b", false),
            ("a%2eb", false),
            ("[::1", false),
            ("[::1]x", false),
            ("::1", false),
            ("b\u{fc}cher.example", false),
            (&long, false),
        ] {
            assert_eq!(check(host.as_bytes()).is_some(), good, "{host}");
        }
        assert_eq!(check(b"a\xff"), None);
    }

    #[test]
    fn the_hosts_that_are_served_are_those_of_the_list_or_all() {
        let hosts = |list: &[&str]| {
            let parse = |text: &&str| text.parse().expect("a host");
            Hosts::new(list.iter().map(parse).collect())
        };
        for (list, host, served) in [
            (&[][..], "anything", true),
            (&["a.example"], "a.example", true),
            (&["A.example"], "a.EXAMPLE:8443", true),
            (&["a.example:443"], "a.example:443", true),
            (&["a.example:443"], "a.example", false),
            (&["a.example"], "b.a.example", false),
            (&["a.example", "b.example"], "b.example", true),
            (&["[::1]"], "[::1]:80", true),
        ] {
            assert_eq!(hosts(list).serve(host), served, "{list:?} {host}");
        }
    }
}
