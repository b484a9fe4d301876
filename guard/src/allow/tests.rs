//! What an allow list covers and what is none, as tables.

use super::*;

#[test]
fn a_rule_covers_its_network_and_its_ports_and_nothing_else() {
    for (list, covered, not_covered) in [
        ("127.0.0.0/8", "127.1.2.3:1", "128.0.0.1:1"),
        ("127.0.0.1", "127.0.0.1:80", "127.0.0.2:80"),
        ("127.0.0.1/32:8080", "127.0.0.1:8080", "127.0.0.1:8081"),
        ("10.1.2.3:80,8000-9000", "10.1.2.3:8500", "10.1.2.3:9001"),
        ("[::1]/128:80,8000-9000", "[::1]:80", "[::1]:81"),
        ("[::1]:80", "[::1]:80", "[::2]:80"),
        ("::1", "[::1]:9", "127.0.0.1:9"),
        ("fd00::/8", "[fd12::1]:443", "[fe80::1]:443"),
        ("10.0.0.0/8:443,127.0.0.1", "127.0.0.1:5", "10.0.0.1:444"),
        (
            "10.0.0.0/8:443, [fd00::]/8:80-81,90",
            "[fd00::1]:90",
            "[fd00::1]:443",
        ),
    ] {
        let list: AllowList = list.parse().expect(list);
        assert!(
            list.covers(covered.parse().expect(covered)),
            "{list:?} {covered}"
        );
        let not_covered = not_covered.parse().expect(not_covered);
        assert!(!list.covers(not_covered), "{list:?} {not_covered}");
    }
}

#[test]
fn what_is_no_rule_is_refused_with_a_hint() {
    for (text, hint) in [
        ("10.0.0", "no address, CIDR or name"),
        ("*", "no address, CIDR or name"),
        ("http://app", "no port"),
        ("8080", "no address, CIDR or name"),
        ("127.0.0.1/33", "no address, CIDR or name"),
        ("127.0.0.1,8080", "no address, CIDR or name"),
        ("[::1/128", "no address, CIDR or name"),
        ("127.0.0.1/8", "the network is 127.0.0.0/8"),
        ("127.0.0.1:0", "no port"),
        ("127.0.0.1:http", "no port"),
        ("127.0.0.1:9000-8000", "no port"),
        ("127.0.0.1:80,70000", "no port"),
        ("::1/128:80", "brackets"),
    ] {
        let error = text.parse::<AllowList>().expect_err(text).to_string();
        assert!(error.contains(hint), "{text}: {error}");
    }
}

#[test]
fn an_empty_list_covers_nothing_and_lists_can_be_joined() {
    let empty: AllowList = "".parse().expect("an empty list");
    assert!(empty.is_empty() && !empty.covers_port(80));
    let joined: AllowList = ["10.0.0.1:80", "10.0.0.2:90"]
        .map(|text| text.parse::<AllowList>().expect(text))
        .into_iter()
        .collect();
    assert!(joined.covers_port(80) && joined.covers_port(90) && !joined.covers_port(81));
}

#[test]
fn a_rule_of_a_name_covers_it_at_its_ports_and_no_address() {
    let list: AllowList = "app:8080,9000-9010,*.internal, 10.0.0.0/8:443"
        .parse()
        .expect("a list");
    for (name, port, expected) in [
        ("app", 8080, true),
        ("app", 9005, true),
        ("app", 80, false),
        ("a.app", 8080, false),
        ("a.b.internal", 1, true),
        ("internal", 1, false),
    ] {
        assert_eq!(list.covers_name(name, port), expected, "{name}:{port}");
    }
    assert!(!list.covers_port(8080) && list.covers_port(443));
    assert!(!list.covers("10.0.0.1:8080".parse().expect("an address")));
}
