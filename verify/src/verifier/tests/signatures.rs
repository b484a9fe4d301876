//! Signatures, secrets and times: what is accepted and what is not.

use super::*;

#[test]
fn every_secret_is_tried_up_to_ten() {
    let verifier = built_in("github", &[]);
    let mut case = Case {
        headers: vec![(
            "x-hub-signature-256",
            format!("sha256={}", mac("right", b"{}")),
        )],
        ..Case::default()
    };
    for (wrong, expected) in [(0, Ok(())), (9, Ok(())), (10, Err(Refusal::WrongSignature))] {
        case.secrets = vec!["wrong"; wrong];
        case.secrets.push("right");
        assert_eq!(case.verdict(&verifier), expected, "{wrong}");
    }
    case.secrets.clear();
    assert_eq!(case.verdict(&verifier), Err(Refusal::NoSecret));
}

#[test]
fn any_signature_of_a_list_may_be_right_and_only_of_the_right_version() {
    let verifier = built_in("stripe", &[]);
    let (time, body) = (NOW_MS / 1000, "{}");
    let right = stripe("secret", time, body);
    let wrong = stripe("other", time, body);
    let many = vec![wrong.as_str(); 20].join(",");
    for (header, expected) in [
        (format!("t={time},{right}"), Ok(())),
        (format!("{right},t={time}"), Ok(())),
        (format!("t={time},{wrong},{right},v0=00"), Ok(())),
        (
            format!("t={time},{}", right.to_uppercase().replace("V1", "v1")),
            Ok(()),
        ),
        (
            format!("t={time},{}", right.replace("v1", "v0")),
            Err(Refusal::MalformedSignature),
        ),
        (
            format!("t={time},t=1,{right}"),
            Err(Refusal::AmbiguousValue),
        ),
        (right.clone(), Err(Refusal::MissingValue)),
        (
            format!("t={time},{many},{right}"),
            Err(Refusal::MalformedSignature),
        ),
        (format!("t={time},{wrong}"), Err(Refusal::WrongSignature)),
        (format!("t={time},{right}00"), Err(Refusal::WrongSignature)),
    ] {
        let case = Case {
            headers: vec![("stripe-signature", header.clone())],
            ..Case::default()
        };
        assert_eq!(case.verdict(&verifier), expected, "{header}");
    }
}

#[test]
fn a_time_is_looked_at_after_the_signature() {
    let verifier = built_in("stripe", &[]);
    for (time, expected) in [
        ("1699999700", Ok(())),
        ("1700000300", Ok(())),
        ("1699999699", Err(Refusal::Stale)),
        ("1700000301", Err(Refusal::FromTheFuture)),
        ("", Err(Refusal::MalformedTimestamp)),
        ("soon", Err(Refusal::MalformedTimestamp)),
        ("-1700000000", Err(Refusal::MalformedTimestamp)),
        ("1700000000.0", Err(Refusal::MalformedTimestamp)),
        ("17e8", Err(Refusal::MalformedTimestamp)),
        ("17000000000000000000", Err(Refusal::MalformedTimestamp)),
    ] {
        let right = mac("secret", format!("{time}.{{}}").as_bytes());
        let mut case = Case {
            headers: vec![("stripe-signature", format!("t={time},v1={right}"))],
            ..Case::default()
        };
        assert_eq!(case.verdict(&verifier), expected, "{time}");
        case.secrets = vec!["other"];
        assert_eq!(
            case.verdict(&verifier),
            Err(Refusal::WrongSignature),
            "{time}"
        );
    }
}

#[test]
fn a_source_may_widen_or_drop_the_window() {
    let header = |time: i64| {
        vec![(
            "stripe-signature",
            format!("t={time},{}", stripe("secret", time, "{}")),
        )]
    };
    let scheme = &catalogue().get("stripe").expect("stripe").scheme;
    for (tolerance, time, expected) in [
        (Tolerance::Off, 1, Ok(())),
        (Tolerance::Millis(5_000), NOW_MS / 1000 - 5, Ok(())),
        (
            Tolerance::Millis(5_000),
            NOW_MS / 1000 - 6,
            Err(Refusal::Stale),
        ),
    ] {
        let options = Options {
            provider: "stripe".into(),
            tolerance,
        };
        let verifier = Verifier::compile(scheme, &Settings::new(), &options).expect("stripe");
        let case = Case {
            headers: header(time),
            ..Case::default()
        };
        assert_eq!(case.verdict(&verifier), expected, "{tolerance:?}");
    }
}

#[test]
fn id_and_body_cannot_be_split_elsewhere() {
    let verifier = built_in("standard_webhooks", &[]);
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let key = crate::crypto::encoding::lenient_base64("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
        .expect("base64");
    let time = NOW_MS / 1000;
    let signed = |content: &str| {
        let mac = digest::keyed(Algorithm::Sha256, &key, std::iter::once(content.as_bytes()));
        format!("v1,{}", encode(Encoding::Base64, &mac.expect("a MAC")))
    };
    let content = format!("msg_1.{time}.1.x");
    let case = |id: &str, time: &str, body: &'static [u8]| Case {
        headers: vec![
            ("webhook-id", id.to_owned()),
            ("webhook-timestamp", time.to_owned()),
            ("webhook-signature", signed(&content)),
        ],
        body,
        secrets: vec![secret],
        ..Case::default()
    };
    assert_eq!(
        case("msg_1", &time.to_string(), b"1.x").verdict(&verifier),
        Ok(())
    );
    let dotted = case(&format!("msg_1.{time}"), "1", b"x");
    assert_eq!(dotted.verdict(&verifier), Err(Refusal::MalformedValue));
    for id in ["", "a b", "a\0", &"x".repeat(10_000)] {
        assert!(
            case(id, &time.to_string(), b"1.x")
                .verdict(&verifier)
                .is_err(),
            "{id:?}"
        );
    }
}

#[test]
fn a_signed_value_that_is_there_twice_is_refused_where_the_body_is_not_covered() {
    let verifier = built_in("usps", &[]);
    let signature = encode(
        Encoding::Base64,
        &digest::keyed(Algorithm::Sha256, b"secret", [&b"t1p1"[..]].into_iter()).expect("a digest"),
    );
    for (body, verdict) in [
        (r#"{"timestamp":"t1","payload":"p1"}"#, Ok(())),
        (
            r#"{"timestamp":"t1","payload":"p1","payload":"p2"}"#,
            Err(Refusal::MalformedBody),
        ),
        (
            r#"{"timestamp":"t1","payload":"p2","payload":"p1"}"#,
            Err(Refusal::WrongSignature),
        ),
    ] {
        let case = Case {
            headers: vec![("x-hmac", signature.clone())],
            body: body.as_bytes(),
            ..Case::default()
        };
        assert_eq!(case.verdict(&verifier), verdict, "{body}");
    }
}

#[test]
fn tokens_and_credentials_are_compared_whole() {
    let token = own(r#"{"kind":"token","sig":{"at":["header:authorization","query:access_token"],"prefix":"Bearer "}}"#).expect("a record");
    for (value, expected) in [
        ("Bearer secret", Ok(())),
        ("bearer secret", Ok(())),
        ("Bearer secre", Err(Refusal::WrongSignature)),
        ("Bearer secrets", Err(Refusal::WrongSignature)),
        ("Bearer ", Err(Refusal::MalformedSignature)),
        ("secret", Err(Refusal::MalformedSignature)),
        ("", Err(Refusal::MissingSignature)),
    ] {
        let case = Case {
            headers: vec![("authorization", value.to_owned())],
            ..Case::default()
        };
        assert_eq!(case.verdict(&token), expected, "{value}");
    }
    let query = Case {
        path_query: "/in?access_token=secret",
        ..Case::default()
    };
    assert_eq!(query.verdict(&token), Ok(()));
    let twice = Case {
        path_query: "/in?access_token=secret&access_token=x",
        ..Case::default()
    };
    assert!(twice.verdict(&token).is_err());

    let basic = own(r#"{"kind":"basic"}"#).expect("a record");
    for (credentials, expected) in [
        ("user:pass:word", Ok(())),
        ("user:pass", Err(Refusal::WrongSignature)),
        ("user", Err(Refusal::MalformedSignature)),
        (":", Err(Refusal::WrongSignature)),
    ] {
        let value = format!("bAsIc {}", encode(Encoding::Base64, credentials.as_bytes()));
        let case = Case {
            headers: vec![("authorization", value)],
            secrets: vec!["user:pass:word"],
            ..Case::default()
        };
        assert_eq!(case.verdict(&basic), expected, "{credentials}");
    }
    for weak in ["nocolon", "user:"] {
        assert!(
            basic
                .check_secret(&Secret::new(weak).expect("a secret"))
                .is_err(),
            "{weak}"
        );
    }
}

#[test]
fn before_the_sender_is_proved_nothing_tells_one_refusal_from_another() {
    let form = "a=1&".repeat(1001);
    for (provider, body) in [
        ("twilio", form.as_str()),
        ("adyen_payments", "{"),
        ("mandrill", form.as_str()),
        ("usps", "{"),
    ] {
        let verifier = built_in(provider, &[]);
        let case = Case {
            headers: vec![
                ("x-twilio-signature", "AAAA".to_owned()),
                ("x-mandrill-signature", "AAAA".to_owned()),
                ("x-signature", "AAAA".to_owned()),
                (
                    "content-type",
                    "application/x-www-form-urlencoded".to_owned(),
                ),
            ],
            body: body.as_bytes(),
            ..Case::default()
        };
        let refusal = case.verdict(&verifier).expect_err(provider);
        assert_eq!(
            verifier.answers().refused(refusal),
            401,
            "{provider}: {refusal:?}"
        );
    }
}

#[test]
fn the_token_of_a_subscription_signs_nothing() {
    let verifier = built_in("meta", &[]);
    let token = "verify_token:abc";
    let secret = Secret::new(token).expect("a secret");
    assert_eq!(verifier.check_secret(&secret), Ok(()));
    for key in [token, "abc"] {
        let case = Case {
            headers: vec![("x-hub-signature-256", format!("sha256={}", mac(key, b"{}")))],
            body: b"{}",
            secrets: vec!["other", token],
            ..Case::default()
        };
        assert_eq!(case.verdict(&verifier), Err(Refusal::WrongSignature));
    }
    assert_eq!(verifier.credential_parameters(), ["hub.verify_token"]);
}
