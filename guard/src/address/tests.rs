//! What the deny list denies: every block by its first, last and neighbouring addresses, and every way to embed an IPv4.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use proptest::prelude::*;

use super::{Verdict, verdict, verdict_from_dns};

/// Every block of the deny list, as the registries write it.
const DENIED: &[&str] = &[
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "168.63.129.16/32",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.31.196.0/24",
    "192.52.193.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "192.175.48.0/24",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "255.255.255.255/32",
    "::/8",
    "64:ff9b::/96",
    "64:ff9b:1::/48",
    "100::/64",
    "100:0:0:1::/64",
    "2001::/23",
    "2001:db8::/32",
    "2002::/16",
    "2620:4f:8000::/48",
    "3fff::/20",
    "5f00::/16",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
];

/// The last address before a denied block and the first after one, where those are public.
const NEIGHBOURS: &[&str] = &[
    "1.0.0.0",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "168.63.129.15",
    "168.63.129.17",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "191.255.255.255",
    "192.0.1.0",
    "192.0.3.0",
    "192.88.98.255",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2000::1",
    "2001:200::1",
    "2001:db7::1",
    "2001:db9::1",
    "2003::1",
    "2606:4700::1111",
    "2a00:1450:4001:800::200e",
    "3ffe::1",
    "3fff:1000::1",
];

#[test]
fn the_first_the_last_and_a_middle_address_of_every_block_is_denied() {
    for block in DENIED {
        let block: IpNet = block.parse().expect("a block");
        for address in [block.network(), middle(block), block.broadcast()] {
            assert_eq!(verdict(address), Verdict::Denied, "{address} of {block}");
        }
    }
}

#[test]
fn the_neighbours_of_the_blocks_are_public() {
    for text in NEIGHBOURS {
        let address: IpAddr = text.parse().expect("an address");
        assert_eq!(verdict(address), Verdict::Public, "{address}");
        assert_eq!(verdict_from_dns(address), Verdict::Public, "{address}");
    }
}

#[test]
fn the_addresses_of_metadata_services_are_denied() {
    for text in [
        "169.254.169.254",
        "169.254.170.2",
        "169.254.170.23",
        "169.254.0.23",
        "100.100.100.200",
        "192.0.0.192",
        "168.63.129.16",
        "fd00:ec2::254",
        "fd00:ec2::23",
        "fd20:ce::254",
    ] {
        let address: IpAddr = text.parse().expect("an address");
        assert_eq!(verdict(address), Verdict::Denied, "{address}");
    }
}

#[test]
fn a_nat64_answer_is_judged_by_the_ipv4_that_it_carries() {
    for (text, expected) in [
        ("64:ff9b::8.8.8.8", Verdict::Public),
        ("64:ff9b::10.0.0.1", Verdict::Denied),
        ("64:ff9b::169.254.169.254", Verdict::Denied),
        ("64:ff9b:1::8.8.8.8", Verdict::Denied),
    ] {
        let address: IpAddr = text.parse().expect("an address");
        assert_eq!(verdict_from_dns(address), expected, "{address}");
        assert_eq!(verdict(address), Verdict::Denied, "{address} as a literal");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn no_embedding_hides_a_denied_ipv4(
        block in 0..20_usize, host: u32, prefix: u64, filler: u32, scheme in 0..8_u8
    ) {
        let address = IpAddr::V6(embed(denied_v4(block, host), prefix, filler, scheme));
        prop_assert_eq!(verdict(address), Verdict::Denied, "{}", address);
        prop_assert_eq!(verdict_from_dns(address), Verdict::Denied, "{}", address);
    }

    #[test]
    fn nothing_outside_global_unicast_is_public(bits: u128) {
        let address = Ipv6Addr::from_bits(bits);
        if address.octets()[0] >> 5 != 1 {
            prop_assert_eq!(verdict(IpAddr::V6(address)), Verdict::Denied, "{}", address);
        }
    }
}

/// An address of the IPv4 block with that index, its host bits taken from `host`.
fn denied_v4(block: usize, host: u32) -> Ipv4Addr {
    match DENIED[block].parse().expect("a block") {
        IpNet::V4(net) => {
            Ipv4Addr::from_bits(net.network().to_bits() | host & net.hostmask().to_bits())
        }
        IpNet::V6(net) => unreachable!("{net} is not IPv4"),
    }
}

/// The eight schemes: mapped, compatible, SIIT, NAT64 well-known, NAT64 local, 6to4, Teredo, ISATAP.
fn embed(inner: Ipv4Addr, prefix: u64, filler: u32, scheme: u8) -> Ipv6Addr {
    let inner = u128::from(inner.to_bits());
    let filler = u128::from(filler);
    let bits = match scheme {
        0 => 0xffff_0000_0000 | inner,
        1 => inner,
        2 => 0xffff_0000_0000_0000 | inner,
        3 => (0x0064_ff9b << 96) | inner,
        4 => (0x0064_ff9b_0001 << 80) | (filler << 32) | inner,
        5 => (0x2002 << 112) | (inner << 80) | filler,
        // Teredo: the server in bits 32 to 63, the client's address inverted in the last 32.
        6 => (0x2001_0000 << 96) | (filler << 64) | (inner ^ 0xffff_ffff),
        _ => {
            // ISATAP under any prefix of global unicast, with the universal bit set or not.
            let prefix = u128::from(prefix >> 3 | 1 << 61);
            let universal = if filler % 2 == 0 { 0 } else { 0x0200 };
            (prefix << 64) | (universal << 48) | (0x5efe << 32) | inner
        }
    };
    Ipv6Addr::from_bits(bits)
}

fn middle(block: IpNet) -> IpAddr {
    match block {
        IpNet::V4(net) => {
            let half = net.hostmask().to_bits() / 2;
            Ipv4Addr::from_bits(net.network().to_bits() | half).into()
        }
        IpNet::V6(net) => {
            let half = net.hostmask().to_bits() / 2;
            Ipv6Addr::from_bits(net.network().to_bits() | half).into()
        }
    }
}
