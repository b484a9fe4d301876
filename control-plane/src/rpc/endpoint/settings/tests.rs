//! Settings that are taken and refused.

use super::*;
use crate::retry::RetryPolicy;
use crate::rpc::convert::{described, names};

const SOURCE: &str = "src_01h455vb4pex5vsknk084sn02q";

fn new() -> v1::EndpointSettings {
    v1::EndpointSettings {
        name: "billing".to_owned(),
        url: "https://example.com/hooks".to_owned(),
        subscriptions: vec!["order.*".to_owned()],
        headers: vec![v1::EndpointHeader {
            name: "x-team".to_owned(),
            value: "blue".to_owned(),
            secret: false,
        }],
        timeout: Some(duration_proto(1_500)),
        retry_policy: Some(retry_policy_proto(&RetryPolicy::Long)),
        body_signature_header: "x-signature".to_owned(),
        concurrency: 3,
        sources: vec![SOURCE.to_owned()],
        consumer: None,
    }
}

fn field_at_fault(edit: impl FnOnce(&mut v1::EndpointSettings)) -> String {
    let mut new = new();
    edit(&mut new);
    match read(&new, &Policy::default()) {
        Err(Error::Invalid(violations)) if violations.len() == 1 => violations[0].field.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn settings_survive_the_way_there_and_back() {
    let draft = read(&new(), &Policy::default()).unwrap();
    assert_eq!(proto(&draft.settings), new());
}

#[test]
fn what_is_unset_has_its_default() {
    let least = v1::EndpointSettings {
        url: new().url,
        subscriptions: new().subscriptions,
        ..v1::EndpointSettings::default()
    };
    let settings = read(&least, &Policy::default()).unwrap().settings;
    assert_eq!((settings.timeout_ms, settings.concurrency), (15_000, 64));
    assert_eq!(
        (
            settings.name,
            settings.retry_policy,
            settings.body_signature_header
        ),
        (None, None, None)
    );
}

#[test]
fn only_named_fields_change() {
    let draft = read(&new(), &Policy::default()).unwrap();
    let other = v1::EndpointSettings {
        concurrency: 9,
        ..v1::EndpointSettings::default()
    };
    let draft = change(
        draft.settings,
        &other,
        &[Field::Concurrency],
        &Policy::default(),
    )
    .unwrap();
    assert_eq!(
        proto(&draft.settings),
        v1::EndpointSettings {
            concurrency: 9,
            ..new()
        }
    );
    assert!(draft.target.is_none());
}

#[test]
#[expect(clippy::too_many_lines, reason = "it is a table")]
fn each_field_out_of_its_limits_is_named() {
    let seconds = |seconds| Some(Duration { seconds, nanos: 0 });
    assert_eq!(
        field_at_fault(|s| s.name = "a\0".to_owned()),
        "settings.name"
    );
    assert_eq!(
        field_at_fault(|s| s.name = "  ".to_owned()),
        "settings.name"
    );
    for url in [
        "",
        "http://example.com/",
        "https://127.0.0.1/",
        "https://localhost/",
        "https://u@example.com/",
    ] {
        assert_eq!(
            field_at_fault(|s| s.url = url.to_owned()),
            "settings.url",
            "{url}"
        );
    }
    assert_eq!(
        field_at_fault(|s| s.subscriptions.clear()),
        "settings.subscriptions"
    );
    assert_eq!(
        field_at_fault(|s| s.subscriptions = vec!["a".to_owned(); 1_000]),
        "settings.subscriptions"
    );
    assert_eq!(
        field_at_fault(|s| s.subscriptions.push("a.*.b".to_owned())),
        "settings.subscriptions[1]"
    );
    for timeout in [
        seconds(0),
        seconds(61),
        seconds(600),
        seconds(-1),
        seconds(i64::MAX),
        Some(duration_proto(999)),
    ] {
        assert_eq!(
            field_at_fault(|s| s.timeout = timeout),
            "settings.timeout",
            "{timeout:?}"
        );
    }
    let empty = v1::RetryPolicy::default();
    assert_eq!(
        field_at_fault(|s| s.retry_policy = Some(empty)),
        "settings.retry_policy"
    );
    for name in ["host", "x y", "webhook-signature", "x-team"] {
        let field = field_at_fault(|s| s.body_signature_header = name.to_owned());
        assert_eq!(field, "settings.body_signature_header", "{name}");
    }
    for number in [1_025, u32::MAX] {
        assert_eq!(
            field_at_fault(|s| s.concurrency = number),
            "settings.concurrency"
        );
    }
    let field = field_at_fault(|s| s.sources = vec![SOURCE.to_owned(); 101]);
    assert_eq!(field, "settings.sources");
    let field = field_at_fault(|s| s.sources.push("src_1".to_owned()));
    assert_eq!(field, "settings.sources[1]");
    let field = field_at_fault(|s| s.consumer = Some(v1::ConsumerHandler::default()));
    assert_eq!(field, "settings.consumer");
}

#[test]
fn every_setting_of_the_contract_can_be_updated_but_who_consumes() {
    assert_eq!(
        names::<Field>(),
        described("EndpointSettings", &["consumer"])
    );
}
