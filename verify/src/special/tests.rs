//! What the vectors of special schemes have to show beyond the checks that all vectors go through.

use super::*;
use crate::{
    Options, Verifier, catalogue,
    kit::{Trial, vectors},
};

mod certificates;
mod schemes;

/// A vector that can be changed.
pub(super) fn trial(name: &str) -> Trial {
    Trial::new(&vectors()[&format!("{name}.json")])
}

/// The trial with its source's settings replaced.
pub(super) fn with_settings(trial: Trial, provider: &str, settings: &[(&str, &str)]) -> Trial {
    let settings = settings
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let scheme = &catalogue().get(provider).expect("a provider").scheme;
    let verifier = Verifier::compile(scheme, &settings, &Options::named(provider));
    Trial {
        verifier: verifier.expect("a verifier").into(),
        ..trial
    }
}

/// The trial with a text in its body replaced everywhere; the text must be there.
fn with_body(name: &str, from: &str, to: &str) -> Trial {
    let trial = trial(name);
    let body = String::from_utf8(trial.body).expect("text");
    assert!(body.contains(from), "{name}: {from}");
    let body = body.replace(from, to).into_bytes();
    Trial { body, ..trial }
}

/// Flips every bit of a vector's body: what is still accepted must say the same as before in the signed values.
pub(super) fn each_flip<T: PartialEq + std::fmt::Debug>(
    name: &str,
    signed: impl Fn(&[u8]) -> Option<T>,
) {
    let trial = trial(name);
    let before = signed(&trial.body).expect("signed values");
    for bit in 0..trial.body.len() * 8 {
        let mut flipped = trial.clone();
        flipped.body[bit / 8] ^= 1 << (bit % 8);
        if flipped.verify().is_ok() {
            assert_eq!(signed(&flipped.body).as_ref(), Some(&before), "bit {bit}");
        }
    }
}

#[test]
fn signed_times_are_taken_up_to_the_limit_and_not_beyond() {
    for (name, tolerance_s) in [
        ("alipay", 300),
        ("bridge_xyz", 600),
        ("contentful", 30),
        ("neon", 300),
        ("paypal", 300),
        ("persona", 300),
        ("wechat_pay", 300),
    ] {
        let trial = trial(name);
        let at = |later_ms| {
            let now_ms = trial.now_ms + later_ms;
            Trial {
                now_ms,
                ..trial.clone()
            }
            .verify()
        };
        let limit_ms = tolerance_s * 1_000;
        assert_eq!(at(limit_ms), Ok(()), "{name}");
        assert_eq!(at(-limit_ms), Ok(()), "{name}");
        assert_eq!(at(limit_ms + 1), Err(Refusal::Stale), "{name}");
        assert_eq!(at(-limit_ms - 1), Err(Refusal::FromTheFuture), "{name}");
    }
}

#[test]
fn tokens_are_taken_until_they_expire() {
    for (name, leeway_ms) in [("wix", 60_000), ("microsoft_graph.rich", 300_000)] {
        let mut trial = trial(name);
        trial.now_ms += 3_600_000 + leeway_ms - 1;
        assert_eq!(trial.verify(), Ok(()), "{name}");
        trial.now_ms += 1;
        assert_eq!(trial.verify(), Err(Refusal::Stale), "{name}");
    }
}

#[test]
fn no_shorter_body_is_accepted() {
    for (file, vector) in vectors() {
        let provider = catalogue().get(&vector.provider).expect("a provider");
        if provider.scheme.special.is_empty() {
            continue;
        }
        let trial = Trial::new(&vector);
        for length in 0..trial.body.len() {
            let mut cut = trial.clone();
            cut.body.truncate(length);
            assert!(cut.verify().is_err(), "{file} cut to {length}");
        }
    }
}

/// The signature covers values, not bytes: each of them, in every item.
#[test]
fn no_signed_value_of_a_body_can_be_changed() {
    for (name, from, to) in [
        ("adyen_payments", "7914073381342284", "7914073381342286"),
        ("adyen_payments", "7914073381342285", "7914073381342286"),
        ("adyen_payments", "1130", "1131"),
        ("adyen_payments", "EUR", "USD"),
        ("adyen_payments", "order:42", "order:43"),
        ("adyen_payments", "ExampleShop", "AnotherShop"),
        ("adyen_payments", "CAPTURE", "REFUND"),
        (
            "adyen_payments",
            r#""success":"true""#,
            r#""success":"false""#,
        ),
        ("aws_sns", r#"{\"order\":42}"#, r#"{\"order\":43}"#),
        ("aws_sns", "22b80b92", "22b80b93"),
        ("aws_sns", "Paid", "Free"),
        ("aws_sns", r#""Subject""#, r#""Object""#),
        ("aws_sns", "2026-11-22T12", "2026-11-22T13"),
        ("aws_sns", ":orders", ":others"),
        (
            "aws_sns",
            r#""SignatureVersion": "2""#,
            r#""SignatureVersion": "1""#,
        ),
        (
            "aws_sns",
            r#""SignatureVersion": "2""#,
            r#""SignatureVersion": "3""#,
        ),
        ("aws_sns.confirmation", "ConfirmSubscription", "Unsubscribe"),
        ("aws_sns.confirmation", r#""2336412f37""#, r#""2336412f38""#),
        ("exact_online", "Update", "Delete"),
        ("exact_online", r#""Division":"#, r#""Division": "#),
        ("microsoft_graph", "our-client-state", "a-client-state"),
        ("treezor", "1234,", "1235,"),
        ("treezor", "Besançon", "Besancon"),
        ("treezor", r#""email""#, r#""phone""#),
    ] {
        let verdict = with_body(name, from, to).verify();
        assert!(verdict.is_err(), "{name}: {from} → {to}");
    }
}

#[test]
fn what_is_no_part_of_the_signed_values_may_be_written_otherwise() {
    for (name, from, to) in [
        ("adyen_payments", r#""live":"false""#, r#""live" : "false""#),
        ("aws_sns", "Paid", r"\u0050aid"),
        ("exact_online", r#","HashCode""#, r#", "HashCode""#),
        ("treezor", "Besançon", r"Besan\u00E7on"),
        ("treezor", "https://", r"https:\/\/"),
    ] {
        assert_eq!(with_body(name, from, to).verify(), Ok(()), "{name}: {to}");
    }
}

/// One reader would see what was signed, and another the member that was added.
#[test]
fn a_member_that_is_there_twice_is_refused() {
    for (name, from, to) in [
        (
            "adyen_payments",
            r#"{"live""#,
            r#"{"notificationItems":[],"live""#,
        ),
        (
            "adyen_payments",
            r#""eventCode":"CAPTURE""#,
            r#""eventCode":"CAPTURE","eventCode":"REFUND""#,
        ),
        (
            "adyen_payments",
            r#""currency":"EUR""#,
            r#""currency":"EUR","currency":"USD""#,
        ),
        ("aws_sns", r#"{"Type""#, r#"{"Message":"","Type""#),
        (
            "exact_online",
            r#"{"Content""#,
            r#"{"Content":{},"Content""#,
        ),
        ("microsoft_graph", r#"{"value""#, r#"{"value":[],"value""#),
        (
            "treezor",
            r#""object":"#,
            r#""object_payload":{},"object":"#,
        ),
    ] {
        let verdict = with_body(name, from, to).verify();
        assert_eq!(verdict, Err(Refusal::MalformedValue), "{name}: {to}");
    }
}

/// What is signed of a list of values is their texts strung together: other values must not come to the same.
#[test]
fn signed_values_cannot_be_cut_elsewhere() {
    let trial = trial("adyen_payments");
    let body = String::from_utf8(trial.body.clone()).expect("text");
    let body = body
        .replace("order:42", "order")
        .replace(r#""value":1130"#, r#""value":42"#)
        .replace(r#""EUR""#, r#""1130:EUR""#);
    let body = body.into_bytes();
    let verdict = Trial { body, ..trial }.verify();
    assert_eq!(verdict, Err(Refusal::MalformedValue));
    let moved = with_body("aws_sns", r#""Paid""#, r#""Paid\nTimestamp\n2026""#);
    assert_eq!(moved.verify(), Err(Refusal::MalformedValue));
}

#[test]
fn one_item_without_its_proof_refuses_the_batch() {
    for (name, from, to) in [
        (
            "adyen_payments",
            r#"[{"Notif"#,
            r#"[{"NotificationRequestItem":{}},{"Notif"#,
        ),
        ("adyen_payments", r#"[{"Notif"#, r#"[7,{"Notif"#),
        ("microsoft_graph", r#"[{"subs"#, r#"[{},{"subs"#),
        (
            "microsoft_graph",
            r#"[{"subs"#,
            r#"[{"clientState":""},{"subs"#,
        ),
    ] {
        assert!(with_body(name, from, to).verify().is_err(), "{name}: {to}");
    }
    for (name, body) in [
        ("adyen_payments", r#"{"notificationItems":[]}"#),
        ("adyen_payments", r#"{"notificationItems":{}}"#),
        ("adyen_payments", "{}"),
        ("microsoft_graph", r#"{"value":[]}"#),
        ("microsoft_graph", "{}"),
        ("aws_sns", "{}"),
        ("exact_online", "{}"),
        ("treezor", "{}"),
        ("wix", ""),
        ("braintree", ""),
        ("payfast", ""),
    ] {
        let body = body.as_bytes().to_vec();
        assert!(
            Trial {
                body,
                ..trial(name)
            }
            .verify()
            .is_err(),
            "{name}"
        );
    }
}

#[test]
fn a_source_is_bound_to_its_own_topic_merchant_and_client() {
    for (name, settings, refusal) in [
        (
            "aws_sns",
            [("topic_arn", "arn:aws:sns:eu-west-1:123456789012:others")],
            Refusal::Requirement,
        ),
        (
            "alipay",
            [("client_id", "SANDBOX_OTHER")],
            Refusal::Requirement,
        ),
        (
            "payfast",
            [("merchant_id", "10000101")],
            Refusal::Requirement,
        ),
        (
            "braintree",
            [("public_key", "another_public_key")],
            Refusal::UnknownKey,
        ),
        (
            "fireblocks",
            [("environment", "eu")],
            Refusal::KeyNotFetched,
        ),
        ("ebay", [("environment", "sandbox")], Refusal::KeyNotFetched),
        ("ebay", [("keys", "configured")], Refusal::NoSecret),
    ] {
        let verdict = with_settings(trial(name), name, &settings).verify();
        assert_eq!(verdict, Err(refusal), "{name}");
    }
}

#[test]
fn settings_that_a_scheme_cannot_work_with_are_refused() {
    for (name, setting, value) in [
        ("alipay", "client_id", ""),
        ("aws_sns", "topic_arn", "orders"),
        ("braintree", "public_key", ""),
        ("ebay", "environment", "test"),
        ("ebay", "keys", "none"),
        ("fireblocks", "environment", "mars"),
        ("neon", "auth_url", "https://evil.test/"),
        ("paypal", "webhook_id", ""),
        ("paypal", "trusted_certificates", "none"),
        ("twilio", "algorithm", "md5"),
    ] {
        let check = find(name).and_then(|special| special.check).expect(name);
        let mut settings: Settings = [("webhook_id", "1")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        settings.insert(setting.to_owned(), value.to_owned());
        let error = check(&settings).expect_err(name);
        assert_eq!(error.field, format!("settings.{setting}"), "{name}");
    }
}
