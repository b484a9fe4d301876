//! What a verified request is recognised as.

use super::*;
use crate::{ClaimedBy, Identity};

#[test]
fn a_body_that_is_no_json_is_told_apart_from_a_forgery() {
    let verifier = own(r#"{"like":"github","body":"json","json_in_form":null}"#).expect("a record");
    let deep = "[".repeat(65) + &"]".repeat(65);
    for body in ["{", "\u{feff}{}", &deep, "\"\0\"", r#""\u00""#, ""] {
        let mut case = Case {
            headers: vec![(
                "x-hub-signature-256",
                format!("sha256={}", mac("secret", body.as_bytes())),
            )],
            body: body.as_bytes(),
            ..Case::default()
        };
        assert_eq!(
            case.verdict(&verifier),
            Err(Refusal::MalformedBody),
            "{body}"
        );
        assert_eq!(verifier.answers().refused(Refusal::MalformedBody), 400);
        case.secrets = vec!["other"];
        assert_eq!(
            case.verdict(&verifier),
            Err(Refusal::WrongSignature),
            "{body}"
        );
    }
}

#[test]
fn the_first_of_two_ids_counts_and_is_flagged() {
    let verifier = built_in("stripe", &[]);
    let case = Case {
        body: br#"{"id":"evt_1","type":"A.b","id":"evt_2"}"#,
        ..Case::default()
    };
    let identity = case.run(|context| verifier.identify(context.request));
    assert_eq!(identity.event_id.as_deref(), Some("evt_1"));
    assert_eq!(identity.event_type, "stripe.a.b");
    assert!(identity.duplicate_keys);
}

#[test]
fn a_batch_is_recognised_item_by_item() {
    let verifier = own(
        r#"{"like":"github","event_id":"header:x-id","items":{"at":"/events","event_id":"item:/id","event_type":"{item:/r}.{item:/a}"}}"#,
    )
    .expect("a record");
    let case = Case {
        body: br#"{"events":[{"id":"1","r":"Pay","a":"ok"}, {"id":2}]}"#,
        ..Case::default()
    };
    let identity = case.run(|context| verifier.identify(context.request));
    let items: Vec<_> = identity
        .items
        .iter()
        .map(|item| {
            (
                item.event_id.as_deref(),
                item.event_type.as_str(),
                item.json.as_str(),
            )
        })
        .collect();
    assert_eq!(
        items,
        [
            (Some("1"), "own.pay.ok", r#"{"id":"1","r":"Pay","a":"ok"}"#),
            (Some("2"), "own.event", r#"{"id":2}"#),
        ]
    );
}

#[test]
fn headers_that_are_read_are_known_to_the_edge() {
    let names: Vec<_> = catalogue().single_valued_headers().collect();
    for name in [
        "stripe-signature",
        "webhook-id",
        "svix-signature",
        "x-hub-signature-256",
        "x-github-delivery",
    ] {
        assert!(names.contains(&name), "{name}");
    }
    assert!(!names.contains(&"x-mollie-signature"));
}

/// The identity of a body under a record that is like `generic_hmac` but for these fields.
fn identity(fields: &str, body: &[u8]) -> Identity {
    let verifier = own(&format!(r#"{{"like":"generic_hmac",{fields}}}"#)).expect("a record");
    let case = Case {
        body,
        ..Case::default()
    };
    case.run(|context| verifier.identify(context.request))
}

fn key(identity: &Identity) -> Option<[u8; 32]> {
    identity.claim.map(|claim| claim.key())
}

#[test]
fn a_record_that_says_nothing_of_its_id_means_that_of_the_webhook() {
    let of = |body: &[u8]| identity(r#""id":{},"event_id":"json:/id""#, body);
    let claimed = of(br#"{"id":"a","type":"x"}"#);
    assert_eq!(claimed.claim.map(|claim| claim.by()), Some(ClaimedBy::Id));
    assert_eq!(key(&claimed), key(&of(br#"{"id":"a","type":"y"}"#)));
    assert_ne!(key(&claimed), key(&of(br#"{"id":"b","type":"x"}"#)));
}

#[test]
fn an_empty_value_is_a_missing_one() {
    for body in [
        &br#"{"a":"","b":"x"}"#[..],
        br#"{"a":"  ","b":"x"}"#,
        br#"{"a":null,"b":"x"}"#,
        br#"{"a":"\ud800","b":"x"}"#,
        br#"{"b":"x"}"#,
    ] {
        let identity = identity(r#""event_id":"{json:/a}.{json:/b}""#, body);
        assert_eq!((identity.event_id, identity.claim), (None, None));
    }
}

#[test]
fn an_id_or_a_type_with_a_nul_is_digested_or_replaced() {
    let identity = identity(
        r#""id":{},"event_id":"json:/id""#,
        br#"{"id":"a\u0000","type":"x\u0000y"}"#,
    );
    assert_eq!(identity.event_type, "own.x_y");
    assert_eq!(identity.event_id.map(|id| id.len()), Some(64));
}

#[test]
fn an_id_of_an_object_is_claimed_with_what_the_record_lists_or_not_at_all() {
    let fields = r#""event_id":"json:/id","id":{"of":"object","claim":"{json:/id} {json:/at}"}"#;
    let first = identity(fields, br#"{"id":"a","at":1,"type":"x"}"#);
    assert_eq!(first.event_id.as_deref(), Some("a"));
    assert_eq!(first.claim.map(|claim| claim.by()), Some(ClaimedBy::Values));
    let again = identity(fields, br#"{"id":"a","at":1,"type":"x","attempt":2}"#);
    assert_eq!(key(&first), key(&again));
    for other in [
        &br#"{"id":"a","at":2,"type":"x"}"#[..],
        br#"{"id":"a","at":1,"type":"y"}"#,
        br#"{"id":"b","at":1,"type":"x"}"#,
    ] {
        assert_ne!(key(&first), key(&identity(fields, other)));
    }
    for bare in [&br#"{"id":"a","type":"x"}"#[..], br#"{"id":"a","at":""}"#] {
        assert_eq!(identity(fields, bare).claim, None);
    }
    let no_claim = identity(
        r#""event_id":"json:/id","id":{"of":"cause"}"#,
        br#"{"id":"a"}"#,
    );
    assert_eq!(no_claim.claim, None);
}

#[test]
fn a_claim_that_would_swallow_other_events_is_refused() {
    for (fields, field) in [
        (
            r#""event_id":"json:/id","id":{"of":"object","claim":"json:/id"}"#,
            "id.claim",
        ),
        (
            r#""event_id":"json:/id","id":{"of":"cause","claim":"{json:/id}[ {json:/at}]"}"#,
            "id.claim",
        ),
        (
            r#""event_id":[],"id":{"of":"none","claim":"body_sha256"}"#,
            "id.claim",
        ),
        (
            r#""event_id":[],"id":{"of":"none","claim":"{=x}{body}{method}"}"#,
            "id.claim",
        ),
        (
            r#""id":{"of":"webhook","claim":"[{json:/id}]"}"#,
            "id.claim",
        ),
        (
            r#""items":{"at":"","id":{"of":"none","claim":"{item_sha256}"}}"#,
            "items.id.claim",
        ),
        (r#""items":{"at":[]}"#, "items.at"),
        (r#""items":{"at":"a"}"#, "items.at"),
        (r#""split":true"#, "split"),
    ] {
        let error = own(&format!(r#"{{"like":"generic_hmac",{fields}}}"#)).expect_err(fields);
        assert_eq!(error.field, field, "{fields}");
    }
}

#[test]
fn a_signed_time_is_claimed_with_the_body_where_there_is_no_id() {
    let fields = r#""sig":{"list":",","kv":"=","pick":"v1","prefix":""},"content":"{sig:t}.{body}","ts":{"at":"sig:t"}"#;
    let verifier = own(&format!(r#"{{"like":"generic_hmac",{fields}}}"#)).expect("a record");
    let at = |time: &str, body: &'static [u8]| {
        let case = Case {
            headers: vec![("x-signature", format!("t={time},v1=00"))],
            body,
            ..Case::default()
        };
        case.run(|context| verifier.identify(context.request))
    };
    let first = at("1", b"{}");
    assert_eq!(
        first.claim.map(|claim| claim.by()),
        Some(ClaimedBy::TimeAndBody)
    );
    assert_eq!(key(&first), key(&at("1", b"{}")));
    assert_ne!(key(&first), key(&at("2", b"{}")));
    assert_ne!(key(&first), key(&at("1", b"{} ")));
    let unsigned = identity(r#""event_id":[]"#, b"{}");
    assert_eq!(unsigned.claim, None);
}

#[test]
fn items_are_found_on_every_level_and_nothing_is_lost() {
    let fields =
        r#""items":{"at":["/entry/*/changes","/entry/*/more/*/inner"],"event_type":"item:/t"}"#;
    let body =
        br#"{"entry":[ {"changes":[{"t":1} , {"t":2}]}, {"more":[{"inner":[{"t":3}]},{"t":4}]},
        {"changes":[],"t":5}, 6, {"changes":{"t":7}} ]}"#;
    let identity = identity(fields, body);
    let items: Vec<_> = identity
        .items
        .iter()
        .map(|item| item.json.as_str())
        .collect();
    assert_eq!(
        items,
        [
            r#"{"t":1}"#,
            r#"{"t":2}"#,
            r#"{"t":3}"#,
            r#"{"t":4}"#,
            r#"{"changes":[],"t":5}"#,
            "6",
            r#"{"t":7}"#
        ]
    );
    assert_eq!(identity.event_type, "own.batch");
    assert!(identity.items.iter().all(|item| item.claim.is_none()));
}

#[test]
fn a_batch_without_items_has_the_type_of_the_record_and_one_with_too_many_says_so() {
    let fields = r#""event_type":"=empty","items":{"at":"/e","event_type":"item:/t"}"#;
    for body in [&b"{}"[..], br#"{"e":[]}"#, br#"{"e":null}"#, b"no"] {
        let identity = identity(fields, body);
        assert_eq!(
            (identity.event_type.as_str(), identity.items.len()),
            ("own.empty", 0)
        );
    }
    for (count, more) in [(1_000, false), (1_001, true)] {
        let body = format!(r#"{{"e":[{}]}}"#, vec!["{}"; count].join(","));
        let identity = identity(fields, body.as_bytes());
        assert_eq!((identity.items.len(), identity.more_items), (1_000, more));
    }
}

#[test]
fn lines_are_items_too() {
    let fields = r#""body":"json_lines","items":{"at":["/data",""],"event_id":"item:/id","id":{"of":"webhook"}}"#;
    let ids = |body: &[u8]| {
        let items = identity(fields, body).items;
        let ids: Vec<_> = items.into_iter().filter_map(|item| item.event_id).collect();
        ids.join(",")
    };
    assert_eq!(
        ids(b"{\"id\":1}\n\r\n {\"id\":2}\r\n[{\"id\":3},{\"id\":4}]"),
        "1,2,3,4"
    );
    assert_eq!(ids(br#"[{"id":1},{"id":2}]"#), "1,2");
    assert_eq!(ids(b"{\"data\":[{\"id\":1}],\n\"id\":2}"), "1");
    assert_eq!(ids(b"{\"id\":1}\nno"), "");
}

#[test]
fn lines_are_taken_where_the_record_has_them_only() {
    for (body, form, expected) in [
        ("{}\n[]\n", "json_lines", Ok(())),
        ("{}", "json_lines", Ok(())),
        ("{}\n{", "json_lines", Err(Refusal::MalformedBody)),
        ("{}\n[]", "json", Err(Refusal::MalformedBody)),
    ] {
        let verifier = own(&format!(
            r#"{{"like":"github","body":"{form}","json_in_form":null}}"#
        ));
        let case = Case {
            headers: vec![(
                "x-hub-signature-256",
                format!("sha256={}", mac("secret", body.as_bytes())),
            )],
            body: body.as_bytes(),
            ..Case::default()
        };
        assert_eq!(
            case.verdict(&verifier.expect("a record")),
            expected,
            "{body:?}"
        );
    }
}

#[test]
fn a_batch_is_split_unless_the_record_says_otherwise() {
    let splits = |fields: &str| {
        own(&format!(r#"{{"like":"generic_hmac"{fields}}}"#)).map(|own| own.splits())
    };
    assert_eq!(splits(""), Ok(false));
    assert_eq!(splits(r#","items":{"at":""}"#), Ok(true));
    assert_eq!(splits(r#","items":{"at":""},"split":false"#), Ok(false));
}
