//! The verdict about one address: the deny list.
//!
//! The blocks are those of the IANA special-purpose and multicast registries and the fixed addresses of cloud
//! platforms. IPv6 is denied unless it lies in `2000::/3`, and then by the table. No list can know which public
//! addresses belong to the operator: those are for the policy's own addresses and for the network around the node.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address belongs to the public internet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Public: it may be connected to.
    Public,
    /// Private, special or unallocated: it may not, unless the operator's allow list says so.
    Denied,
}

/// Judges an address that somebody wrote.
pub fn verdict(address: IpAddr) -> Verdict {
    let denied = match address {
        IpAddr::V4(address) => denies_v4(address),
        IpAddr::V6(address) => denies_v6(address),
    };
    if denied {
        Verdict::Denied
    } else {
        Verdict::Public
    }
}

/// Judges an address that the DNS answered with.
///
/// It differs from [`verdict`] in one block: `64:ff9b::/96` is what a DNS64 resolver answers where there is no IPv4, and
/// is judged by the IPv4 address that it carries.
pub fn verdict_from_dns(address: IpAddr) -> Verdict {
    match address {
        IpAddr::V6(v6) if NAT64.holds(v6) => verdict(IpAddr::V4(last_32_bits(v6))),
        _ => verdict(address),
    }
}

/// The IPv4 address that leads to the same place, where there is one: mapped, or behind NAT64.
pub(crate) fn unwrapped(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) if NAT64.holds(v6) => IpAddr::V4(last_32_bits(v6)),
        _ => address.to_canonical(),
    }
}

fn denies_v4(address: Ipv4Addr) -> bool {
    DENIED_V4.iter().any(|block| block.holds(address))
}

fn denies_v6(address: Ipv6Addr) -> bool {
    !GLOBAL_UNICAST.holds(address)
        || DENIED_V6.iter().any(|block| block.holds(address))
        || is_isatap(address)
}

/// An ISATAP interface identifier carries an IPv4 address under any prefix, so no block can name it.
fn is_isatap(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    matches!(segments[4], 0x0000 | 0x0200) && segments[5] == 0x5efe
}

fn last_32_bits(address: Ipv6Addr) -> Ipv4Addr {
    let [.., a, b, c, d] = address.octets();
    Ipv4Addr::new(a, b, c, d)
}

struct BlockV4 {
    network: u32,
    mask: u32,
}

struct BlockV6 {
    network: u128,
    mask: u128,
}

impl BlockV4 {
    const fn new(a: u8, b: u8, c: u8, d: u8, bits: u32) -> Self {
        let mask = u32::MAX << (32 - bits);
        let network = u32::from_be_bytes([a, b, c, d]) & mask;
        Self { network, mask }
    }

    const fn holds(&self, address: Ipv4Addr) -> bool {
        address.to_bits() & self.mask == self.network
    }
}

impl BlockV6 {
    /// The block of the first four groups given.
    const fn new(groups: [u16; 4], bits: u32) -> Self {
        let [a, b, c, d] = groups;
        let mask = u128::MAX << (128 - bits);
        let network = Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).to_bits() & mask;
        Self { network, mask }
    }

    const fn holds(&self, address: Ipv6Addr) -> bool {
        address.to_bits() & self.mask == self.network
    }
}

const DENIED_V4: [BlockV4; 20] = [
    BlockV4::new(0, 0, 0, 0, 8),          // this network
    BlockV4::new(10, 0, 0, 0, 8),         // private
    BlockV4::new(100, 64, 0, 0, 10),      // shared by carriers; Alibaba's metadata
    BlockV4::new(127, 0, 0, 0, 8),        // loopback
    BlockV4::new(168, 63, 129, 16, 32),   // Azure's WireServer
    BlockV4::new(169, 254, 0, 0, 16),     // link-local; metadata of most clouds
    BlockV4::new(172, 16, 0, 0, 12),      // private
    BlockV4::new(192, 0, 0, 0, 24),       // protocol assignments; Oracle's metadata
    BlockV4::new(192, 0, 2, 0, 24),       // documentation
    BlockV4::new(192, 31, 196, 0, 24),    // AS112
    BlockV4::new(192, 52, 193, 0, 24),    // multicast tunnels
    BlockV4::new(192, 88, 99, 0, 24),     // 6to4 relays
    BlockV4::new(192, 168, 0, 0, 16),     // private
    BlockV4::new(192, 175, 48, 0, 24),    // AS112
    BlockV4::new(198, 18, 0, 0, 15),      // benchmarks
    BlockV4::new(198, 51, 100, 0, 24),    // documentation
    BlockV4::new(203, 0, 113, 0, 24),     // documentation
    BlockV4::new(224, 0, 0, 0, 4),        // multicast
    BlockV4::new(240, 0, 0, 0, 4),        // reserved
    BlockV4::new(255, 255, 255, 255, 32), // broadcast
];

/// What IANA has given out for global unicast. `::/8` with every IPv4 spelling, `100::/64`, `5f00::/16`, unique-local,
/// link-local, site-local and multicast addresses all lie outside.
const GLOBAL_UNICAST: BlockV6 = BlockV6::new([0x2000, 0, 0, 0], 3);

const DENIED_V6: [BlockV6; 5] = [
    BlockV6::new([0x2001, 0, 0, 0], 23), // protocol assignments: Teredo, benchmarks, ORCHID, DRIP
    BlockV6::new([0x2001, 0xdb8, 0, 0], 32), // documentation
    BlockV6::new([0x2002, 0, 0, 0], 16), // 6to4
    BlockV6::new([0x2620, 0x4f, 0x8000, 0], 48), // AS112
    BlockV6::new([0x3fff, 0, 0, 0], 20), // documentation
];

/// The well-known NAT64 prefix.
const NAT64: BlockV6 = BlockV6::new([0x64, 0xff9b, 0, 0], 96);

#[cfg(test)]
mod tests;
