//! Praxis: SHA-384 over named values of the body and the merchant's secret, strung together; the acknowledgement is
//! signed in the same way.
//!
//! Nothing stands between the values, and the rest of the body is not signed: what a notification says has to be asked
//! for again before it is believed.

use super::{
    Special, SpecialPlan,
    input::{Object, any_secret, check_time, lower_hex, signature},
};
use crate::{
    Answer, Context, Refusal,
    crypto::digest::{plain, same},
    json::{document, text_at},
    scheme::{Algorithm, TimeUnit},
};

const SIGNATURE: &str = "gt-authentication";
/// The header of the acknowledgement's signature.
const ANSWER_SIGNATURE: &str = "external-request-signature";

/// Praxis names no limit.
const TOLERANCE_S: u32 = 300;

/// The signed values of a notification about a payment, in their order.
const PAYMENT: [&str; 11] = [
    "/merchant_id",
    "/application_key",
    "/timestamp",
    "/customer/customer_token",
    "/session/order_id",
    "/transaction/tid",
    "/transaction/currency",
    "/transaction/amount",
    "/transaction/conversion_rate",
    "/transaction/processed_currency",
    "/transaction/processed_amount",
];

/// The signed values of a notification about a subscription, which alone has an `event`.
const SUBSCRIPTION: [&str; 8] = [
    "/event",
    "/merchant_id",
    "/application_key",
    "/cid",
    "/plan_id",
    "/subscription_id",
    "/subscription_status",
    "/timestamp",
];

/// Praxis. The secret is the merchant's.
pub(super) static SPECIAL: Special = Special {
    answer: Some(answer),
    headers: &[SIGNATURE],
    ..Special::new("praxis", verify)
};

fn verify(context: &Context<'_>, plan: &SpecialPlan) -> Result<(), Refusal> {
    let signature = lower_hex(signature(context.request, SIGNATURE)?)?;
    let values = content(context.request.body)?;
    any_secret(context.secrets, |secret| {
        digest([values.as_bytes(), secret]).is_some_and(|made| same(&signature, &made))
    })?;
    let time = text_at(document(context.request.body)?, "/timestamp");
    let time = time.ok_or(Refusal::MissingTimestamp)?;
    check_time(context, plan, (TimeUnit::S, &time), TOLERANCE_S)
}

/// The signed values, one after the other; those that are missing or null count as empty.
fn content(body: &[u8]) -> Result<String, Refusal> {
    let object = Object::of_body(body)?;
    for name in ["customer", "session", "transaction"] {
        if object.get(name).is_some() {
            object.object(name)?;
        }
    }
    let pointers: &[&str] = match object.text("event") {
        Some(event) if !event.is_empty() => &SUBSCRIPTION,
        _ => &PAYMENT,
    };
    let text = document(body)?;
    let values = pointers.iter().map(|pointer| text_at(text, pointer));
    Ok(values.map(Option::unwrap_or_default).collect())
}

/// Status, time and their signature with the first secret.
fn answer(context: &Context<'_>, _plan: &SpecialPlan) -> Option<Answer> {
    let seconds = (context.now_ms / 1000).to_string();
    let secret = context.secrets.first()?.expose();
    let made = digest([b"0", seconds.as_bytes(), secret])?;
    Some(Answer {
        status: 200,
        headers: vec![
            ("content-type".to_owned(), "application/json".to_owned()),
            (ANSWER_SIGNATURE.to_owned(), hex::encode(made)),
        ],
        body: format!(r#"{{"status":0,"timestamp":{seconds}}}"#).into_bytes(),
    })
}

fn digest<const N: usize>(pieces: [&[u8]; N]) -> Option<Vec<u8>> {
    plain(Algorithm::Sha384, pieces.into_iter())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Headers, Request, Secret, Settings, Tolerance};

    #[test]
    fn the_acknowledgement_is_signed_with_its_time() {
        let (headers, secrets) = (Headers::new(), [Secret::new("secret").expect("a secret")]);
        let request = Request {
            method: "POST",
            path_query: "/",
            url: "https://x.test/",
            headers: &headers,
            body: b"{}",
        };
        let context = Context {
            request: &request,
            secrets: &secrets,
            fetched: &[],
            now_ms: 1_795_000_002_999,
        };
        let plan = SpecialPlan {
            settings: Settings::new(),
            tolerance: Tolerance::Scheme,
        };
        let answer = answer(&context, &plan).expect("an answer");
        assert_eq!(answer.body, br#"{"status":0,"timestamp":1795000002}"#);
        // SHA-384 of 0, the time and the secret, by Python's hashlib.
        let expected = "9029f449e945e5ccb11a754902721a12050c315e737d4b549a00d878fb3dc0696de9b01b69c0c733ea8fb2d6ea3e2138";
        assert!(
            answer
                .headers
                .contains(&(ANSWER_SIGNATURE.to_owned(), expected.to_owned()))
        );
    }

    #[test]
    fn the_signed_values_follow_the_kind_of_notification() {
        for (body, expected) in [
            (
                r#"{"merchant_id":"m","timestamp":7,"transaction":{"tid":9,"amount":1.50}}"#,
                "m791.50",
            ),
            (
                r#"{"event":"e","merchant_id":"m","cid":"c","plan_id":null,"timestamp":7}"#,
                "emc7",
            ),
            (r#"{"event":"","merchant_id":"m"}"#, "m"),
            ("{}", ""),
        ] {
            assert_eq!(content(body.as_bytes()).as_deref(), Ok(expected), "{body}");
        }
    }

    #[test]
    fn bodies_that_can_be_read_in_two_ways_are_refused() {
        for body in [
            r#"{"merchant_id":"m","merchant_id":"n"}"#,
            r#"{"transaction":{"amount":1,"amount":2}}"#,
            r#"{"transaction":1}"#,
            "[]",
            "",
        ] {
            assert_eq!(
                content(body.as_bytes()),
                Err(Refusal::MalformedBody),
                "{body}"
            );
        }
    }
}
