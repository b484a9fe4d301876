//! Which secrets a source takes, and which Posthorn makes.

use rand::{SeedableRng as _, rngs::StdRng};

use super::*;
use crate::{
    entropy::Entropy,
    rpc::source::{scheme::compile, settings},
};

fn settings_of(provider: &str, scheme: Option<&str>) -> SourceSettings {
    let new = posthorn::v1::SourceSettings {
        provider: "standard_webhooks".to_owned(),
        ..posthorn::v1::SourceSettings::default()
    };
    let draft = settings::read(&new, &posthorn_guard::Policy::default()).unwrap();
    SourceSettings {
        provider: Some(provider.to_owned()),
        scheme: scheme.map(|scheme| serde_json::from_str(scheme).unwrap()),
        ..draft.settings
    }
}

fn chosen(settings: &SourceSettings, texts: &[&str]) -> Result<Chosen, Error> {
    let compiled = compile(settings).unwrap();
    let texts = texts.iter().map(|text| (*text).to_owned());
    let texts = texts.collect::<Vec<_>>();
    Chosen::read(&texts, settings, compiled.as_ref(), &mut Entropy::system())
}

fn fault(settings: &SourceSettings, texts: &[&str]) -> String {
    match chosen(settings, texts) {
        Err(Error::Invalid(violations)) => violations[0].field.clone(),
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("accepted"),
    }
}

#[test]
fn a_secret_is_made_where_its_user_chooses_it() {
    let hmac = r#"{"kind":"hmac","alg":"sha256","sig":{"at":"header:x-s"},"content":"{body}"}"#;
    let token = r#"{"kind":"token","sig":{"at":"header:x-token"}}"#;
    let asym = r#"{"kind":"asym","alg":"ed25519","sig":{"at":"header:x-s"},"content":"{body}"}"#;
    for (settings, begins, length) in [
        (settings_of("standard_webhooks", None), "whsec_", 6 + 44),
        (settings_of(CUSTOM, Some(hmac)), "", 43),
        (settings_of(CUSTOM, Some(token)), "", 43),
        (settings_of("generic_hmac", None), "", 43),
        (settings_of("generic_token", None), "", 43),
        (settings_of("generic_bearer", None), "", 43),
    ] {
        let chosen = chosen(&settings, &[]).unwrap();
        let shown = chosen.expose_shown();
        assert!(
            shown.starts_with(begins) && shown.len() == length,
            "{shown}"
        );
        assert_eq!(chosen.secrets[0].expose(), shown.as_bytes());
    }
    assert_eq!(fault(&settings_of(CUSTOM, Some(asym)), &[]), "secrets");
    assert_eq!(fault(&settings_of("svix", None), &[]), "secrets");
    let mut basic = settings_of("generic_basic", None);
    assert_eq!(fault(&basic, &[]), "secrets");
    assert_eq!(fault(&basic, &["no colon"]), "secrets[0]");
    basic.parameters = [("username".to_owned(), "posthorn".to_owned())].into();
    assert_eq!(chosen(&basic, &[]).unwrap().expose_shown().len(), 43);
}

#[test]
fn two_secrets_that_are_made_differ() {
    let settings = settings_of("standard_webhooks", None);
    let scheme = settings.scheme().unwrap().unwrap();
    let made = |seed| {
        let text = made(&settings, &scheme, &mut StdRng::seed_from_u64(seed)).unwrap();
        text.expose_secret().to_owned()
    };
    assert_ne!(made(1), made(2));
}

#[test]
fn secrets_that_are_given_have_the_form_of_the_scheme() {
    let settings = settings_of("standard_webhooks", None);
    let good = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let other = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSx";
    let given = chosen(&settings, &[good, other]).unwrap();
    assert_eq!(
        (given.secrets.len(), given.expose_shown().as_str()),
        (2, "")
    );
    let long = "A".repeat(8_193);
    for bad in [
        "",
        "whsec_",
        "whsec_YQ==",
        "no base64!",
        "whpk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        &long,
    ] {
        assert_eq!(fault(&settings, &[good, bad]), "secrets[1]", "{bad}");
    }
    assert_eq!(fault(&settings, &[good, good]), "secrets[1]");
    assert_eq!(fault(&settings, &[good; 11]), "secrets");
}

#[test]
fn a_source_without_use_for_secrets_takes_none() {
    let settings = settings_of(CUSTOM, Some(r#"{"kind":"none"}"#));
    assert!(chosen(&settings, &[]).unwrap().secrets.is_empty());
    assert_eq!(fault(&settings, &["a"]), "secrets");
}

#[test]
fn a_provider_that_hands_its_secret_over_needs_none_at_first() {
    let scheme = r#"{"kind":"hmac","alg":"sha256","sig":{"at":"header:x-s"},"content":"{body}","handshake":[
        {"name":"hook","when":{"present":["header:x-hook-secret"]},"before_signature":true,
         "capture":"header:x-hook-secret"}]}"#;
    let chosen = chosen(&settings_of(CUSTOM, Some(scheme)), &[]).unwrap();
    assert!(chosen.secrets.is_empty() && chosen.expose_shown().is_empty());
}

#[test]
fn what_polling_sends_fits_a_header() {
    assert!(poll_secret("").unwrap().is_none());
    assert!(poll_secret("Bearer abc").unwrap().is_some());
    for bad in ["a\r\nb", "ä", &"x".repeat(8_193)] {
        assert!(poll_secret(bad).is_err());
    }
}

#[test]
fn case_16_blanks_around_a_secret_are_left_out_and_another_kind_of_key_is_named() {
    let stripe = settings_of("stripe", None);
    for text in ["whsec_abc ", "\u{feff}whsec_abc\u{200b}\u{a0}\n"] {
        let chosen = chosen(&stripe, &[text]).unwrap();
        assert_eq!(chosen.secrets[0].expose(), b"whsec_abc");
    }
    let words = |settings: &SourceSettings, text: &str| match chosen(settings, &[text]) {
        Err(Error::Invalid(violations)) => violations[0].description.clone(),
        _ => panic!("{text} is refused"),
    };
    assert!(words(&stripe, "sk_live_abc").contains("`sk_`"));
    assert!(words(&stripe, " we_1Abc").contains("`we_`"));
    let standard = settings_of("standard_webhooks", None);
    let secret = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
    assert!(chosen(&standard, &[secret]).is_ok());
    assert!(words(&standard, &format!("v1,{secret}")).contains("begins at `whsec_`"));
    assert_eq!(words(&stripe, " \u{feff}"), "must be 1 to 8192 characters");
}
