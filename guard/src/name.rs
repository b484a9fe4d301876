//! What host names say by their spelling, and the patterns by which an operator lists some.
//!
//! A name comes canonical from the URL parser: lower case, IDNA applied. It may still resolve to anything.

/// Names that mean this host, this network, or nothing in the public DNS, with all below them.
const PRIVATE_TOP_LABELS: [&str; 10] = [
    "arpa",
    "example",
    "internal",
    "invalid",
    "local",
    "localdomain",
    "localhost",
    "onion",
    "svc",
    "test",
];

const NAME_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

/// What a name says by its spelling alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NameKind {
    /// At least two labels, and a top label of the public DNS.
    Public,
    /// A single label, or below a top label that the public DNS does not have: a host of the operator's own network, which
    /// nobody looks up unless the allow list could permit what it leads to.
    Private,
}

/// The kind of a name. None: it is no host's. A final dot is not accepted, the parser has dropped it.
pub(crate) fn kind(name: &str) -> Option<NameKind> {
    if name.len() > NAME_BYTES_MAX || !name.split('.').all(is_label) {
        return None;
    }
    match name.rsplit_once('.') {
        Some((_, top)) if !PRIVATE_TOP_LABELS.contains(&top) => Some(NameKind::Public),
        _ => Some(NameKind::Private),
    }
}

/// Whether a name means this host whatever a name server says (RFC 6761).
pub(crate) fn is_localhost(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost")
}

/// Names that an operator lists: one, or all below one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NamePattern {
    /// `name`.
    One(String),
    /// `*.name`, kept as `.name`.
    Below(String),
}

impl NamePattern {
    /// Reads a pattern in ASCII. None: it is none, or could be meant for an address.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let name = text.strip_prefix("*.").unwrap_or(&text);
        let top = name.rsplit('.').next().unwrap_or_default();
        if kind(name).is_none() || top.starts_with(|first: char| first.is_ascii_digit()) {
            return None;
        }
        Some(match text.strip_prefix('*') {
            Some(suffix) => Self::Below(suffix.to_owned()),
            None => Self::One(text),
        })
    }

    /// Whether it means the name.
    pub(crate) fn covers(&self, name: &str) -> bool {
        match self {
            Self::One(one) => one == name,
            Self::Below(suffix) => name.len() > suffix.len() && name.ends_with(suffix.as_str()),
        }
    }
}

fn is_label(label: &str) -> bool {
    let bytes = label.as_bytes();
    !bytes.is_empty()
        && bytes.len() <= LABEL_BYTES_MAX
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        && bytes[0] != b'-'
        && bytes[bytes.len() - 1] != b'-'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_the_public_dns_is_public() {
        for name in [
            "a.de",
            "hooks.example.com",
            "xn--bcher-kva.ch",
            "1.2.3.nip.io",
            "a-b.c--d.com",
            "api_v2.example.com",
            "_a.com",
        ] {
            assert_eq!(kind(name), Some(NameKind::Public), "{name}");
        }
    }

    #[test]
    fn single_labels_and_names_of_networks_are_private() {
        for name in [
            "a",
            "my_service",
            "localhost",
            "a.localhost",
            "a.local",
            "metadata.google.internal",
            "a.home.arpa",
            "1.0.0.127.in-addr.arpa",
            "a.invalid",
            "a.onion",
            "a.localdomain",
            "kubernetes.default.svc",
            "a.test",
            "a.example",
        ] {
            assert_eq!(kind(name), Some(NameKind::Private), "{name}");
        }
    }

    #[test]
    fn odd_letters_and_empty_or_long_labels_are_no_name() {
        let long_label = format!("{}.com", "a".repeat(64));
        let long_name = format!("{}com", "a.".repeat(126));
        for name in [
            "",
            ".",
            "a..com",
            ".a.com",
            "a.com.",
            "-a.com",
            "a-.com",
            "a b.com",
            "*.com",
            &long_label,
            &long_name,
        ] {
            assert_eq!(kind(name), None, "{name}");
        }
    }

    #[test]
    fn a_pattern_is_a_name_or_all_below_one() {
        for (pattern, covered, not_covered) in [
            ("app", "app", "a.app"),
            ("App.Internal.", "app.internal", "internal"),
            ("*.internal", "a.b.internal", "internal"),
            ("*.internal", "x.internal", "x.notinternal"),
            ("*.app_1", "x.app_1", "app_1"),
        ] {
            let pattern = NamePattern::parse(pattern).expect(pattern);
            assert!(pattern.covers(covered), "{pattern:?} {covered}");
            assert!(!pattern.covers(not_covered), "{pattern:?} {not_covered}");
        }
        for none in [
            "",
            "*",
            "*.",
            "a.*",
            "**.a",
            "a*.b",
            "10.0.0",
            "1.2.3.256",
            "8080",
            "a/8",
            "a b",
        ] {
            assert_eq!(NamePattern::parse(none), None, "{none}");
        }
    }
}
