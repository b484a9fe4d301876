//! What a request hears by what it is, row by row: the content of the inbound edge, as far as a source has a say in it.

mod written;

use super::*;
use crate::inbound::{
    content::{Content, examine},
    fixture::{
        GITHUB_SECRET, NOW_MS, github, live, mark, posted, signature, signed, signed_at,
        signed_by_github, standard, with, with_more,
    },
    reply,
};

/// The whole judgement.
fn judge(live: &LiveSource, posted: &Posted) -> Result<Content, Refused> {
    let verifier = live.verifier.as_ref().unwrap();
    match prove(live, verifier, posted, &[]) {
        Proof::Genuine => examine((live, verifier), &mark(), posted),
        Proof::Refused(refused) => Err(refused),
        other => panic!("{other:?}"),
    }
}

/// The status of a refusal, and what it is kept as.
fn refused(live: &LiveSource, posted: &Posted) -> (u16, Option<Verdict>) {
    let refused = judge(live, posted).unwrap_err();
    (refused.status, refused.kept)
}

const REJECTED: (u16, Option<Verdict>) = (401, Some(Verdict::Rejected));
const QUARANTINED: (u16, Option<Verdict>) = (400, Some(Verdict::Quarantined));

#[test]
fn a_signed_request_is_its_providers_event() {
    let body = br#"{"type":"invoice.paid","id":1}"#;
    let content = judge(&standard(|_| {}), &signed(body)).unwrap();
    assert_eq!(
        content.event_type.as_str(),
        "standard_webhooks.invoice.paid"
    );
    assert_eq!(content.provider_event_id, "msg_1");
    assert_eq!(content.content_type, "application/json");
}

#[test]
fn bc1_no_source_and_a_wrong_signature_hear_the_same() {
    let request = with(&signed(b"{}"), "webhook-signature", Some(b"v1,AAAA"));
    let wrong = judge(&standard(|_| {}), &request).unwrap_err();
    let stranger = refuse_stranger(&request);
    assert_eq!(stranger.kept, None);
    assert_eq!(reply::refusal(&wrong), reply::refusal(&stranger));
    let get = Posted {
        method: "GET".to_owned(),
        ..request.clone()
    };
    let not_taken = judge(&standard(|_| {}), &get).unwrap_err();
    assert_eq!(not_taken.status, 405);
    assert_eq!(
        reply::refusal(&not_taken),
        reply::refusal(&refuse_stranger(&get))
    );
    let twice = with_more(&request, "webhook-id", b"msg_2");
    let malformed = judge(&standard(|_| {}), &twice).unwrap_err();
    assert_eq!(
        reply::refusal(&malformed),
        reply::refusal(&refuse_stranger(&twice))
    );
}

#[test]
fn bc3_to_bc7_a_signature_that_is_not_right_to_the_letter_is_refused() {
    let source = standard(|_| {});
    let request = signed(br#"{"a":1}"#);
    let right = signature("msg_1", NOW_MS / 1_000, br#"{"a":1}"#);
    let bare = right.strip_prefix("v1,").unwrap();
    let many = vec!["v1,AAAA"; 200].join(" ");
    let late = [vec!["v1,AAAA"; 16].join(" "), right.clone()].join(" ");
    let signatures = [
        None,
        Some(String::new()),
        Some("v1,".to_owned()),
        Some("v1".to_owned()),
        Some(format!("v1,,{bare}")),
        Some(",".to_owned()),
        Some("v1,".to_owned() + &"A".repeat(10 * 1_024)),
        Some(many),
        Some(late),
        Some(right[..right.len() - 1].to_owned()),
        Some(right.clone() + "A"),
        Some(format!("v0,{bare}")),
        Some(format!("sha1={bare}")),
        Some(right.trim_end_matches('=').to_owned()),
    ];
    for text in signatures {
        let request = with(
            &request,
            "webhook-signature",
            text.as_ref().map(String::as_bytes),
        );
        assert_eq!(refused(&source, &request), REJECTED, "{text:?}");
    }
    let rotated = with(
        &request,
        "webhook-signature",
        Some(format!("v1,AAAA {right}").as_bytes()),
    );
    assert!(judge(&source, &rotated).is_ok());
}

#[test]
fn p5_what_is_late_is_taken_only_where_its_repeat_would_be_known() {
    let hour_ms = Some(60 * 60 * 1_000);
    let by_id = standard(|settings| settings.accept_stale_ms = hour_ms);
    let is_late = |live: &LiveSource, posted: &Posted| {
        let verifier = live.verifier.as_ref().unwrap();
        matches!(prove(live, verifier, posted, &[]), Proof::Late)
    };
    for (seconds, late) in [(-301, true), (-3_600, true), (-3_601, false), (301, false)] {
        let request = signed_at("msg_1", b"{}", seconds);
        assert_eq!(is_late(&by_id, &request), late, "{seconds}");
    }
    let verifier = by_id.verifier.as_ref().unwrap();
    let posted = signed_at("msg_1", b"{}", -301);
    let mut content = examine((&by_id, verifier), &mark(), &posted).unwrap();
    assert!(content.is_claimed());
    content.claim = None;
    assert!(!content.is_claimed());
}

#[test]
fn bc8_hex_is_free_of_case() {
    let request = signed_by_github(b"{}");
    let signature = request.header("x-hub-signature-256").unwrap();
    let upper = format!("sha256={}", signature[7..].to_ascii_uppercase());
    let request = with(&request, "x-hub-signature-256", Some(upper.as_bytes()));
    let content = judge(&github(), &request).unwrap();
    assert_eq!(content.event_type.as_str(), "github.push");
}

#[test]
fn bc9_to_bc11_a_time_is_digits_and_at_most_five_minutes_off() {
    let source = standard(|_| {});
    let stale = (401, Some(Verdict::Quarantined));
    for (seconds, expected) in [(-301, stale), (301, REJECTED)] {
        let request = signed_at("msg_1", b"{}", seconds);
        assert_eq!(refused(&source, &request), expected, "{seconds}");
    }
    for seconds in [-300, 0, 300] {
        assert!(
            judge(&source, &signed_at("msg_1", b"{}", seconds)).is_ok(),
            "{seconds}"
        );
    }
    let request = signed(b"{}");
    for text in [
        None,
        Some(""),
        Some("text"),
        Some("-1"),
        Some("1e9"),
        Some("17900000000000000000"),
        Some("1790000000.0"),
        Some(" 1790000000"),
    ] {
        let request = with(&request, "webhook-timestamp", text.map(str::as_bytes));
        assert_eq!(refused(&source, &request), REJECTED, "{text:?}");
    }
    let lenient = standard(|settings| settings.tolerance_ms = Some(3_600_000));
    assert!(judge(&lenient, &signed_at("msg_1", b"{}", -3_600)).is_ok());
    let timeless = standard(|settings| settings.ignore_time = true);
    assert!(judge(&timeless, &signed_at("msg_1", b"{}", -1_000_000)).is_ok());
}

#[test]
fn bc12_and_bc13_an_id_is_signed_and_no_part_of_the_body_moves_into_it() {
    let source = standard(|_| {});
    let request = signed(b".x");
    let moved = Posted {
        body: ".x.x".into(),
        ..with(&request, "webhook-id", Some(b"a.1"))
    };
    assert_eq!(refused(&source, &moved), REJECTED);
    for id in [
        None,
        Some(&b""[..]),
        Some(b"a b"),
        Some(b"a.b"),
        Some(&[b'x'; 10 * 1_024]),
    ] {
        let request = with(&request, "webhook-id", id);
        assert_eq!(refused(&source, &request), REJECTED, "{id:?}");
    }
}

#[test]
fn bc14_two_values_of_what_is_signed_are_malformed_for_every_source() {
    for name in ["webhook-signature", "webhook-id", "webhook-timestamp"] {
        let request = with_more(&signed(b"{}"), name, b"another");
        assert_eq!(refused(&standard(|_| {}), &request), (400, None), "{name}");
        assert_eq!(refused(&github(), &request), (400, None), "{name}");
        assert_eq!(refuse_stranger(&request).status, 400, "{name}");
        let value = request.header(name).unwrap().to_owned();
        let same = with_more(&signed(b"{}"), name, value.as_bytes());
        assert!(judge(&standard(|_| {}), &same).is_ok(), "{name}");
        let odd = with(&signed(b"{}"), name, Some(b"\xff"));
        assert_eq!(refused(&standard(|_| {}), &odd), (400, None), "{name}");
    }
    let types = with_more(&signed(b"{}"), "content-type", b"text/plain");
    assert_eq!(refused(&standard(|_| {}), &types), (400, None));
    assert_eq!(refuse_stranger(&types).status, 400);
    // Headers that nobody reads may be as they like.
    let odd = with_more(&signed(b"{}"), "x-note", b"\xff");
    assert!(judge(&standard(|_| {}), &with_more(&odd, "x-note", b"b")).is_ok());
}

#[test]
fn bc17_to_bc21_what_says_that_it_is_json_has_to_be() {
    let source = standard(|_| {});
    let deep = |depth: usize| ["[".repeat(depth), "]".repeat(depth)].concat().into_bytes();
    let long_key = format!(r#"{{"{}":1}}"#, "k".repeat(1_000_000)).into_bytes();
    for body in [
        &b""[..],
        b"{",
        b"no",
        b"{}{}",
        &deep(65),
        &vec![b'['; 100_000],
        b"\"\xff\"",
        b"\xff\xfe{\0}\0",
        b"{\"a\":\"\0\"}",
    ] {
        assert_eq!(refused(&source, &signed(body)), QUARANTINED);
        let unsigned = with(&signed(body), "webhook-signature", Some(b"v1,AAAA"));
        assert_eq!(refused(&source, &unsigned), REJECTED);
    }
    for body in [
        &b"null"[..],
        b"[]",
        b"\"x\"",
        b"7",
        &deep(64),
        br#"{"a":1,"a":2,"__proto__":{},"b":1e400,"c":-0,"d":9223372036854775808}"#,
        br#""\ud83d\ude00 \\ud800 \n""#,
        br#""\u0000\ufffe\uffff""#,
        br#""\ud800""#,
        br#""\udc00""#,
        br#""\ud800\u0041""#,
        br#"{"\ud800x":1}"#,
        &long_key,
    ] {
        assert!(judge(&source, &signed(body)).is_ok());
    }
}

#[test]
fn bc22_a_media_type_is_one_that_the_source_takes() {
    let strict = standard(|settings| settings.content_types = vec!["application/json".to_owned()]);
    let long = format!("application/json; a={}", "x".repeat(8_192));
    for text in [
        None,
        Some("text/plain"),
        Some("application/json, text/plain"),
        Some(long.as_str()),
    ] {
        let request = with(&signed(b"{}"), "content-type", text.map(str::as_bytes));
        assert_eq!(
            refused(&strict, &request),
            (415, Some(Verdict::Quarantined)),
            "{text:?}"
        );
        let content = judge(&standard(|_| {}), &request).unwrap();
        assert!(content.content_type.len() < 128);
    }
    for text in ["application/json", "Application/JSON; charset=\"UTF-8\""] {
        let request = with(&signed(b"{}"), "content-type", Some(text.as_bytes()));
        assert!(judge(&strict, &request).is_ok(), "{text}");
    }
    let unnamed = with(
        &signed_by_github(b"{}"),
        "content-type",
        Some(b"text/plain"),
    );
    assert_eq!(
        refused(&github(), &unnamed),
        (415, Some(Verdict::Quarantined)),
        "what it sends"
    );
}

#[test]
fn bc24_and_bc25_no_id_is_no_obstacle_and_only_the_time_of_the_attempt_counts() {
    let request = with(&signed_by_github(b"{}"), "x-github-delivery", None);
    let content = judge(&github(), &request).unwrap();
    assert_eq!(content.provider_event_id, "");
    let old = signed(br#"{"created":946684800}"#);
    assert!(judge(&standard(|_| {}), &old).is_ok());
}

#[test]
fn bc26_only_the_addresses_of_the_list_may_post() {
    let listed = standard(|settings| {
        settings.allowed_addresses = vec!["192.0.2.0/24".parse().unwrap()];
    });
    let from = |address: &str| Posted {
        remote_address: address.to_owned(),
        ..signed(b"{}")
    };
    for address in ["192.0.2.7", "::ffff:192.0.2.7"] {
        assert!(judge(&listed, &from(address)).is_ok(), "{address}");
    }
    for address in ["198.51.100.1", "2001:db8::1", "", "somewhere"] {
        assert_eq!(refused(&listed, &from(address)), (403, None), "{address}");
    }
}

#[test]
fn bc30_a_handshake_is_answered_only_where_the_scheme_has_one() {
    let slack = live("slack", &["a secret of the test"], |_| {});
    let challenge = br#"{"type":"url_verification","challenge":"abc"}"#;
    let unsigned = posted(&[("content-type", b"application/json")], challenge);
    assert_eq!(refused(&slack, &unsigned), REJECTED);
    let meta = live("meta", &["a secret of the test", "verify_token:t"], |_| {});
    let subscribe = |token: &str| Posted {
        method: "GET".to_owned(),
        path_query: format!(
            "/in/src_1?hub.mode=subscribe&hub.verify_token={token}&hub.challenge=42"
        ),
        ..posted(&[], b"")
    };
    let handshake = |request: &Posted| {
        let verifier = meta.verifier.as_ref().unwrap();
        match prove(&meta, verifier, request, &[]) {
            Proof::Handshake(handshaken) => handshaken.answer,
            other => panic!("{other:?}"),
        }
    };
    let answer = handshake(&subscribe("t"));
    assert_eq!((answer.status, &answer.body[..]), (200, &b"42"[..]));
    let wrong = handshake(&subscribe("u"));
    assert_eq!((wrong.status, &wrong.body[..]), (403, &b""[..]));
    assert_eq!(refused(&github(), &subscribe("t")), (405, None));
}

#[test]
fn a_former_secret_counts_until_its_time_is_over() {
    let mut source = github();
    source.secrets[0].1 = Some(NOW_MS + 1);
    assert!(judge(&source, &signed_by_github(b"{}")).is_ok());
    source.secrets[0].1 = Some(NOW_MS);
    let (status, kept) = refused(&source, &signed_by_github(b"{}"));
    assert_eq!((status, kept), (503, None), "it has no secret left");
    source
        .secrets
        .push((Secret::new(GITHUB_SECRET).unwrap(), None));
    assert!(judge(&source, &signed_by_github(b"{}")).is_ok());
}

#[test]
fn credentials_are_not_kept_and_signatures_are() {
    let request = with_more(&signed(b"{}"), "cookie", b"a=b");
    let request = with_more(&request, "authorization", b"Basic x");
    let request = with_more(&request, "x-api-key", b"x");
    let head = request.head(&standard(|_| {}));
    let names = head.headers.iter().map(|(name, _)| name.as_str());
    assert_eq!(
        names.collect::<Vec<_>>(),
        [
            "content-type",
            "webhook-id",
            "webhook-timestamp",
            "webhook-signature"
        ]
    );
}
