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
