//! The fifteen providers that post several events at a time, each with its batches and its signatures.
//!
//! What is signed is written out here by the providers' rules, apart from what verifies it.

use std::sync::LazyLock;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use posthorn::v1::SourceSettings;
use ring::{
    hmac,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _},
};

use super::hex;

/// The URL that the providers have, of any source.
pub(crate) const URL: &str = "https://hooks.example.com/in/any";
/// What all of them sign with, but the one that has a key of its own.
const SECRET: &str = "a-secret-of-the-test";

/// What DER says before the point of a public key on P-256.
const SPKI: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

static KEY: LazyLock<EcdsaKeyPair> = LazyLock::new(|| {
    let (algorithm, rng) = (&ECDSA_P256_SHA256_ASN1_SIGNING, SystemRandom::new());
    let document = EcdsaKeyPair::generate_pkcs8(algorithm, &rng).expect("a key is made");
    EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &rng).expect("it is a key")
});

/// A provider of batches.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchProvider {
    /// Its name in the catalogue.
    pub(crate) name: &'static str,
    /// An item, `$` for what makes it unique.
    item: &'static str,
    /// The type of that item.
    pub(crate) event_type: &'static str,
    /// The batch: `@` for its items, `$` for what is its own, `#` for now in milliseconds.
    batch: &'static str,
}

/// A request as its provider signed it. A repeat is the same.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    /// The headers, names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    /// The query, with its `?`.
    pub(crate) query: String,
    /// The body.
    pub(crate) body: String,
    /// The items as they stand in it.
    pub(crate) items: Vec<String>,
}

const fn provider(
    name: &'static str,
    event_type: &'static str,
    item: &'static str,
    batch: &'static str,
) -> BatchProvider {
    BatchProvider {
        name,
        item,
        event_type,
        batch,
    }
}

/// All of them.
pub(crate) const PROVIDERS: [BatchProvider; 15] = [
    provider(
        "sendgrid",
        "sendgrid.delivered",
        r#"{ "event":"delivered","sg_event_id":"$" , "n":1.0}"#,
        "[@]\r\n",
    ),
    provider(
        "mandrill",
        "mandrill.open",
        r#"{"event":"open", "_id":"$","ts":1795348801}"#,
        "[@]",
    ),
    provider(
        "hubspot",
        "hubspot.deal.propertychange",
        r#"{"eventId":1,"subscriptionType":"deal.propertyChange","portalId":7,"subscriptionId":8,"occurredAt":9,"objectId":"$"}"#,
        "[@]",
    ),
    provider(
        "line",
        "line.message",
        r#"{"type":"message","webhookEventId":"$"}"#,
        r#"{"destination":"U1", "events": [@]}"#,
    ),
    provider(
        "xero",
        "xero.invoice.update",
        r#"{"resourceId":"$","eventDateUtc":"2026-11-18T11:06:40.1","eventCategory":"INVOICE","eventType":"UPDATE","tenantId":"t"}"#,
        r#"{"events":[@],"firstEventSequence":1}"#,
    ),
    provider(
        "gocardless",
        "gocardless.payments.confirmed",
        r#"{"id":"$","resource_type":"payments","action":"confirmed"}"#,
        r#"{"events": [@]}"#,
    ),
    provider(
        "fastspring",
        "fastspring.order.completed",
        r#"{"id":"$","type":"order.completed","processed":false}"#,
        r#"{"events":[@]}"#,
    ),
    provider(
        "meta",
        "meta.page.message",
        r#"{"sender":{"id":"s"},"timestamp":1795000000,"message":{"mid":"$"}}"#,
        r#"{"object":"page","entry":[{"id":"1","time":2,"messaging":[@]}]}"#,
    ),
    provider(
        "whatsapp",
        "whatsapp.whatsapp_business_account.messages",
        r#"{"field":"messages","value":{"statuses":[{"id":"$","status":"read","timestamp":"1795000000"}]}}"#,
        r#"{"object":"whatsapp_business_account","entry":[{"id":"1","changes":[@]}]}"#,
    ),
    provider(
        "asana",
        "asana.task.changed",
        r#"{"resource":{"gid":"$","resource_type":"task"},"action":"changed","created_at":"2026-11-18T11:06:40.1Z"}"#,
        r#"{"events":[@]}"#,
    ),
    provider(
        "okta",
        "okta.user.session.start",
        r#"{"uuid":"$","eventType":"user.session.start"}"#,
        r#"{"eventId":"$","data":{"events":[@]}}"#,
    ),
    provider(
        "klaviyo",
        "klaviyo.event_klaviyo.sent_sms",
        r#"{"topic":"event:klaviyo.sent_sms","external_id":"$"}"#,
        r#"{"data":[@]}"#,
    ),
    provider(
        "azure_event_grid",
        "azure_event_grid.microsoft.storage.blobcreated",
        r#"{"id":"$","eventType":"Microsoft.Storage.BlobCreated","eventTime":"2026-11-18T11:06:40Z","topic":"/t"}"#,
        "[@]",
    ),
    provider(
        "pusher",
        "pusher.channel_occupied",
        r#"{"name":"channel_occupied","channel":"$"}"#,
        r#"{"time_ms":#,"events":[@]}"#,
    ),
    provider(
        "statsig",
        "statsig.a",
        r#"{"eventName":"a","value":"$"}"#,
        r#"{"data":[@]}"#,
    ),
];

impl BatchProvider {
    /// One of them by its name.
    pub(crate) fn named(name: &str) -> Self {
        let mut all = PROVIDERS.iter();
        *all.find(|one| one.name == name).expect("it is one of them")
    }

    /// The settings of a source for it.
    pub(crate) fn settings(&self) -> SourceSettings {
        let key = (self.name == "pusher").then(|| ("key".to_owned(), "app-key".to_owned()));
        SourceSettings {
            provider: self.name.to_owned(),
            parameters: key.into_iter().collect(),
            registered_url: URL.to_owned(),
            ..SourceSettings::default()
        }
    }

    /// The secret of its sources.
    pub(crate) fn secret(&self) -> String {
        if self.name == "sendgrid" {
            let point = KEY.public_key().as_ref();
            return BASE64_STANDARD.encode([&SPKI, point].concat());
        }
        SECRET.to_owned()
    }

    /// A batch of items with these ids, signed now.
    pub(crate) fn batch(&self, ids: &[String]) -> Batch {
        let now_ms = super::time::from_now(0).seconds * 1_000;
        let items = ids.iter().map(|id| self.item.replace('$', id));
        let items = items.collect::<Vec<_>>();
        let own = ids.first().map(String::as_str).unwrap_or_default();
        let text = self.batch.replace('$', own);
        let text = text.replace('#', &now_ms.to_string());
        let text = text.replace('@', &items.join(", "));
        let (body, content_type) = if self.name == "mandrill" {
            let form = format!("mandrill_events={}", percent_encoded(&text));
            (form, "application/x-www-form-urlencoded")
        } else {
            (text.clone(), "application/json")
        };
        let mut headers = self.proof(&text, now_ms);
        headers.push(("content-type", content_type.to_owned()));
        let query = if self.name == "azure_event_grid" {
            format!("?code={SECRET}")
        } else {
            String::new()
        };
        let headers = headers.into_iter();
        Batch {
            headers: headers
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
            query,
            body,
            items,
        }
    }

    /// The headers that show who posts this text.
    fn proof(&self, text: &str, now_ms: i64) -> Vec<(&'static str, String)> {
        let now = now_ms / 1_000;
        match self.name {
            "sendgrid" => {
                let signed = format!("{now}{text}");
                let signature = KEY.sign(&SystemRandom::new(), signed.as_bytes());
                let signature = signature.expect("it signs");
                vec![
                    ("x-twilio-email-event-webhook-timestamp", now.to_string()),
                    (
                        "x-twilio-email-event-webhook-signature",
                        base64(signature.as_ref()),
                    ),
                ]
            }
            "mandrill" => {
                let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, SECRET.as_bytes());
                let tag = hmac::sign(&key, format!("{URL}mandrill_events{text}").as_bytes());
                vec![("x-mandrill-signature", base64(tag.as_ref()))]
            }
            "hubspot" => vec![
                ("x-hubspot-request-timestamp", now_ms.to_string()),
                (
                    "x-hubspot-signature-v3",
                    base64(&mac(&format!("POST{URL}{text}{now_ms}"))),
                ),
            ],
            "line" => vec![("x-line-signature", base64(&mac(text)))],
            "xero" => vec![("x-xero-signature", base64(&mac(text)))],
            "gocardless" => vec![("webhook-signature", hex(&mac(text)))],
            "fastspring" => vec![("x-fs-signature", base64(&mac(text)))],
            "meta" | "whatsapp" => {
                let signature = format!("sha256={}", hex(&mac(text)));
                vec![("x-hub-signature-256", signature)]
            }
            "asana" => vec![("x-hook-signature", hex(&mac(text)))],
            "okta" => vec![("authorization", SECRET.to_owned())],
            "klaviyo" => {
                let date = http_date(now);
                let signature = hex(&mac(&format!("{text}{date}")));
                vec![
                    ("klaviyo-webhook-id", "1".to_owned()),
                    ("klaviyo-timestamp", date),
                    ("klaviyo-signature", signature),
                ]
            }
            "azure_event_grid" => vec![("aeg-event-type", "Notification".to_owned())],
            "pusher" => vec![
                ("x-pusher-key", "app-key".to_owned()),
                ("x-pusher-signature", hex(&mac(text))),
            ],
            "statsig" => vec![
                ("x-statsig-request-timestamp", now_ms.to_string()),
                (
                    "x-statsig-signature",
                    format!("v0={}", hex(&mac(&format!("v0:{now_ms}:{text}")))),
                ),
            ],
            other => panic!("{other} has no rule here"),
        }
    }
}

fn mac(text: &str) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
}

fn base64(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}

fn percent_encoded(text: &str) -> String {
    let digit = |value: u8| char::from_digit(value.into(), 16).unwrap_or_default();
    let escapes = text
        .bytes()
        .flat_map(|byte| ['%', digit(byte >> 4), digit(byte & 0xf)]);
    escapes.collect()
}

/// An instant as HTTP writes it.
fn http_date(seconds: i64) -> String {
    let at = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds.unsigned_abs());
    httpdate::fmt_http_date(at)
}
