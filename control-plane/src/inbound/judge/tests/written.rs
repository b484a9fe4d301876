//! However a body is written: its encoding, the mark before it, packed.

use super::*;
use crate::inbound::fixture::{gzip, hmac_hex};

#[test]
fn case_19_what_a_label_says_of_the_encoding_of_json_is_not_asked() {
    let strict = standard(|settings| settings.content_types = vec!["application/json".to_owned()]);
    for charset in ["ISO-8859-1", "utf-16", "windows-1252"] {
        let label = format!("application/json; charset={charset}");
        let label = Some(label.as_bytes());
        let request = with(&signed("{\"a\":\"ä\"}".as_bytes()), "content-type", label);
        assert!(judge(&strict, &request).is_ok(), "{charset}");
        let request = with(&signed_by_github(b"{\"a\":1}"), "content-type", label);
        assert!(judge(&github(), &request).is_ok(), "{charset}");
        // What is in another encoding is kept: it was signed.
        let request = with(&signed_by_github(b"\"\xe4\""), "content-type", label);
        let (status, kept) = refused(&github(), &request);
        assert_eq!((status, kept.is_some()), (400, true), "{charset}");
    }
}

#[test]
fn case_10_json_behind_a_byte_order_mark_is_taken() {
    let body = "\u{feff}{\"action\":\"opened\"}".as_bytes();
    let request = signed_by_github(body);
    let content = judge(&github(), &request).unwrap();
    assert_eq!(content.event_type.as_str(), "github.push.opened");
    assert!(judge(&standard(|_| {}), &signed(body)).is_ok());

    let json = ("content-type", &b"application/json"[..]);
    let token = [json, ("x-webhook-token", b"token")];
    let token = posted(&token, "\u{feff}{\"value\": 1}".as_bytes());
    assert!(judge(&live("generic_token", &["token"], |_| {}), &token).is_ok());
    let notice = "\u{feff}{\"value\": [{\"subscriptionId\": \"s\", \"clientState\": \"client-state-of-mine\", \
                  \"changeType\": \"updated\", \"resource\": \"r\"}]}";
    let graph = live("microsoft_graph", &["client-state-of-mine"], |_| {});
    assert!(judge(&graph, &posted(&[json], notice.as_bytes())).is_ok());

    let signed = hmac_hex(
        b"a key of the test",
        format!("{}token", NOW_MS / 1_000).as_bytes(),
    );
    let mailgun = format!(
        "\u{feff}{{\"signature\": {{\"timestamp\": \"{}\", \"token\": \"token\", \"signature\": \"{signed}\"}}, \
         \"event-data\": {{\"event\": \"opened\", \"id\": \"1\"}}}}",
        NOW_MS / 1_000
    );
    let mailgun = posted(&[json], mailgun.as_bytes());
    let content = judge(&live("mailgun", &["a key of the test"], |_| {}), &mailgun).unwrap();
    assert_eq!(content.event_type.as_str(), "mailgun.opened");
}

#[test]
fn s14_what_github_packs_is_proved_as_it_came_and_read_unpacked() {
    let takes = live("github", &[GITHUB_SECRET], |settings| {
        settings.accept_gzip = true;
    });
    for (content_type, body) in [
        ("application/json", &br#"{"action":"opened"}"#[..]),
        (
            "application/x-www-form-urlencoded",
            b"payload=%7B%22action%22%3A%22opened%22%7D",
        ),
    ] {
        let request = with_more(&signed_by_github(&gzip(body)), "content-encoding", b"gzip");
        let request = with(&request, "content-type", Some(content_type.as_bytes()));
        let content = judge(&takes, &request).unwrap();
        assert_eq!(content.event_type.as_str(), "github.push.opened");
        let unasked = refused(&github(), &request);
        assert_eq!(unasked, (415, Some(Verdict::Quarantined)));
    }
}
