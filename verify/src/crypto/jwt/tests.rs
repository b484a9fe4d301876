//! Tokens of the RFCs, and forged ones.

use super::*;
use crate::{crypto::encoding::encode, scheme::Encoding};

const KEY: &str =
    "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
/// RFC 7515, appendix A.1.
const HS256: &str = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
/// RFC 7515, appendix A.3.
const ES256: &str = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
const ES256_KEY: &str = r#"{"keys":[{"kty":"oct","k":"AA"},{"kty":"EC","crv":"P-256","kid":"1","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}"#;

fn shared() -> Keys {
    Keys {
        shared: vec![Zeroizing::new(base64url(KEY).expect("base64url"))],
        public: Vec::new(),
    }
}

fn signed(header: &str, payload: &str) -> String {
    let part = |text: &str| encode(Encoding::Base64url, text.as_bytes());
    let content = format!("{}.{}", part(header), part(payload));
    let key = base64url(KEY).expect("base64url");
    let mac = digest::keyed(Algorithm::Sha256, &key, std::iter::once(content.as_bytes()));
    format!(
        "{content}.{}",
        encode(Encoding::Base64url, &mac.expect("a MAC"))
    )
}

fn verdict(token: &str, algs: &[&str], keys: &Keys) -> Result<(), Refusal> {
    parse(token, algs)?.verify(keys)
}

#[test]
fn the_tokens_of_the_rfcs_are_right() {
    assert_eq!(verdict(HS256, &["HS256"], &shared()), Ok(()));
    let public = jwks(ES256_KEY.as_bytes()).expect("a key set");
    assert_eq!(public.len(), 1);
    let keys = Keys {
        shared: Vec::new(),
        public,
    };
    assert_eq!(verdict(ES256, &["RS256", "ES256"], &keys), Ok(()));
}

#[test]
fn no_flipped_bit_of_a_token_is_accepted() {
    for bit in 0..HS256.len() * 8 {
        let mut bytes = HS256.as_bytes().to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        if let Ok(token) = std::str::from_utf8(&bytes) {
            assert!(verdict(token, &["HS256"], &shared()).is_err(), "bit {bit}");
        }
    }
    for length in 0..HS256.len() {
        assert!(
            verdict(&HS256[..length], &["HS256"], &shared()).is_err(),
            "{length}"
        );
    }
}

#[test]
fn the_algorithm_is_the_schemes_and_not_the_tokens() {
    assert_eq!(
        verdict(HS256, &["HS512"], &shared()),
        Err(Refusal::ForbiddenAlgorithm)
    );
    for header in [
        r#"{"alg":"none"}"#,
        r#"{"alg":"NONE"}"#,
        r#"{"alg":"hs256"}"#,
    ] {
        let token = signed(header, "{}");
        assert_eq!(
            verdict(&token, &["HS256"], &shared()),
            Err(Refusal::ForbiddenAlgorithm),
            "{header}"
        );
        let (content, _) = token.rsplit_once('.').expect("a dot");
        assert!(verdict(&format!("{content}."), &["HS256"], &shared()).is_err());
    }
}

#[test]
fn headers_that_could_mislead_are_refused() {
    for header in [
        r#"{"alg":"HS256","alg":"HS256"}"#,
        r#"{"alg":"HS256","crit":["exp"],"exp":1}"#,
        r#"{"alg":"HS256","crit":null}"#,
        r#"{"alg":["HS256"]}"#,
        r#"{"alg":null}"#,
        "{}",
        "[]",
        "x",
    ] {
        assert_eq!(
            verdict(&signed(header, "{}"), &["HS256"], &shared()),
            Err(Refusal::MalformedToken),
            "{header}"
        );
    }
    for token in ["", ".", "..", "a.b", "a.b.c.d", "...."] {
        assert_eq!(
            verdict(token, &["HS256"], &shared()),
            Err(Refusal::MalformedToken),
            "{token}"
        );
    }
    let long = signed(
        r#"{"alg":"HS256"}"#,
        &format!("\"{}\"", "x".repeat(TOKEN_BYTES_MAX)),
    );
    assert_eq!(
        verdict(&long, &["HS256"], &shared()),
        Err(Refusal::MalformedToken)
    );
}

#[test]
fn a_key_of_another_kind_or_name_verifies_nothing() {
    assert_eq!(
        verdict(HS256, &["HS256"], &Keys::default()),
        Err(Refusal::NoSecret)
    );
    let mut public = jwks(ES256_KEY.as_bytes()).expect("a key set");
    let keys = |public| Keys {
        shared: Vec::new(),
        public,
    };
    let ed25519 = PublicKey::ed25519(&[7; 32]).expect("a key");
    let other = NamedKey {
        id: None,
        key: ed25519,
    };
    assert_eq!(
        verdict(ES256, &["ES256"], &keys(vec![other])),
        Err(Refusal::WrongSignature)
    );
    let token = ES256.replacen(
        "eyJhbGciOiJFUzI1NiJ9",
        &encode(Encoding::Base64url, br#"{"alg":"ES256","kid":"2"}"#),
        1,
    );
    assert_eq!(
        verdict(&token, &["ES256"], &keys(public.clone())),
        Err(Refusal::UnknownKey)
    );
    public[0].id = Some("2".to_owned());
    assert_eq!(
        verdict(&token, &["ES256"], &keys(public)),
        Err(Refusal::WrongSignature)
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "it is a table")]
fn times_are_checked_with_leeway() {
    let check = |claims: &str, leeway_s: i64, max_age_s: Option<i64>, now_s: i64| {
        let claims = json::whole(claims).expect("JSON");
        let window = max_age_s.map(|seconds| Window {
            past_ms: seconds * 1000,
            future_ms: 60_000,
        });
        check_times(&claims, leeway_s * 1000, window, now_s * 1000)
    };
    for (claims, leeway, max_age, now, expected) in [
        ("{}", 0, None, 0, Ok(())),
        (r#"{"exp":100}"#, 0, None, 99, Ok(())),
        (r#"{"exp":100}"#, 0, None, 100, Err(Refusal::Stale)),
        (r#"{"exp":100}"#, 10, None, 109, Ok(())),
        (r#"{"exp":100}"#, 10, None, 110, Err(Refusal::Stale)),
        (r#"{"exp":100.9}"#, 0, None, 99, Ok(())),
        (r#"{"nbf":100}"#, 0, None, 100, Ok(())),
        (r#"{"nbf":100}"#, 0, None, 99, Err(Refusal::FromTheFuture)),
        (r#"{"nbf":100}"#, 1, None, 99, Ok(())),
        (r#"{"iat":100}"#, 0, Some(300), 400, Ok(())),
        (r#"{"iat":100}"#, 0, Some(300), 401, Err(Refusal::Stale)),
        (
            r#"{"iat":161}"#,
            0,
            Some(300),
            100,
            Err(Refusal::FromTheFuture),
        ),
        ("{}", 0, Some(300), 0, Err(Refusal::MissingTimestamp)),
        (
            r#"{"exp":"100"}"#,
            0,
            None,
            99,
            Err(Refusal::MalformedTimestamp),
        ),
        (
            r#"{"exp":-1}"#,
            0,
            None,
            99,
            Err(Refusal::MalformedTimestamp),
        ),
        (
            r#"{"exp":1e9}"#,
            0,
            None,
            99,
            Err(Refusal::MalformedTimestamp),
        ),
        (
            r#"{"exp":100,"exp":200}"#,
            0,
            None,
            99,
            Err(Refusal::MalformedToken),
        ),
    ] {
        assert_eq!(
            check(claims, leeway, max_age, now),
            expected,
            "{claims} at {now}"
        );
    }
}

#[test]
fn a_digest_claim_is_of_the_bytes_and_missing_only_for_none() {
    let rule = |absent_when_empty| HashClaim {
        claim: "h".into(),
        enc: Encoding::Hex,
        absent_when_empty,
    };
    let check = |claims: &str, rule: &HashClaim, bytes: &[u8]| {
        check_hash(&json::whole(claims).expect("JSON"), rule, bytes)
    };
    let right = format!(r#"{{"h":"{}"}}"#, hex::encode(digest::sha256(b"body")));
    assert_eq!(check(&right, &rule(false), b"body"), Ok(()));
    for (claims, absent, bytes) in [
        (right.as_str(), false, b"bodz".as_slice()),
        (right.as_str(), true, b""),
        ("{}", false, b""),
        ("{}", true, b"body"),
        (r#"{"h":""}"#, false, b"body"),
        (r#"{"h":7}"#, false, b"body"),
    ] {
        assert_eq!(
            check(claims, &rule(absent), bytes),
            Err(Refusal::Claim("hash")),
            "{claims}"
        );
    }
    assert_eq!(check("{}", &rule(true), b""), Ok(()));
}

#[test]
fn key_sets_that_are_none_give_nothing() {
    for set in [
        "",
        "[]",
        "{}",
        r#"{"keys":7}"#,
        r#"{"keys":[{"kty":"EC","crv":"P-384","x":"AA","y":"AA"}]}"#,
    ] {
        assert!(jwks(set.as_bytes()).unwrap_or_default().is_empty(), "{set}");
    }
    assert!(
        google_certs(br#"{"a":"no PEM"}"#)
            .expect("an object")
            .is_empty()
    );
}
