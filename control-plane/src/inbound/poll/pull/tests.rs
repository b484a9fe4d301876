//! What an item is recorded as.

use super::*;
use crate::{entropy::Entropy, registry::fixture};

const NOW: i64 = 1_764_000_000_000;

fn item(id: &str, body: &str) -> Item {
    Item {
        id: id.to_owned(),
        kind: "order.paid".to_owned(),
        body: Bytes::copy_from_slice(body.as_bytes()),
    }
}

fn source() -> Source {
    let mut source = fixture::source(10, &fixture::tenant(1), "github");
    source.settings.body_bytes_max = 1_024;
    source
}

fn rng() -> Entropy {
    Entropy::system()
}

#[test]
fn an_item_is_accepted_under_the_claim_of_its_webhook() {
    let body = r#"{"id":"a"}"#;
    let hash: [u8; 32] = Sha256::digest(body).into();
    let of_webhook = posthorn_verify::identity("github", "a", "").claim.unwrap();
    let claims = [
        ("a", ClaimKey::of("a", &of_webhook)),
        ("", ClaimKey::of_body("", &hash)),
    ];
    for (id, claimed) in claims {
        let record = request(&source(), &item(id, body), NOW, &mut rng());
        assert_eq!(
            (record.verdict, record.channel, record.claim),
            (Verdict::Accepted, Channel::Poll, claimed),
            "{id}"
        );
    }
}

#[test]
fn an_item_keeps_what_a_text_column_could_not_hold() {
    for body in [r#"{"a":"\u0000"}"#, r#"{"a":"\ud800","\udc00":1}"#] {
        let record = request(&source(), &item("a", body), NOW, &mut rng());
        assert_eq!(
            (record.verdict, record.reason.as_str()),
            (Verdict::Accepted, "")
        );
    }
}

#[test]
fn an_item_that_its_source_would_not_take_by_webhook_is_quarantined() {
    let deep = format!("{}{}", "[".repeat(65), "]".repeat(65));
    let long = format!("\"{}\"", "a".repeat(1_024));
    for (body, reason) in [
        (deep.as_str(), "too_deep"),
        (long.as_str(), "too_long"),
        ("{\"a\":\"\0\"}", "not_json"),
    ] {
        let record = request(&source(), &item("a", body), NOW, &mut rng());
        assert_eq!(record.verdict, Verdict::Quarantined, "{reason}");
        assert_eq!(record.reason, reason);
    }
}

#[test]
fn an_unfit_item_is_one_record_an_hour() {
    let unfit =
        |source: &Source, body: &str, now| request(source, &item("a", body), now, &mut rng()).id;
    let (source, hour) = (source(), NOW - NOW.rem_euclid(HOUR_MS));
    let other = fixture::source(11, &fixture::tenant(1), "github");
    let id = unfit(&source, "\"\0\"", hour);
    assert_eq!(unfit(&source, "\"\0\"", hour + HOUR_MS - 1), id);
    assert_ne!(unfit(&source, "\"\0\"", hour + HOUR_MS), id);
    assert_ne!(unfit(&source, "[\"\0\"]", hour), id);
    assert_ne!(unfit(&other, "\"\0\"", hour), id);
}
