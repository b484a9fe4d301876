//! The operator's allow list: the only way past the deny list, past https-only and past the rule of ports.
//!
//! One rule is `CIDR[:PORTS]` or `NAME[:PORTS]`. The CIDR may be a single address; an IPv6 one stands in brackets where ports
//! follow. NAME is a host's name, or `*.` and one for all names below it; whatever it leads to is permitted under that name.
//! PORTS is a list of numbers and ranges. Rules are separated by commas, as ports are: an item that is only a number or
//! a range belongs to the rule before it. Examples: `127.0.0.0/8`, `10.1.2.3:8080`, `[::1]/128:80,8000-9000`,
//! `10.0.0.0/8:443,127.0.0.1:1-65535`, `app:8080,*.svc.cluster.local:80,8000-9000`.
//!
//! The list belongs to a deployment, never to a tenant.

use std::{
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    str::FromStr,
};

use ipnet::IpNet;

use crate::name::NamePattern;

/// What an operator lets Posthorn reach besides the public internet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowList {
    rules: Vec<Rule>,
}

/// Why text is no allow list.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum AllowListError {
    /// An item has no CIDR and no name, or one that cannot be read.
    #[error(
        "`{0}` is no address, CIDR or name; write for instance 127.0.0.0/8, 10.1.2.3:8080, [::1]/128:80,8000-9000, \
         app:8080 or *.internal"
    )]
    Place(String),
    /// Ports were given that are none.
    #[error("`{0}` is no port from 1 to 65535 and no range of ports such as 8000-9000")]
    Ports(String),
    /// Bits are set behind the prefix, so that it is not clear which network is meant.
    #[error("`{0}` has bits behind its prefix; the network is {1}")]
    HostBits(String, IpNet),
    /// IPv6 with ports must be in brackets: `[::1]/128:80`.
    #[error("`{0}` is not clear; put the IPv6 address into brackets, such as [::1]/128:80")]
    Brackets(String),
}

impl AllowList {
    /// Whether a rule covers the address and the port.
    pub fn covers(&self, address: SocketAddr) -> bool {
        let is_within = |place: &Place| match place {
            Place::Network(network) => network.contains(&address.ip().to_canonical()),
            Place::Name(_) => false,
        };
        self.has(address.port(), is_within)
    }

    /// Whether some rule covers the port at whatever address; rules of names do not count.
    pub fn covers_port(&self, port: u16) -> bool {
        self.has(port, |place| matches!(place, Place::Network(_)))
    }

    /// Whether a rule covers the name, in its canonical form, and the port.
    pub fn covers_name(&self, name: &str, port: u16) -> bool {
        let is_meant = |place: &Place| match place {
            Place::Network(_) => false,
            Place::Name(pattern) => pattern.covers(name),
        };
        self.has(port, is_meant)
    }

    /// Whether there is no rule at all.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    fn has(&self, port: u16, is_meant: impl Fn(&Place) -> bool) -> bool {
        let mut rules = self.rules.iter();
        rules.any(|rule| is_meant(&rule.place) && rule.has_port(port))
    }
}

impl FromStr for AllowList {
    type Err = AllowListError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut rules: Vec<Rule> = Vec::new();
        for item in text
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
        {
            match rules.last_mut() {
                Some(rule) if is_ports(item) && !rule.ports.is_empty() => {
                    rule.ports.push(parse_ports(item)?);
                }
                _ => rules.push(Rule::parse(item)?),
            }
        }
        Ok(Self { rules })
    }
}

/// Joins lists, such as those of a repeated flag.
impl FromIterator<AllowList> for AllowList {
    fn from_iter<I: IntoIterator<Item = AllowList>>(lists: I) -> Self {
        let rules = lists.into_iter().flat_map(|list| list.rules).collect();
        Self { rules }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Network(IpNet),
    Name(NamePattern),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    place: Place,
    /// Empty: every port.
    ports: Vec<RangeInclusive<u16>>,
}

impl Rule {
    fn parse(item: &str) -> Result<Self, AllowListError> {
        let (place, ports) = split_ports(item)?;
        let ports = ports.map(parse_ports).transpose()?;
        let place = match NamePattern::parse(&place) {
            Some(pattern) => Place::Name(pattern),
            None => Place::Network(parse_network(place, item)?),
        };
        Ok(Self {
            place,
            ports: Vec::from_iter(ports),
        })
    }

    fn has_port(&self, port: u16) -> bool {
        self.ports.is_empty() || self.ports.iter().any(|range| range.contains(&port))
    }
}

/// Splits a rule into a CIDR without brackets, or a name, and the ports.
fn split_ports(item: &str) -> Result<(String, Option<&str>), AllowListError> {
    if let Some(rest) = item.strip_prefix('[') {
        let (address, rest) = rest
            .split_once(']')
            .ok_or_else(|| AllowListError::Place(item.to_owned()))?;
        let (prefix, ports) = match rest.split_once(':') {
            Some((prefix, ports)) => (prefix, Some(ports)),
            None => (rest, None),
        };
        return Ok((format!("{address}{prefix}"), ports));
    }
    match item.split_once(':') {
        Some((place, ports)) if !ports.contains(':') => Ok((place.to_owned(), Some(ports))),
        // Several colons: an IPv6 network, unless the prefix has another colon behind it.
        Some(_)
            if item
                .rsplit_once('/')
                .is_some_and(|(_, prefix)| prefix.contains(':')) =>
        {
            Err(AllowListError::Brackets(item.to_owned()))
        }
        None | Some(_) => Ok((item.to_owned(), None)),
    }
}

fn parse_network(text: String, item: &str) -> Result<IpNet, AllowListError> {
    let single = text.parse::<IpAddr>().map(IpNet::from);
    let network = single
        .or_else(|_| text.parse::<IpNet>())
        .map_err(|_| AllowListError::Place(item.to_owned()))?;
    if network.trunc() == network {
        Ok(network)
    } else {
        Err(AllowListError::HostBits(text, network.trunc()))
    }
}

fn is_ports(item: &str) -> bool {
    item.bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'-')
}

fn parse_ports(text: &str) -> Result<RangeInclusive<u16>, AllowListError> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (first.parse::<u16>(), last.parse::<u16>()) {
        (Ok(first), Ok(last)) if 0 < first && first <= last => Ok(first..=last),
        _ => Err(AllowListError::Ports(text.to_owned())),
    }
}

#[cfg(test)]
mod tests;
