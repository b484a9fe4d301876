//! What a verified request is recognised as.

use super::*;
use crate::Identity;

#[test]
fn a_body_that_is_no_json_is_told_apart_from_a_forgery() {
    let verifier = own(r#"{"like":"github","body":"json","json_in_form":null}"#).expect("a record");
    let deep = "[".repeat(65) + &"]".repeat(65);
    for body in ["{", "{}\u{feff}", &deep, "\"\0\"", r#""\u00""#, ""] {
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
pub(super) fn identity(fields: &str, body: &[u8]) -> Identity {
    let verifier = own(&format!(r#"{{"like":"generic_hmac",{fields}}}"#)).expect("a record");
    let case = Case {
        body,
        ..Case::default()
    };
    case.run(|context| verifier.identify(context.request))
}
