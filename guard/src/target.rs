//! Where an endpoint is: a URL that has passed the rules of what may be written.
//!
//! The URL is parsed once, by one parser, and only the canonical form is kept and used, so that no two parts of Posthorn
//! can read one URL differently. A target with a name says nothing yet about the addresses behind it: see `resolve`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use url::{Host, Url};

use crate::{
    Policy, TargetError,
    name::{self, NameKind},
    port,
};

/// The longest URL accepted, in bytes.
const URL_BYTES_MAX: usize = 2_048;

/// A URL that Posthorn may deliver to if its addresses may be connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    url: Url,
    scheme: Scheme,
    host: Host<String>,
    port: u16,
}

/// How a target is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Over TLS.
    Https,
    /// In plain, which only the operator's allow list permits.
    Http,
}

impl Target {
    /// Reads a URL and judges what is written. With an IP address in it that is all there is to judge; a name's
    /// addresses are judged by [`Resolver::resolve`](crate::Resolver::resolve).
    pub fn parse(text: &str, policy: &Policy) -> Result<Self, TargetError> {
        check_text(text)?;
        let mut url = Url::parse(text).map_err(|_| syntax_or_spelling(text))?;
        let scheme = match url.scheme() {
            "https" => Scheme::Https,
            "http" => Scheme::Http,
            _ => return Err(TargetError::Scheme),
        };
        if !url.username().is_empty() || url.password().is_some() || authority(text)?.contains('@')
        {
            return Err(TargetError::UserInfo);
        }
        if url.as_str().len() > URL_BYTES_MAX {
            // Escaping made it longer.
            return Err(TargetError::TooLong);
        }
        if url.fragment().is_some() {
            return Err(TargetError::Fragment);
        }
        drop_final_dot(&mut url)?;
        let host = url.host().ok_or(TargetError::Syntax)?.to_owned();
        let port = url.port_or_known_default().filter(|port| *port > 0);
        let port = port.ok_or(TargetError::Port)?;
        let target = Self {
            url,
            scheme,
            host,
            port,
        };
        target.check_host(written_host(text)?)?;
        target.check_permission(policy)?;
        Ok(target)
    }

    /// The canonical URL, so that nobody needs to parse it again.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The canonical URL.
    pub fn as_str(&self) -> &str {
        self.url.as_str()
    }

    /// How it is spoken to.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host: a name, or the text of an address without brackets.
    pub fn host(&self) -> String {
        match &self.host {
            Host::Domain(name) => name.clone(),
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => address.to_string(),
        }
    }

    /// The port, also when the URL leaves it out.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What the `host` header says: the host, with the port unless it is the scheme's own.
    pub fn authority(&self) -> String {
        match self.url.port() {
            Some(port) => format!("{}:{port}", self.host),
            None => self.host.to_string(),
        }
    }

    /// The path and query, as the request line has them.
    pub fn path_and_query(&self) -> &str {
        &self.url[url::Position::BeforePath..url::Position::AfterQuery]
    }

    /// The name to look up. `None` for an address.
    pub fn name(&self) -> Option<&str> {
        match &self.host {
            Host::Domain(name) => Some(name),
            Host::Ipv4(_) | Host::Ipv6(_) => None,
        }
    }

    /// The address that is written. `None` for a name.
    pub(crate) fn literal(&self) -> Option<SocketAddr> {
        let address: IpAddr = match self.host {
            Host::Domain(_) => return None,
            Host::Ipv4(address) => address.into(),
            Host::Ipv6(address) => address.into(),
        };
        Some(SocketAddr::new(address, self.port))
    }

    /// Whether only what the allow list permits may be connected to: for plain http, unusual ports and private names.
    pub(crate) fn needs_listing(&self) -> bool {
        self.scheme == Scheme::Http || !port::is_ordinary(self.port) || self.has_private_name()
    }

    fn has_private_name(&self) -> bool {
        let kind = self.name().and_then(name::kind);
        kind.is_some_and(|kind| kind == NameKind::Private)
    }

    fn check_host(&self, written: &str) -> Result<(), TargetError> {
        match &self.host {
            Host::Domain(name) if name::kind(name).is_some() => Ok(()),
            Host::Domain(_) => Err(TargetError::Name),
            Host::Ipv4(address) if is_dotted_decimal(written, *address) => Ok(()),
            Host::Ipv6(address) if !written.contains('.') && !embeds_v4(*address) => Ok(()),
            Host::Ipv4(_) | Host::Ipv6(_) => Err(TargetError::AddressSpelling),
        }
    }

    fn check_permission(&self, policy: &Policy) -> Result<(), TargetError> {
        let listed = match (self.literal(), self.name()) {
            (Some(address), _) => policy.admits_only_listed(address),
            // Without an address yet: the list permits the name, or could permit what it leads to.
            (_, Some(name)) => policy.lists_name(name, self.port) || policy.lists_port(self.port),
            (None, None) => false,
        };
        match self.literal() {
            Some(address) if !policy.admits(address) => Err(TargetError::Address),
            _ if listed => Ok(()),
            _ if self.has_private_name() => Err(TargetError::Name),
            _ if self.scheme == Scheme::Http => Err(TargetError::PlainHttp),
            _ if !port::is_ordinary(self.port) => Err(TargetError::Port),
            _ => Ok(()),
        }
    }
}

/// `example.com.` is `example.com`: names are looked up as absolute ones anyway, and certificates do not know the dot.
fn drop_final_dot(url: &mut Url) -> Result<(), TargetError> {
    let Some(Host::Domain(name)) = url.host() else {
        return Ok(());
    };
    let Some(name) = name.strip_suffix('.').map(str::to_owned) else {
        return Ok(());
    };
    url.set_host(Some(&name)).map_err(|_| TargetError::Name)
}

fn check_text(text: &str) -> Result<(), TargetError> {
    if text.len() > URL_BYTES_MAX {
        return Err(TargetError::TooLong);
    }
    let odd = |c: char| c.is_control() || c.is_whitespace() || c == '\\';
    if text.contains(odd) {
        return Err(TargetError::Character);
    }
    Ok(())
}

/// What stands between `://` and the path, exactly as written. The parser would also take `https:host` and
/// `https:///host`; those are refused here.
fn authority(text: &str) -> Result<&str, TargetError> {
    let (_, rest) = text.split_once("://").ok_or(TargetError::Syntax)?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    if end == 0 {
        return Err(TargetError::Syntax);
    }
    Ok(&rest[..end])
}

/// The host exactly as written, without the port.
fn written_host(text: &str) -> Result<&str, TargetError> {
    let authority = authority(text)?;
    let host = match authority.rfind(']') {
        Some(end) => &authority[..=end],
        None => authority.split(':').next().unwrap_or(authority),
    };
    Ok(host)
}

/// A host such as `1.2.3.256` or `0x` is one that the parser refuses because it takes it for an address.
fn syntax_or_spelling(text: &str) -> TargetError {
    let host = written_host(text).unwrap_or("");
    let last = host.trim_end_matches('.').rsplit('.').next().unwrap_or("");
    if host.starts_with('[') || last.starts_with(|c: char| c.is_ascii_digit()) {
        TargetError::AddressSpelling
    } else {
        TargetError::Syntax
    }
}

fn is_dotted_decimal(written: &str, address: Ipv4Addr) -> bool {
    written == address.to_string()
}

/// Whether an IPv6 address is one of the spellings of an IPv4 address, be that public or not.
fn embeds_v4(address: std::net::Ipv6Addr) -> bool {
    let segments = address.segments();
    let nat64 = segments[0] == 0x64 && segments[1] == 0xff9b;
    let teredo = segments[0] == 0x2001 && segments[1] == 0;
    let low = segments[..4] == [0; 4] && !address.is_loopback() && !address.is_unspecified();
    nat64 || teredo || low || segments[0] == 0x2002 || segments[5] == 0x5efe
}

#[cfg(test)]
mod tests;
