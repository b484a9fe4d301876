//! Keys that a provider publishes: what has to be fetched, and what was.
//!
//! Nothing here fetches. The caller does, through its own address guard, with a limit of [`FETCHED_BYTES_MAX`], and keeps
//! what it got for a while.

use url::Url;

/// The most bytes of a fetched key, certificate or key set that are read.
pub const FETCHED_BYTES_MAX: usize = 64 * 1024;

/// A key that a request needs. The host is one that the scheme allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRequest {
    /// Where it is: always https.
    pub url: Url,
    /// What is found there.
    pub form: KeyForm,
}

/// What a key's address leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyForm {
    /// One or more certificates in PEM, the signer's first.
    Certificate,
    /// A public key in PEM.
    Pem,
    /// A JSON web key set.
    Jwks,
    /// A JSON object of key ids and certificates in PEM, as Google publishes them.
    GoogleCerts,
    /// A provider's own JSON; the scheme knows where the key is in it.
    ProviderJson,
}

/// What was fetched from a key's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The address of the [`KeyRequest`] that this answers.
    pub url: Url,
    /// The bytes found there.
    pub body: Vec<u8>,
}

/// What was fetched from an address, when it was and is not too long.
pub(crate) fn fetched<'a>(fetched: &'a [Fetched], url: &Url) -> Option<&'a [u8]> {
    fetched
        .iter()
        .find(|known| known.url == *url)
        .map(|known| known.body.as_slice())
        .filter(|body| body.len() <= FETCHED_BYTES_MAX)
}

/// Reads an address and checks it: https, no credentials, the default port, a host of the list.
///
/// A pattern of the list is a host name whose `*` stands for one label of letters, digits and hyphens:
/// `sns.*.amazonaws.com`.
pub(crate) fn pinned(text: &str, hosts: &[impl AsRef<str>]) -> Option<Url> {
    if text.len() > 2048 || text.bytes().any(|byte| !byte.is_ascii_graphic()) {
        return None;
    }
    let url = Url::parse(text).ok()?;
    let host = url.host_str()?;
    let plain = url.scheme() == "https"
        && url.username().is_empty()
        && url.password().is_none()
        && url.port().is_none()
        && url.fragment().is_none()
        && !text.contains('\\');
    (plain
        && hosts
            .iter()
            .any(|pattern| host_matches(pattern.as_ref(), host)))
    .then_some(url)
}

/// Refuses a list of hosts that would take in more than one party's: at least two labels stand after any `*`, and none is an
/// address, of which there are many spellings.
pub(crate) fn check_hosts(hosts: &[String]) -> Result<(), &'static str> {
    if hosts.iter().all(|host| is_anchored(host)) {
        Ok(())
    } else {
        Err(
            "must be host names in lower case; a `*` may stand for one label that is followed by two others",
        )
    }
}

fn is_anchored(pattern: &str) -> bool {
    let labels: Vec<_> = pattern.split('.').collect();
    let fixed = labels.iter().rev().take_while(|label| **label != "*");
    let is_lower = |label: &str| !label.bytes().any(|byte| byte.is_ascii_uppercase());
    let top = labels.last().copied().unwrap_or_default();
    fixed.count() >= 2
        && !top.starts_with(|first: char| first.is_ascii_digit())
        && labels
            .iter()
            .all(|label| *label == "*" || is_label(label) && is_lower(label))
}

fn host_matches(pattern: &str, host: &str) -> bool {
    let mut labels = host.split('.');
    let same = pattern.split('.').all(|wanted| {
        labels.next().is_some_and(|label| {
            if wanted == "*" {
                is_label(label)
            } else {
                label == wanted
            }
        })
    });
    same && labels.next().is_none()
}

fn is_label(label: &str) -> bool {
    !label.is_empty()
        && label
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g4_a_list_of_hosts_names_one_partys_hosts() {
        let listed = |host: &str| check_hosts(&[host.to_owned()]).is_ok();
        for good in [
            "api.example.com",
            "*.example.com",
            "sns.*.amazonaws.com",
            "a-1.example.co.uk",
        ] {
            assert!(listed(good), "{good}");
        }
        for bad in [
            "",
            "*",
            "*.com",
            "*.*",
            "com",
            "a.*",
            "a.*.com",
            "api..com",
            "API.example.com",
            "10.0.0.1",
            "0x7f.0.0.0x1",
            "[::1]",
            "a b.example.com",
            "**.example.com",
            "a*.example.com",
            "example.com.",
            "example.com:443",
        ] {
            assert!(!listed(bad), "{bad}");
        }
    }

    #[test]
    fn only_https_addresses_of_listed_hosts_are_pinned() {
        let hosts = ["sns.*.amazonaws.com", "api.example.com"];
        for good in [
            "https://sns.eu-west-1.amazonaws.com/a.pem",
            "https://API.example.com/",
            "https://api.example.com:443/x?y",
        ] {
            assert!(pinned(good, &hosts).is_some(), "{good}");
        }
        for bad in [
            "http://api.example.com/",
            "https://api.example.com.evil.test/",
            "https://evil.test/api.example.com",
            "https://sns.a.b.amazonaws.com/",
            "https://sns..amazonaws.com/",
            "https://sns.amazonaws.com/",
            "https://user@api.example.com/",
            "https://api.example.com@evil.test/",
            "https://api.example.com:8443/",
            "https://api.example.com\\@evil.test/",
            "https://evil.test\\.api.example.com/",
            "https://api.example.com./",
            "https://[::1]/",
            "api.example.com",
            "",
        ] {
            assert!(pinned(bad, &hosts).is_none(), "{bad}");
        }
    }
}
