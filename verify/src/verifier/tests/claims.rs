//! What a verified request claims, by the fields of its record.

use super::{events::identity, *};
use crate::{ClaimedBy, Identity};

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
fn the_records_of_the_documentation_can_be_used() {
    let page = include_str!("../../../../docs/receive.md");
    let (_, section) = page
        .split_once("## A scheme of your own")
        .expect("the section");
    let blocks = section.split("```json\n").skip(1).take(2);
    let records: Vec<_> = blocks
        .filter_map(|block| block.split_once("```"))
        .map(|(record, _)| own(record).map(drop))
        .collect();
    assert_eq!(records, [Ok(()), Ok(())]);
}
