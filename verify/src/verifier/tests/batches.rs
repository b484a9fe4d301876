//! The items of a batch.

use super::{events::identity, *};

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
