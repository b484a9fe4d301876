//! Certificates that must not be taken.

use rcgen::{CertificateParams, DnType, KeyPair, date_time_ymd};

use super::{trial, with_settings};
use crate::{Refusal, kit::Trial};

/// A certificate that signed itself, for a name and some years.
fn certificate(name: &str, years: (i32, i32)) -> String {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(years.0, 1, 1);
    params.not_after = date_time_ymd(years.1, 1, 1);
    params.self_signed(&key).expect("a certificate").pem()
}

/// The verdict when something else was found at the certificate's address.
fn with_fetched(trial: &Trial, body: &str) -> Result<(), Refusal> {
    let mut trial = trial.clone();
    trial.fetched[0].body = body.as_bytes().to_vec();
    trial.verify()
}

#[test]
fn a_certificate_of_sns_is_for_sns_valid_now_and_of_rsa() {
    let trial = trial("aws_sns");
    for (what, pem) in [
        ("no certificate", String::new()),
        (
            "other text",
            "-----BEGIN NONSENSE-----\n-----END NONSENSE-----\n".to_owned(),
        ),
        (
            "another name",
            certificate("mail.example.com", (2026, 2036)),
        ),
        (
            "not yet valid",
            certificate("sns.amazonaws.com", (2030, 2036)),
        ),
        (
            "out of date",
            certificate("sns.amazonaws.com", (2020, 2021)),
        ),
        ("no RSA key", certificate("sns.amazonaws.com", (2026, 2036))),
        ("too long", "-".repeat(100_000)),
    ] {
        assert!(
            matches!(
                with_fetched(&trial, &pem),
                Err(Refusal::BadCertificate | Refusal::KeyNotFetched)
            ),
            "{what}"
        );
    }
    let mut unfetched = trial.clone();
    unfetched.fetched.clear();
    assert_eq!(unfetched.verify(), Err(Refusal::KeyNotFetched));
}

#[test]
fn a_certificate_of_paypal_leads_to_a_trusted_one() {
    let trial = trial("paypal");
    let chain = String::from_utf8(trial.fetched[0].body.clone()).expect("text");
    let end = "-----END CERTIFICATE-----\n";
    let (leaf, _) = chain.split_once(end).expect("two certificates");
    let leaf = format!("{leaf}{end}");
    for (what, pem) in [
        ("no intermediate", leaf),
        (
            "nobody's",
            certificate("messageverificationcerts.paypal.com", (2026, 2036)),
        ),
        (
            "another name",
            certificate("paypal.com.example.com", (2026, 2036)),
        ),
        (
            "out of date",
            certificate("messageverificationcerts.paypal.com", (2020, 2021)),
        ),
    ] {
        assert_eq!(
            with_fetched(&trial, &pem),
            Err(Refusal::BadCertificate),
            "{what}"
        );
    }
    let id = ("webhook_id", "8PT597110X687430LKGECATA");
    let untrusted = with_settings(trial.clone(), "paypal", &[id]);
    assert_eq!(untrusted.verify(), Err(Refusal::BadCertificate));
    let mut late = trial;
    late.now_ms += 15 * 366 * 86_400_000;
    assert_eq!(late.verify(), Err(Refusal::BadCertificate));
}

#[test]
fn a_certificate_of_wechat_pay_is_valid_now() {
    let mut trial = trial("wechat_pay");
    trial.now_ms += 15 * 366 * 86_400_000;
    assert_eq!(trial.verify(), Err(Refusal::BadCertificate));
}

#[test]
fn keys_are_asked_for_at_the_providers_own_hosts_only() {
    for (name, url) in [
        (
            "aws_sns",
            "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0123456789abcdef0123456789abcdef.pem",
        ),
        (
            "ebay",
            "https://api.ebay.com/commerce/notification/v1/public_key/9936261a-7d7b-4621-a0f1-96ccb428af49",
        ),
        (
            "fireblocks",
            "https://keys.fireblocks.io/.well-known/jwks.json",
        ),
        (
            "microsoft_graph.rich",
            "https://login.microsoftonline.com/common/discovery/v2.0/keys",
        ),
        (
            "neon",
            "https://ep-quiet-dawn-a1.neonauth.eu-central-1.aws.neon.tech/neondb/auth/.well-known/jwks.json",
        ),
        (
            "paypal",
            "https://api.paypal.com/v1/notifications/certs/CERT-360caa42-fca2a594-5a29e601",
        ),
    ] {
        let trial = trial(name);
        let asked = trial.with_request(|request| trial.verifier.key_request(request));
        let asked = asked.expect(name).expect(name);
        assert_eq!(asked.url.as_str(), url);
    }
    let mut forged = trial("paypal");
    for url in [
        "https://api.paypal.com.evil.test/v1/notifications/certs/CERT-1",
        "https://api.paypal.com/v1/notifications/certs/../../x",
        "https://api.paypal.com/v1/notifications/certs/CERT-1?x",
        "http://api.paypal.com/v1/notifications/certs/CERT-1",
        "https://www.paypal.com/v1/notifications/certs/CERT-1",
    ] {
        let header = forged
            .headers
            .iter_mut()
            .find(|(name, _)| name == "paypal-cert-url");
        header.expect("a header").1 = url.as_bytes().to_vec();
        let asked = forged.with_request(|request| forged.verifier.key_request(request));
        assert_eq!(asked, Err(Refusal::ForbiddenKeyAddress), "{url}");
    }
}
