//! Which host names may be looked up at all.
//!
//! The name comes canonical from the URL parser: lower case, IDNA applied. It may still resolve to anything.

/// Names that mean this host, this network, or nothing in the public DNS: they are refused with all below them.
const REFUSED_TOP_LABELS: [&str; 10] = [
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

/// Whether a name has the form of a public host's: at least two labels of letters, digits and hyphens, and a top label
/// of the public DNS. A trailing dot is not accepted.
pub(crate) fn is_public(name: &str) -> bool {
    let Some((_, top)) = name.rsplit_once('.') else {
        return false;
    };
    name.len() <= NAME_BYTES_MAX
        && name.split('.').all(is_label)
        && !REFUSED_TOP_LABELS.contains(&top)
}

fn is_label(label: &str) -> bool {
    let bytes = label.as_bytes();
    !bytes.is_empty()
        && bytes.len() <= LABEL_BYTES_MAX
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
        && bytes[0] != b'-'
        && bytes[bytes.len() - 1] != b'-'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_names_pass() {
        for name in [
            "a.de",
            "hooks.example.com",
            "xn--bcher-kva.ch",
            "1.2.3.nip.io",
            "a-b.c--d.com",
        ] {
            assert!(is_public(name), "{name}");
        }
    }

    #[test]
    fn single_labels_private_names_and_odd_letters_do_not() {
        let long_label = format!("{}.com", "a".repeat(64));
        let long_name = format!("{}com", "a.".repeat(126));
        for name in [
            "",
            ".",
            "a",
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
            "a..com",
            ".a.com",
            "a.com.",
            "a_b.com",
            "-a.com",
            "a-.com",
            "a b.com",
            "*.com",
            &long_label,
            &long_name,
        ] {
            assert!(!is_public(name), "{name}");
        }
    }
}
