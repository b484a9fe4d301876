//! Users' own records: what is refused when one is compiled, and keys that are fetched.

use super::*;
use crate::Fetched;

#[test]
#[expect(clippy::too_many_lines, reason = "it is a table")]
fn records_that_are_not_safe_are_refused_with_the_field() {
    let sig = r#""sig":{"at":"header:s"}"#;
    for (record, field) in [
        (
            format!(r#"{{"kind":"hmac",{sig},"content":"{{body}}"}}"#),
            "alg",
        ),
        (
            format!(r#"{{"kind":"hmac","alg":"md5",{sig},"content":"{{body}}"}}"#),
            "alg",
        ),
        (
            format!(r#"{{"kind":"hmac","alg":"ed25519",{sig},"content":"{{body}}"}}"#),
            "alg",
        ),
        (
            format!(r#"{{"kind":"asym","alg":"sha256",{sig},"content":"{{body}}"}}"#),
            "alg",
        ),
        (
            format!(r#"{{"kind":"hmac","alg":"sha256",{sig}}}"#),
            "content",
        ),
        (
            format!(r#"{{"kind":"hmac","alg":"sha256",{sig},"content":"fixed"}}"#),
            "content",
        ),
        (
            format!(r#"{{"kind":"hmac","alg":"sha256",{sig},"content":"{{url}}"}}"#),
            "content",
        ),
        (
            format!(r#"{{"kind":"hmac","alg":"sha256",{sig},"content":"{{url}}[{{body}}]"}}"#),
            "content",
        ),
        (
            format!(r#"{{"kind":"hash","alg":"sha256",{sig},"content":"{{body}}"}}"#),
            "content",
        ),
        (
            format!(
                r#"{{"kind":"hmac","alg":"sha256",{sig},"content":"{{body}}","covers_body":false}}"#
            ),
            "covers_body",
        ),
        (
            r#"{"kind":"hmac","alg":"sha256","content":"{body}"}"#.to_owned(),
            "sig.at",
        ),
        (
            format!(
                r#"{{"kind":"hmac","alg":"sha256",{sig},"content":"{{body}}","ts":{{"at":"header:t"}}}}"#
            ),
            "ts.at",
        ),
        (
            format!(
                r#"{{"kind":"hmac","alg":"sha256",{sig},"content":"{{body}}","ts":{{"at":"json:/t","tolerance_s":99999999}}}}"#
            ),
            "ts.tolerance_s",
        ),
        (
            format!(r#"{{"kind":"hmac","alg":"sha256",{sig},"content":"{{body}}{{param:a}}"}}"#),
            "settings.a",
        ),
        (
            format!(
                r#"{{"kind":"hmac","alg":"sha256",{sig},"content":"{{body}}","key":{{"decode":"pem"}}}}"#
            ),
            "key",
        ),
        (
            format!(r#"{{"kind":"jwt",{sig},"jwt":{{"algs":["none"]}}}}"#),
            "jwt.algs",
        ),
        (
            format!(r#"{{"kind":"jwt",{sig},"jwt":{{"algs":["HS256","RS256"]}}}}"#),
            "jwt.algs",
        ),
        (
            format!(
                r#"{{"kind":"asym","alg":"rsa-sha256",{sig},"content":"{{body}}","key":{{"remote":{{"url":"{{header:u}}","hosts":["*.com"],"form":"pem"}}}}}}"#
            ),
            "key.remote.hosts",
        ),
        (
            format!(
                r#"{{"kind":"token",{sig},"handshake":[{{"when":{{"present":["query:u"]}},"call_back":"query:u","call_back_hosts":["*"]}}]}}"#
            ),
            "handshake.call_back_hosts",
        ),
        (
            format!(
                r#"{{"kind":"token",{sig},"handshake":[{{"before_signature":true,"answer":{{"text":"ok"}}}}]}}"#
            ),
            "handshake.when",
        ),
    ] {
        assert_eq!(own(&record).expect_err(&record).field, field, "{record}");
    }
}

#[test]
fn records_that_answer_or_read_what_they_must_not_are_refused_with_the_field() {
    let sig = r#""sig":{"at":"header:s"}"#;
    for (record, field) in [
        (
            format!(r#"{{"kind":"token",{sig},"event_id":"{{secret}}"}}"#),
            "event_id",
        ),
        (
            format!(
                r#"{{"kind":"token",{sig},"handshake":[{{"when":{{"method":"GET"}},"answer":{{"text":"{{secret}}"}}}}]}}"#
            ),
            "handshake.answer",
        ),
        (
            format!(
                r#"{{"kind":"token",{sig},"handshake":[{{"when":{{"method":"GET"}},"answer":{{"headers":{{"x-a":"a\r\nb"}}}}}}]}}"#
            ),
            "handshake.answer.headers",
        ),
        (
            format!(r#"{{"kind":"token",{sig},"answer":{{"bad_signature":200}}}}"#),
            "answer.bad_signature",
        ),
        (
            r#"{"kind":"token","sig":{"at":"header:a b"}}"#.to_owned(),
            "sig.at",
        ),
        (
            r#"{"kind":"special","special":"nothing"}"#.to_owned(),
            "special",
        ),
    ] {
        assert_eq!(own(&record).expect_err(&record).field, field, "{record}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "it is a table")]
fn a_remote_key_is_asked_for_and_only_from_its_host() {
    // RFC 7515, appendix A.3: the token is of 2011.
    const TOKEN: &str = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    const KEYS: &str = r#"{"keys":[{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}"#;
    let verifier = own(
        r#"{"kind":"jwt","sig":{"at":"header:authorization","prefix":"Bearer "},
            "jwt":{"algs":["ES256"],"claims":{"iss":["ann","joe"]},"need":["exp"]},
            "key":{"decode":"jwks","remote":{"url":"{header:x-jwks}","hosts":["keys.example.com"],"form":"jwks"}}}"#,
    )
    .expect("a record");
    let verdict = |host: &str, url: &str, body: &str, now_ms: i64| {
        let headers = vec![
            ("authorization", format!("Bearer {TOKEN}")),
            ("x-jwks", format!("https://{host}/jwks")),
        ];
        let case = Case {
            headers,
            secrets: Vec::new(),
            now_ms,
            ..Case::default()
        };
        let fetched = [Fetched {
            url: url.parse().expect("a URL"),
            body: body.into(),
        }];
        case.run(|context| {
            let asked = verifier.key_request(context.request)?;
            assert_eq!(
                asked.map(|key| key.url.to_string()).as_deref(),
                Some("https://keys.example.com/jwks")
            );
            verifier.verify(&Context {
                fetched: &fetched,
                ..*context
            })
        })
    };
    let (host, url) = ("keys.example.com", "https://keys.example.com/jwks");
    let then = 1_300_000_000_000;
    for (host, url, keys, now_ms, expected) in [
        (host, url, KEYS, then, Ok(())),
        (host, url, KEYS, NOW_MS, Err(Refusal::Stale)),
        (
            host,
            "https://keys.example.com/other",
            KEYS,
            then,
            Err(Refusal::KeyNotFetched),
        ),
        (host, url, "{}", then, Err(Refusal::UnknownKey)),
        (
            "evil.test",
            url,
            KEYS,
            then,
            Err(Refusal::ForbiddenKeyAddress),
        ),
        (
            "evil.test/?keys.example.com",
            url,
            KEYS,
            then,
            Err(Refusal::ForbiddenKeyAddress),
        ),
    ] {
        assert_eq!(
            verdict(host, url, keys, now_ms),
            expected,
            "{host} {url} {keys} {now_ms}"
        );
    }
    assert_eq!(verifier.answers().refused(Refusal::KeyNotFetched), 503);
}
