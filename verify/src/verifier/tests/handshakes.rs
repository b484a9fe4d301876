//! What a handshake echoes, and what it does not.

use super::*;

#[test]
fn a_handshake_echoes_only_what_is_printable_and_short() {
    let verifier = built_in("dropbox", &[]);
    let answer = |path_query: &str| {
        let case = Case {
            method: "GET",
            path_query,
            body: b"",
            ..Case::default()
        };
        case.run(|context| {
            Some(
                verifier
                    .handshake(context.request)?
                    .answer(context)
                    .map(|done| done.answer),
            )
        })
    };
    let plain = answer("/in?challenge=a%2Bb")
        .expect("a handshake")
        .expect("an answer");
    assert_eq!(
        (plain.status, plain.body.as_slice()),
        (200, b"a+b".as_slice())
    );
    assert!(
        plain
            .headers
            .contains(&("x-content-type-options".into(), "nosniff".into()))
    );
    assert!(
        plain
            .headers
            .contains(&("content-type".into(), "text/plain".into()))
    );
    assert_eq!(
        answer("/in?challenge=a%0d%0ab"),
        Some(Err(Refusal::MalformedChallenge))
    );
    assert_eq!(
        answer(&format!("/in?challenge={}", "x".repeat(1025))),
        Some(Err(Refusal::MalformedChallenge))
    );
    assert_eq!(
        answer("/in?challenge=1&challenge=2"),
        Some(Err(Refusal::MalformedChallenge))
    );
    assert_eq!(verifier.answers().refused(Refusal::MalformedChallenge), 400);
    assert_eq!(answer("/in"), None);
    assert_eq!(verifier.methods(), ["POST", "GET"]);
}

#[test]
fn a_handshake_with_a_wrong_token_is_answered_403() {
    let verifier = own(
        r#"{"like":"github","handshake":[{"name":"hub","before_signature":true,
            "when":{"method":"GET","present":["query:hub.challenge"],"equal":[["query:hub.mode","=subscribe"]]},
            "check":[["query:hub.verify_token","secret"]],"answer":{"json":{"hub.challenge":"{query:hub.challenge}"}}}]}"#,
    )
    .expect("a record");
    for (token, expected) in [
        ("secret", (200, r#"{"hub.challenge":"1\"2"}"#)),
        ("secre", (403, "")),
        ("", (403, "")),
    ] {
        let path = format!("/in?hub.mode=subscribe&hub.challenge=1%222&hub.verify_token={token}");
        let case = Case {
            method: "GET",
            path_query: &path,
            body: b"",
            ..Case::default()
        };
        let answer = case.run(|context| {
            let handshake = verifier.handshake(context.request).expect("a handshake");
            assert!(handshake.before_signature());
            handshake.answer(context).expect("an answer").answer
        });
        assert_eq!(
            (answer.status, answer.body.as_slice()),
            (expected.0, expected.1.as_bytes()),
            "{token}"
        );
    }
}

#[test]
fn a_handshake_may_answer_a_digest_or_keep_a_secret() {
    let verifier = own(
        r#"{"like":"github","handshake":[
            {"name":"crc","before_signature":true,"when":{"method":"GET","present":["query:crc"]},
             "digest":{"keyed":true,"alg":"sha256","content":"{query:crc|word}","enc":"base64"},"answer":{"json":{"t":"sha256={digest}"}}},
            {"name":"keep","before_signature":true,"when":{"present":["header:x-hook-secret"]},
             "capture":"header:x-hook-secret","answer":{"headers":{"X-Hook-Secret":"{header:x-hook-secret}"}}}]}"#,
    )
    .expect("a record");
    let case = Case {
        method: "GET",
        path_query: "/in?crc=abc",
        body: b"",
        ..Case::default()
    };
    let done = case.run(|context| {
        verifier
            .handshake(context.request)
            .expect("a handshake")
            .answer(context)
            .expect("an answer")
    });
    let mac = digest::keyed(
        Algorithm::Sha256,
        b"secret",
        std::iter::once(b"abc".as_slice()),
    )
    .expect("a MAC");
    let expected = format!(r#"{{"t":"sha256={}"}}"#, encode(Encoding::Base64, &mac));
    assert_eq!(done.answer.body, expected.as_bytes());

    let case = Case {
        headers: vec![("x-hook-secret", "s3cr3t".into())],
        ..Case::default()
    };
    let done = case.run(|context| {
        verifier
            .handshake(context.request)
            .expect("a handshake")
            .answer(context)
            .expect("an answer")
    });
    assert_eq!(done.capture.expect("a secret").expose(), b"s3cr3t");
    assert_eq!(
        done.answer.headers,
        [("x-hook-secret".to_owned(), "s3cr3t".to_owned())]
    );
}
