//! What is peculiar to single schemes.

use super::{trial, with_body, with_settings};
use crate::{
    Context, Handshaken, Refusal, Secret,
    crypto::encoding::encode,
    open_wechat_pay_resource,
    scheme::{Algorithm, Encoding},
};

/// What a vector's source answers to a GET with a query.
fn answer(name: &str, query: &str) -> Option<Result<Handshaken, Refusal>> {
    let mut trial = trial(name);
    trial.method = "GET".to_owned();
    trial.body = Vec::new();
    trial.path_query = format!("/in/src_1?{query}");
    trial.with_request(|request| {
        let handshake = trial.verifier.handshake(request)?;
        Some(handshake.answer(&Context {
            request,
            secrets: &trial.secrets,
            fetched: &[],
            now_ms: trial.now_ms,
        }))
    })
}

/// Both answers are those of the providers' own SDKs.
#[test]
fn challenges_are_answered() {
    let challenge = "bt_challenge=20f9f8ed05f77439fe955c977e4c8a53";
    let answer = answer("braintree", challenge).expect("a handshake");
    let expected = "our_public_key|e8385fcab6045a64fe2c72ed5c8944f1451e881a";
    assert_eq!(answer.expect("an answer").answer.body, expected.as_bytes());

    let challenge = "challenge_code=71745723-d031-455c-bfa5-f90d11b4f20a";
    let answer = self::answer("ebay", challenge).expect("a handshake");
    let digest = "473904e14709c6dd11ff1597efa2ef1be57b32b4e4b902025758d7d73a72c43f";
    let expected = format!(r#"{{"challengeResponse":"{digest}"}}"#);
    assert_eq!(answer.expect("an answer").answer.body, expected.as_bytes());
}

#[test]
fn challenges_of_another_form_are_not_signed() {
    for challenge in ["bt_challenge=PD94bWw", "bt_challenge="] {
        let answer = answer("braintree", challenge);
        assert!(!matches!(answer, Some(Ok(_))), "{challenge}");
    }
}

/// Whoever answers challenges signs what strangers choose: it must never pass for a notification.
#[test]
fn the_answer_to_a_challenge_is_no_notification() {
    let mut trial = trial("braintree");
    let digits = "20f9f8ed05f77439fe955c977e4c8a53";
    let signature = "our_public_key|e8385fcab6045a64fe2c72ed5c8944f1451e881a";
    trial.body = format!("bt_signature={signature}&bt_payload={digits}").into_bytes();
    assert_eq!(trial.verify(), Err(Refusal::MalformedValue));
}

#[test]
fn a_subscription_is_confirmed_after_the_signature_at_an_sns_host() {
    let trial = trial("aws_sns.confirmation");
    let handshaken = trial.with_request(|request| {
        let handshake = trial.verifier.handshake(request).expect("a handshake");
        assert!(!handshake.before_signature());
        handshake.answer(&Context {
            request,
            secrets: &[],
            fetched: &[],
            now_ms: trial.now_ms,
        })
    });
    let url = handshaken.expect("an answer").call_back.expect("a URL");
    assert_eq!(url.host_str(), Some("sns.eu-west-1.amazonaws.com"));
}

#[test]
fn rich_notifications_need_tokens_for_our_app_and_tenant() {
    let name = "microsoft_graph.rich";
    let provider = "microsoft_graph";
    let app = ("app_id", "8e460676-ae3f-4b1e-8790-ee0fb5d6ea12");
    let tenant = ("tenant_id", "84bd8158-6d4d-4958-8b9f-9d6445542f95");
    let verdict = |settings: &[_]| with_settings(trial(name), provider, settings).verify();
    assert_eq!(verdict(&[app, tenant]), Ok(()));
    assert_eq!(
        verdict(&[("app_id", "other"), tenant]),
        Err(Refusal::Claim("aud"))
    );
    assert_eq!(
        verdict(&[app, ("tenant_id", "other")]),
        Err(Refusal::Claim("tid"))
    );
    assert_eq!(verdict(&[app]), Err(Refusal::Requirement));
    assert_eq!(verdict(&[]), Err(Refusal::Requirement));
    let bare = with_body(name, "validationTokens", "validation");
    assert_eq!(bare.verify(), Err(Refusal::MissingSignature));
    let mut unfetched = trial(name);
    unfetched.fetched.clear();
    assert_eq!(unfetched.verify(), Err(Refusal::KeyNotFetched));
}

#[test]
fn an_account_without_passphrase_has_to_be_meant() {
    let mut trial = trial("payfast");
    trial.secrets.clear();
    assert_eq!(trial.verify(), Err(Refusal::NoSecret));
    let fields = "a=1&b=x+y";
    let digest = crate::crypto::digest::plain(Algorithm::Md5, std::iter::once(fields.as_bytes()));
    let signature = encode(Encoding::Hex, &digest.expect("a digest"));
    trial.body = format!("{fields}&signature={signature}").into_bytes();
    let meant = with_settings(trial, "payfast", &[("allow_no_passphrase", "true")]);
    assert_eq!(meant.verify(), Ok(()));
}

#[test]
fn persona_signs_with_two_secrets_while_one_is_rolled() {
    let mut trial = trial("persona");
    let pair = trial.headers[1].1.clone();
    let other = b"t=1795348800,v1=00";
    trial.headers[1].1 = [other, b" ".as_slice(), &pair].concat();
    assert_eq!(trial.verify(), Ok(()));
    trial.headers[1].1 = [pair.as_slice(), b"  ", other].concat();
    assert_eq!(trial.verify(), Ok(()));
    trial.headers[1].1 = [other, b" ".as_slice(), other].concat();
    assert_eq!(trial.verify(), Err(Refusal::WrongSignature));
}

#[test]
fn the_resource_of_wechat_pay_is_opened_with_the_key_of_the_merchant() {
    let body = trial("wechat_pay").body;
    let key = |text: &str| vec![Secret::new(text).expect("a secret")];
    let right = key("0123456789abcdef0123456789abcdef");
    let wrong = key("0123456789abcdef0123456789abcdeg");
    let opened = open_wechat_pay_resource(&body, &right);
    assert_eq!(
        opened.as_deref(),
        Ok(br#"{"out_trade_no":"42"}"#.as_slice())
    );
    let refused = open_wechat_pay_resource(&body, &wrong);
    assert_eq!(refused, Err(Refusal::WrongSignature));
    assert_eq!(
        open_wechat_pay_resource(&body, &key("short")),
        Err(Refusal::NoSecret)
    );
    assert_eq!(
        open_wechat_pay_resource(b"{}", &right),
        Err(Refusal::MalformedBody)
    );
    let body = String::from_utf8(body).expect("text");
    let body = body.replace("\"transaction\"", "\"transactioN\"");
    let refused = open_wechat_pay_resource(body.as_bytes(), &right);
    assert_eq!(refused, Err(Refusal::WrongSignature));
}
