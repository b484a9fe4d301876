//! Packed bodies, and what goes out with an event.

use super::*;
use crate::inbound::fixture::{gzip, mark, posted, standard};

fn packed(encoding: &str, body: &[u8]) -> Posted {
    posted(
        &[
            ("content-type", b"application/json"),
            ("content-encoding", encoding.as_bytes()),
            ("x-shop", b"one"),
            ("x-odd", b"\xff"),
        ],
        body,
    )
}

fn look(settings: impl FnOnce(&mut SourceSettings), posted: &Posted) -> Result<Content, u16> {
    let live = standard(settings);
    let verifier = live.verifier.as_ref().unwrap();
    examine((&live, verifier), &mark(), posted).map_err(|refused| refused.status)
}

#[test]
fn a_packed_body_is_taken_only_where_the_source_says_so() {
    let body = gzip(br#"{"type":"a.b"}"#);
    let content = look(
        |settings| settings.accept_gzip = true,
        &packed("gzip", &body),
    );
    let content = content.unwrap();
    assert_eq!(content.event_type.as_str(), "standard_webhooks.a.b");
    assert_eq!(
        content.headers,
        [("content-encoding".to_owned(), "gzip".to_owned())]
    );
    assert_eq!(look(|_| {}, &packed("gzip", &body)), Err(415));
    for encoding in ["br", "gzip, gzip", "x", ""] {
        let refused = look(
            |settings| settings.accept_gzip = true,
            &packed(encoding, &body),
        );
        assert_eq!(refused, Err(415), "{encoding}");
    }
    assert!(look(|_| {}, &packed("identity", b"{}")).is_ok());
}

#[test]
fn a_bomb_is_too_long_and_a_torn_or_trailed_stream_malformed() {
    let takes = |settings: &mut SourceSettings| settings.accept_gzip = true;
    let bomb = gzip(&vec![b' '; 8 * 1_024 * 1_024]);
    assert_eq!(look(takes, &packed("gzip", &bomb)), Err(413));
    let long = gzip(&vec![b' '; 2 * 1_024 * 1_024]);
    assert_eq!(look(takes, &packed("gzip", &long)), Err(413));
    let whole = gzip(br#"{"a":"some text"}"#);
    for length in 0..whole.len() {
        assert_eq!(
            look(takes, &packed("gzip", &whole[..length])),
            Err(400),
            "{length}"
        );
    }
    let trailed = [&whole[..], b"x"].concat();
    assert_eq!(look(takes, &packed("gzip", &trailed)), Err(400));
    assert_eq!(look(takes, &packed("gzip", &gzip(b"no"))), Err(400));
}

#[test]
fn the_headers_that_are_asked_for_go_out_when_they_are_text() {
    let content = look(
        |settings| {
            settings.forward_headers = ["x-shop", "x-odd", "x-none"].map(str::to_owned).into();
        },
        &posted(
            &[("x-shop", b"one"), ("x-odd", b"\xff"), ("other", b"b")],
            b"raw",
        ),
    );
    let content = content.unwrap();
    assert_eq!(content.headers, [("x-shop".to_owned(), "one".to_owned())]);
    assert_eq!(content.content_type, "application/octet-stream");
}
