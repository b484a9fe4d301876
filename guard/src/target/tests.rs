//! What may be written as a target, as tables: one row per URL.

use proptest::prelude::*;

use super::{Scheme, Target};
use crate::{Policy, TargetError};

fn strict() -> Policy {
    Policy::default()
}

fn lenient() -> Policy {
    Policy::new(
        "127.0.0.0/8,[::1]:80,8080,10.0.0.1:22"
            .parse()
            .expect("a list"),
        [],
    )
}

#[test]
fn public_https_urls_pass_and_become_canonical() {
    for (written, canonical) in [
        ("https://example.com", "https://example.com/"),
        ("https://example.com:443/a?b=c", "https://example.com/a?b=c"),
        (
            "HTTPS://EXAMPLE.com:8443/%7Ea/../b",
            "https://example.com:8443/b",
        ),
        ("https://bücher.ch/ö", "https://xn--bcher-kva.ch/%C3%B6"),
        ("https://8.8.8.8/x", "https://8.8.8.8/x"),
        ("https://example.com.:8443/a", "https://example.com:8443/a"),
        ("https://api_v2.example.com/", "https://api_v2.example.com/"),
        (
            "https://[2606:4700::1111]:8443/",
            "https://[2606:4700::1111]:8443/",
        ),
        (
            "https://hooks.example.com/a@b",
            "https://hooks.example.com/a@b",
        ),
    ] {
        let target = Target::parse(written, &strict()).expect(written);
        assert_eq!(target.as_str(), canonical);
        assert_eq!(target.scheme(), Scheme::Https);
    }
}

#[test]
fn a_target_knows_what_a_request_needs() {
    let target = Target::parse("https://Example.com:8443/a?b", &strict()).expect("a target");
    assert_eq!(target.authority(), "example.com:8443");
    assert_eq!(target.path_and_query(), "/a?b");
    assert_eq!(
        (target.host().as_str(), target.port()),
        ("example.com", 8443)
    );
    let target = Target::parse("https://[2606:4700:0::1]", &strict()).expect("a target");
    assert_eq!(target.authority(), "[2606:4700::1]");
    assert_eq!(
        (target.host().as_str(), target.port()),
        ("2606:4700::1", 443)
    );
}

#[test]
fn what_must_not_be_written_is_refused() {
    let long = format!("https://example.com/{}", "a".repeat(2_040));
    for (text, expected) in [
        (long.as_str(), TargetError::TooLong),
        ("", TargetError::Syntax),
        ("example.com", TargetError::Syntax),
        ("https:example.com", TargetError::Syntax),
        ("https:/example.com", TargetError::Syntax),
        ("https:///example.com", TargetError::Syntax),
        ("https://", TargetError::Syntax),
        ("https://example.com:99999/", TargetError::Syntax),
        ("https://example.com:0/", TargetError::Port),
        ("ftp://example.com/", TargetError::Scheme),
        ("file:///etc/passwd", TargetError::Scheme),
        ("gopher://example.com/", TargetError::Scheme),
        ("https://user@example.com/", TargetError::UserInfo),
        ("https://user:secret@example.com/", TargetError::UserInfo),
        ("https://@example.com/", TargetError::UserInfo),
        ("https://example.com/#top", TargetError::Fragment),
        ("https://example.com/#", TargetError::Fragment),
        (" https://example.com/", TargetError::Character),
        ("https://example.com/ a", TargetError::Character),
        ("https://exam\tple.com/", TargetError::Character),
        ("https://example.com/\r\nx: y", TargetError::Character),
        ("https://example.com\\@10.0.0.1/", TargetError::Character),
        ("https://example.com/\u{0}", TargetError::Character),
        ("https://example.com/\u{a0}", TargetError::Character),
    ] {
        assert_eq!(Target::parse(text, &strict()), Err(expected), "{text}");
        assert_eq!(
            Target::parse(text, &lenient()),
            Err(expected),
            "{text} with a list"
        );
    }
}

#[test]
fn private_names_are_looked_up_only_where_the_list_could_permit_them() {
    for host in [
        "localhost",
        "LOCALHOST",
        "a.localhost",
        "intranet",
        "metadata.google.internal",
        "printer.local",
        "kubernetes.default.svc",
        "router.home.arpa",
        "my_service",
        "localhost.",
        "%6c%6f%63alhost",
        "ｌocalhost",
    ] {
        let text = format!("https://{host}/");
        assert_eq!(
            Target::parse(&text, &strict()),
            Err(TargetError::Name),
            "{text}"
        );
        assert!(Target::parse(&text, &lenient()).is_ok(), "{text}");
        let other_port = Policy::new("10.0.0.0/8:8080,other:443".parse().expect("a list"), []);
        assert_eq!(
            Target::parse(&text, &other_port),
            Err(TargetError::Name),
            "{text}"
        );
    }
}

#[test]
fn what_is_no_name_is_refused_even_with_an_allow_list() {
    for host in ["-a.com", "a-.com", "a..com", "example.com..", "*.com", "."] {
        let text = format!("https://{host}/");
        for policy in [strict(), lenient()] {
            let error = Target::parse(&text, &policy).expect_err(&text);
            assert!(
                matches!(error, TargetError::Name | TargetError::Syntax),
                "{text}: {error:?}"
            );
        }
    }
}

#[test]
fn odd_spellings_of_an_ipv4_address_are_refused_even_with_an_allow_list() {
    for host in [
        "0177.0.0.1",
        "0x7f.0.0.1",
        "0x7f000001",
        "0X7F000001",
        "2130706433",
        "017700000001",
        "127.1",
        "127.0.1",
        "127.0.0.1.",
        "127.0.0.01",
        "00127.0.0.1",
        "8.8.8.08",
        "134744072",
        "8.8.2056",
        "１２７.0.0.1",
        "127。0。0。1",
        "①②⑦.0.0.1",
        "%31%32%37.0.0.1",
        "1.2.3.256",
        "1.2.3.4.5",
        "0x",
        "[::ffff:127.0.0.1]",
        "[::ffff:8.8.8.8]",
        "[::127.0.0.1]",
        "[::8.8.8.8]",
        "[::ffff:0:808:808]",
        "[64:ff9b::808:808]",
        "[64:ff9b:1::808:808]",
        "[2002:808:808::1]",
        "[2001:0:808:808::1]",
        "[2606:4700::5efe:808:808]",
        "[2606:4700::200:5efe:808:808]",
        "[2606:4700::8.8.8.8]",
        "[fe80::1%25eth0]",
    ] {
        let text = format!("https://{host}/");
        for policy in [strict(), lenient()] {
            let error = Target::parse(&text, &policy).expect_err(&text);
            assert_eq!(error, TargetError::AddressSpelling, "{text}");
        }
    }
}

#[test]
fn denied_addresses_plain_http_and_service_ports_need_the_allow_list() {
    for (text, without, with) in [
        ("https://127.0.0.1/", Some(TargetError::Address), None),
        ("http://127.0.0.1:8080/", Some(TargetError::Address), None),
        ("https://[::1]:8080/", Some(TargetError::Address), None),
        (
            "https://[::1]:8081/",
            Some(TargetError::Address),
            Some(TargetError::Address),
        ),
        ("https://10.0.0.1:22/", Some(TargetError::Address), None),
        (
            "https://10.0.0.2:22/",
            Some(TargetError::Address),
            Some(TargetError::Address),
        ),
        (
            "https://169.254.169.254/",
            Some(TargetError::Address),
            Some(TargetError::Address),
        ),
        (
            "http://8.8.8.8/",
            Some(TargetError::PlainHttp),
            Some(TargetError::PlainHttp),
        ),
        (
            "https://8.8.8.8:6379/",
            Some(TargetError::Port),
            Some(TargetError::Port),
        ),
        (
            "https://8.8.8.8:80/",
            Some(TargetError::Port),
            Some(TargetError::Port),
        ),
        // A name's address is not known yet: where the list has the port, the resolver decides.
        ("http://example.com/", Some(TargetError::PlainHttp), None),
        ("https://example.com:5432/", Some(TargetError::Port), None),
    ] {
        assert_eq!(Target::parse(text, &strict()).err(), without, "{text}");
        assert_eq!(
            Target::parse(text, &lenient()).err(),
            with,
            "{text} with a list"
        );
    }
}

#[test]
fn a_port_that_no_rule_names_is_refused_without_a_lookup() {
    let policy = Policy::new("10.0.0.0/8:8080".parse().expect("a list"), []);
    let refused = Target::parse("http://example.com/", &policy);
    assert_eq!(refused, Err(TargetError::PlainHttp));
    assert!(Target::parse("http://example.com:8080/", &policy).is_ok());
}

#[test]
fn own_sockets_are_refused_as_targets() {
    let own = "127.0.0.1:8080".parse().expect("an address");
    let policy = Policy::new("127.0.0.0/8".parse().expect("a list"), [own]);
    let refused = Target::parse("http://127.0.0.1:8080/", &policy);
    assert_eq!(refused, Err(TargetError::Address));
}

proptest! {
    #[test]
    fn no_text_panics_and_what_passes_is_canonical(text in "https?://[ -~]{0,40}") {
        if let Ok(target) = Target::parse(&text, &lenient()) {
            prop_assert_eq!(Target::parse(target.as_str(), &lenient()), Ok(target));
        }
    }

    #[test]
    fn no_spelling_of_a_denied_ipv4_passes(last: u16, octal: bool, hex: bool) {
        let [c, d] = last.to_be_bytes();
        let written = match (octal, hex) {
            (true, true) => format!("0{:o}", u32::from_be_bytes([10, 0, c, d])),
            (true, false) => format!("012.0.{c}.{d}"),
            (false, true) => format!("0xa.0.0x{c:x}.0x{d:x}"),
            (false, false) => format!("10.{last}"),
        };
        let text = format!("https://{written}/");
        prop_assert!(Target::parse(&text, &strict()).is_err(), "{}", text);
    }
}
