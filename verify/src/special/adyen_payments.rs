//! Adyen's payment notifications: every item of the list carries the HMAC of eight of its fields.
//!
//! Only these fields are signed; what else an item says is only claimed.

use std::borrow::Cow;

use super::{
    Special, SpecialPlan,
    input::{Object, any_secret, base64, is_hmac},
};
use crate::{Context, Refusal, json::Kind, scheme::Algorithm};

/// The most items of a notification.
const ITEMS_MAX: usize = 1_000;

/// Adyen's payment notifications. Secrets are the hex text of the HMAC key.
pub(super) static SPECIAL: Special = Special::new("adyen_payments", verify);

fn verify(context: &Context<'_>, _plan: &SpecialPlan) -> Result<(), Refusal> {
    let body = Object::of_body(context.request.body)?;
    let items = body.get("notificationItems");
    let items = items
        .filter(|items| items.kind == Kind::Array)
        .ok_or(Refusal::MalformedBody)?;
    let mut count = 0;
    for item in items.elements() {
        count += 1;
        if count > ITEMS_MAX {
            return Err(Refusal::MalformedBody);
        }
        let item = Object::read(&item)?.object("NotificationRequestItem")?;
        verify_item(context, &item)?;
    }
    if count == 0 {
        return Err(Refusal::MissingSignature);
    }
    Ok(())
}

fn verify_item(context: &Context<'_>, item: &Object<'_>) -> Result<(), Refusal> {
    let additional = item
        .object("additionalData")
        .map_err(|_| Refusal::MissingSignature)?;
    let signature = additional
        .string("hmacSignature")
        .filter(|text| !text.is_empty())
        .ok_or(Refusal::MissingSignature)?;
    let signature = base64(&signature)?;
    let signed = content(item)?;
    any_secret(context.secrets, |secret| {
        hex::decode(secret.trim_ascii())
            .is_ok_and(|key| is_hmac(Algorithm::Sha256, &key, &[signed.as_bytes()], &signature))
    })
}

/// The signed fields, joined by colons. Adyen escapes nothing, so that only the merchant's own reference may have a colon
/// in it: otherwise other fields would come to the same text.
fn content(item: &Object<'_>) -> Result<String, Refusal> {
    let amount = item.object("amount")?;
    let fields = [
        (item, "pspReference"),
        (item, "originalReference"),
        (item, "merchantAccountCode"),
        (item, "merchantReference"),
        (&amount, "value"),
        (&amount, "currency"),
        (item, "eventCode"),
        (item, "success"),
    ];
    let mut texts = Vec::with_capacity(fields.len());
    for (object, name) in fields {
        let text = object.text(name).unwrap_or(Cow::Borrowed(""));
        if text.contains(':') && name != "merchantReference" {
            return Err(Refusal::MalformedValue);
        }
        texts.push(text);
    }
    Ok(texts.join(":"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::special::tests::each_flip;

    /// The example of Adyen's documentation.
    #[test]
    fn the_published_example_is_verified() {
        let item = br#"{"pspReference":"7914073381342284","merchantAccountCode":"TestMerchant","merchantReference":"TestPayment-1407325143704","amount":{"value":1130,"currency":"EUR"},"eventCode":"AUTHORISATION","success":"true"}"#;
        let signed = Object::of_body(item).and_then(|item| content(&item));
        let signed = signed.expect("an item");
        let key = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056";
        let key = hex::decode(key).expect("hex");
        let signature = base64("coqCmt/IZ4E3CzPvMY8zTjQVL5hYJUiBRg8UU+iCWo0=").expect("base64");
        assert!(is_hmac(
            Algorithm::Sha256,
            &key,
            &[signed.as_bytes()],
            &signature
        ));
    }

    #[test]
    fn no_flipped_bit_changes_what_was_signed() {
        each_flip("adyen_payments", |body| {
            let body = Object::of_body(body).ok()?;
            let items = body.get("notificationItems")?.elements();
            let signed = items.map(|item| {
                let item = Object::read(&item)?.object("NotificationRequestItem")?;
                content(&item)
            });
            signed.collect::<Result<Vec<_>, _>>().ok()
        });
    }
}
