//! Every field of a source's settings, within its limits and out of them.

use prost_types::Duration;

use super::*;
use crate::model::source::OnConflict;
use crate::rpc::convert::{described, names};

const SCHEME: &str = r#"{
    "kind": "hmac", "alg": "sha256", "content": "{param:account}.{body}",
    "sig": {"at": "header:x-signature", "enc": "hex"}
}"#;

fn scheme(text: &str) -> prost_types::Struct {
    json_object_proto(&serde_json::from_str(text).unwrap())
}

fn new() -> v1::SourceSettings {
    v1::SourceSettings {
        name: "billing".to_owned(),
        provider: "custom".to_owned(),
        scheme: Some(scheme(SCHEME)),
        parameters: [("account".to_owned(), "acct_1".to_owned())].into(),
        tolerance: Some(duration_proto(172_800_000)),
        ignore_time: true,
        allowed_addresses: vec!["192.0.2.0/24".to_owned(), "2001:db8::/32".to_owned()],
        body_bytes_max: 26_214_400,
        content_types: vec!["application/json".to_owned()],
        accept_gzip: true,
        answer: Some(v1::SourceAnswer {
            status: 202,
            headers: Vec::new(),
            body: b"ok".to_vec().into(),
        }),
        synchronous: Some(v1::SynchronousAnswer {
            deadline: Some(duration_proto(2_500)),
            fallback: None,
        }),
        forward_headers: vec!["x-signature".to_owned()],
        registered_url: "https://Hooks.example.com/a?b=c".to_owned(),
        rate_per_second: 100_000,
        poll: Some(v1::PollSettings {
            url: "https://api.example.com/events".to_owned(),
            interval: Some(duration_proto(10_000)),
            pages_max: 1,
            ..v1::PollSettings::default()
        }),
        dedupe_window: Some(duration_proto(30 * 24 * 60 * 60 * 1_000)),
        on_conflict: v1::OnConflict::Emit.into(),
        accept_stale_for: None,
        split: Some(false),
    }
}

fn field_at_fault(edit: impl FnOnce(&mut v1::SourceSettings)) -> String {
    let mut new = new();
    edit(&mut new);
    match read(&new, &Policy::default()) {
        Err(Error::Invalid(violations)) if violations.len() == 1 => {
            violations[0].field.replace("settings.", "")
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn settings_survive_the_way_there_and_back() {
    let draft = read(&new(), &Policy::default()).unwrap();
    assert_eq!(proto(&draft.settings), new());
    let kept = serde_json::to_string(&draft.settings).unwrap();
    assert_eq!(
        serde_json::from_str::<SourceSettings>(&kept).unwrap(),
        draft.settings
    );
}

#[test]
fn what_is_unset_has_its_default() {
    let least = v1::SourceSettings {
        provider: "standard_webhooks".to_owned(),
        ..v1::SourceSettings::default()
    };
    let settings = read(&least, &Policy::default()).unwrap().settings;
    assert_eq!(settings.body_bytes_max, 1_048_576);
    assert_eq!(
        (settings.rate_per_second, settings.tolerance_ms),
        (None, None)
    );
    assert!(settings.answer.is_none() && settings.poll.is_none());
    assert_eq!(
        (
            settings.dedupe_window_ms,
            settings.on_conflict,
            settings.split
        ),
        (None, OnConflict::Record, None)
    );
}

#[test]
fn what_tells_repeats_is_within_its_limits() {
    let window = |ms| field_at_fault(|s| s.dedupe_window = Some(duration_proto(ms)));
    for ms in [1, 999, 30 * 24 * 60 * 60 * 1_000 + 1] {
        assert_eq!(window(ms), "dedupe_window", "{ms}");
    }
    assert_eq!(field_at_fault(|s| s.on_conflict = 3), "on_conflict");
    let none = v1::SourceSettings {
        dedupe_window: Some(duration_proto(0)),
        ..new()
    };
    let draft = read(&none, &Policy::default()).unwrap();
    assert_eq!(draft.settings.dedupe_window_ms, None);
}

#[test]
fn only_named_fields_change() {
    let draft = read(&new(), &Policy::default()).unwrap();
    let other = v1::SourceSettings {
        rate_per_second: 9,
        provider: "stripe".to_owned(),
        ..v1::SourceSettings::default()
    };
    let draft = change(
        draft.settings,
        &other,
        &[Field::RatePerSecond],
        &Policy::default(),
    )
    .unwrap();
    let expected = v1::SourceSettings {
        rate_per_second: 9,
        ..new()
    };
    assert_eq!(proto(&draft.settings), expected);
    assert!(draft.poll_target.is_none());
}

#[test]
fn a_source_has_a_provider_or_is_polled() {
    let only_polled = v1::SourceSettings {
        poll: new().poll,
        ..v1::SourceSettings::default()
    };
    let draft = read(&only_polled, &Policy::default()).unwrap();
    assert!(draft.compiled.is_none() && draft.settings.provider.is_none());
    let none = v1::SourceSettings::default();
    match change(draft.settings, &none, &[Field::Poll], &Policy::default()) {
        Err(Error::Invalid(violations)) => assert_eq!(violations[0].field, "settings.poll"),
        other => panic!("{other:?}"),
    }
    assert_eq!(
        field_at_fault(|s| *s = v1::SourceSettings::default()),
        "provider"
    );
    assert_eq!(
        field_at_fault(|s| s.provider = "nobody".to_owned()),
        "provider"
    );
}

#[test]
fn a_scheme_goes_with_a_custom_provider_and_compiles() {
    assert_eq!(field_at_fault(|s| s.scheme = None), "scheme");
    assert_eq!(
        field_at_fault(|s| s.provider = "standard_webhooks".to_owned()),
        "scheme"
    );
    for (text, field) in [
        (r#"{"kind": "magic"}"#, "scheme"),
        (r#"{"kind": "hmac", "colour": "red"}"#, "scheme"),
        (r#"{"like": "nobody"}"#, "scheme.like"),
        (r#"{"content": "{body}"}"#, "scheme.kind"),
        (
            r#"{"kind": "jwt", "sig": {"at": "header:x"}, "jwt": {"algs": ["RS256"]}, "key": {"remote":
                {"url": "https://keys.a.internal/jwks", "hosts": ["keys.a.internal"], "form": "jwks"}}}"#,
            "scheme.key.remote.hosts",
        ),
    ] {
        let found = field_at_fault(|s| s.scheme = Some(scheme(text)));
        assert_eq!(found, field, "{text}");
    }
    let missing = field_at_fault(|s| s.parameters.clear());
    assert_eq!(missing, "parameters[account]");
}

#[test]
fn each_text_or_list_out_of_its_limits_is_named() {
    for name in ["a\0", "  ", &"x".repeat(101)] {
        assert_eq!(field_at_fault(|s| s.name = name.to_owned()), "name");
    }
    let parameter = |name: &str, value: &str| {
        let (name, value) = (name.to_owned(), value.to_owned());
        field_at_fault(move |s| drop(s.parameters.insert(name, value)))
    };
    assert_eq!(parameter("a b", "x"), "parameters");
    assert_eq!(parameter("", "x"), "parameters");
    assert_eq!(parameter("a", ""), "parameters[a]");
    assert_eq!(parameter("a", "x\ny"), "parameters[a]");
    assert_eq!(parameter("a", &"x".repeat(1_025)), "parameters[a]");
    let many = (0..32).map(|n| (format!("p{n}"), "x".to_owned()));
    assert_eq!(field_at_fault(|s| s.parameters.extend(many)), "parameters");
    for address in [
        "",
        "192.0.2.1",
        "192.0.2.0/33",
        "a/8",
        "::ffff:10.0.0.0/104",
    ] {
        let field = field_at_fault(|s| s.allowed_addresses.push(address.to_owned()));
        assert_eq!(field, "allowed_addresses[2]", "{address}");
    }
    let many = vec!["192.0.2.0/24".to_owned(); 65];
    assert_eq!(
        field_at_fault(|s| s.allowed_addresses = many),
        "allowed_addresses"
    );
    for kind in [
        "",
        "json",
        "*/*",
        "text/plain; charset=utf-8",
        "text/plain ",
    ] {
        let field = field_at_fault(|s| s.content_types.push(kind.to_owned()));
        assert_eq!(field, "content_types[1]", "{kind:?}");
    }
    let many = vec!["text/plain".to_owned(); 17];
    assert_eq!(field_at_fault(|s| s.content_types = many), "content_types");
    for url in [
        "/in/a",
        "ftp://example.com/",
        "https://example.com/#a",
        "https://",
        "https://a b/",
    ] {
        let field = field_at_fault(|s| s.registered_url = url.to_owned());
        assert_eq!(field, "registered_url", "{url}");
    }
}

#[test]
fn headers_that_carry_secrets_are_not_sent_on() {
    for name in [
        "",
        "a b",
        "host",
        "webhook-id",
        "authorization",
        "Cookie",
        "X-Api-Key",
        "x-gitlab-token",
        "verif-hash",
        "X-SIGNATURE",
    ] {
        let field = field_at_fault(|s| s.forward_headers.push(name.to_owned()));
        assert_eq!(field, "forward_headers[1]", "{name:?}");
    }
    let many = (0..17).map(|n| format!("x-{n}")).collect::<Vec<_>>();
    assert_eq!(
        field_at_fault(|s| s.forward_headers = many),
        "forward_headers"
    );
    let token = r#"{"kind": "token", "sig": {"at": "header:X-Token"}}"#;
    let field = field_at_fault(|s| {
        s.scheme = Some(scheme(token));
        s.forward_headers = vec!["x-event".to_owned(), "X-Token".to_owned()];
    });
    assert_eq!(field, "forward_headers[1]");
}

#[test]
fn each_number_out_of_its_limits_is_named() {
    for tolerance in [
        duration_proto(0),
        duration_proto(999),
        duration_proto(172_800_001),
        Duration {
            seconds: -1,
            nanos: 0,
        },
    ] {
        let field = field_at_fault(|s| s.tolerance = Some(tolerance));
        assert_eq!(field, "tolerance", "{tolerance:?}");
    }
    for bytes in [1, 1_023, 26_214_401, u32::MAX] {
        let field = field_at_fault(|s| s.body_bytes_max = bytes);
        assert_eq!(field, "body_bytes_max", "{bytes}");
    }
    assert_eq!(
        field_at_fault(|s| s.rate_per_second = 100_001),
        "rate_per_second"
    );
    let late = v1::SynchronousAnswer {
        deadline: Some(duration_proto(10_001)),
        fallback: None,
    };
    assert_eq!(
        field_at_fault(|s| s.synchronous = Some(late)),
        "synchronous.deadline"
    );
    let moved = v1::SourceAnswer {
        status: 302,
        ..v1::SourceAnswer::default()
    };
    assert_eq!(field_at_fault(|s| s.answer = Some(moved)), "answer.status");
}

#[test]
fn every_setting_of_the_contract_can_be_updated_but_the_provider() {
    assert_eq!(names::<Field>(), described("SourceSettings", &["provider"]));
}
