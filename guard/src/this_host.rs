//! The addresses of this host's interfaces, as Linux tells them in `/proc/net`. Elsewhere only loopback is known.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

/// The addresses that others may reach this host at, loopback among them.
fn addresses() -> Vec<IpAddr> {
    let read = |name: &str| fs::read_to_string(format!("/proc/net/{name}")).unwrap_or_default();
    let mut addresses = ipv4(&read("fib_trie"));
    addresses.extend(ipv6(&read("if_inet6")));
    addresses.extend([
        IpAddr::from(Ipv4Addr::LOCALHOST),
        IpAddr::from(Ipv6Addr::LOCALHOST),
    ]);
    addresses.sort();
    addresses.dedup();
    addresses
}

/// Whether the address is one of this host's.
pub(crate) fn has(address: IpAddr) -> bool {
    address.is_loopback() || address.is_unspecified() || addresses().contains(&address)
}

/// Where a listener of this host is reached: one at an unspecified address at each of the host's, and by whoever shares the
/// host at the unspecified one too.
pub(crate) fn reached_at(listener: SocketAddr) -> Vec<SocketAddr> {
    let mut reached = vec![listener];
    if listener.ip().is_unspecified() {
        let addresses = addresses().into_iter();
        reached.extend(addresses.map(|ip| SocketAddr::new(ip, listener.port())));
    }
    reached
}

/// The local addresses in the table of routes: each on a line before what is said of it.
fn ipv4(table: &str) -> Vec<IpAddr> {
    let mut addresses = Vec::new();
    let mut last = None;
    for line in table.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.parse::<IpAddr>().ok();
        } else if line == "/32 host LOCAL" {
            addresses.extend(last);
        }
    }
    addresses
}

/// The addresses in the list of interfaces: each at the beginning of a line, in hex.
fn ipv6(list: &str) -> Vec<IpAddr> {
    let first = |line: &str| u128::from_str_radix(line.split(' ').next()?, 16).ok();
    let addresses = list.lines().filter_map(first).map(Ipv6Addr::from_bits);
    addresses.map(IpAddr::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_from_what_linux_says() {
        let routes = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     |-- 127.0.0.0\n        \
                      /8 host LOCAL\n     |-- 127.0.0.1\n        /32 host LOCAL\n     |-- 10.1.2.3\n        /32 host LOCAL\n     \
                      |-- 10.1.2.255\n        /32 link BROADCAST\n";
        let expected = ["127.0.0.1", "10.1.2.3"].map(|text| text.parse::<IpAddr>().unwrap());
        assert_eq!(ipv4(routes), expected);
        let interfaces = "00000000000000000000000000000001 01 80 10 80       lo\n\
                          fd000000000000000000000000000002 04 40 00 82     eth0\n";
        let expected = ["::1", "fd00::2"].map(|text| text.parse::<IpAddr>().unwrap());
        assert_eq!(ipv6(interfaces), expected);
        assert!(ipv4("no table").is_empty() && ipv6("no list").is_empty());
    }

    #[test]
    fn a_listener_at_every_address_is_reached_at_loopback_too() {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        for every in ["0.0.0.0:80", "[::]:80"] {
            let reached = reached_at(at(every));
            for one in [every, "127.0.0.1:80", "[::1]:80"] {
                assert!(reached.contains(&at(one)), "{every} {one}");
            }
        }
        assert_eq!(reached_at(at("10.0.0.1:80")), [at("10.0.0.1:80")]);
    }
}
