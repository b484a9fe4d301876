//! Sources and requests for the tests of this module.

use std::io::Write as _;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use hmac::{Hmac, KeyInit as _, Mac as _};
use posthorn_verify::{Headers, Secret, Verifier};
use sha2::Sha256;

use super::Posted;
use crate::{
    cdn_loop::LoopMark,
    clock,
    entropy::Entropy,
    model::{
        id::{KeyId, SourceId},
        source::{LiveSource, Source, SourceSettings},
    },
};

/// When requests of these tests are received.
pub(super) const NOW_MS: i64 = 1_790_000_000_000;
/// The secret of [`standard`]: 32 times the byte 1.
pub(super) const SECRET: &str = "whsec_AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
/// The secret of [`github`].
pub(super) const GITHUB_SECRET: &str = "a secret of the test";

/// A source of a provider, its settings changed.
pub(super) fn live(
    provider: &str,
    secrets: &[&str],
    change: impl FnOnce(&mut SourceSettings),
) -> LiveSource {
    let mut settings = SourceSettings::of(Some(provider.to_owned()));
    change(&mut settings);
    let verifier = settings.verifier().unwrap();
    let secrets = secrets.iter().map(|text| Secret::new(*text).unwrap());
    LiveSource {
        url: "https://hooks.example.org/in/src_1".to_owned(),
        late_verifier: settings.late_verifier().unwrap(),
        kept_headers: verifier
            .as_ref()
            .map_or_else(Vec::new, Verifier::header_names),
        secret_headers: verifier
            .iter()
            .flat_map(|verifier| verifier.credential_headers())
            .map(str::to_owned)
            .collect(),
        verifier,
        secrets: secrets.map(|secret| (secret, None)).collect(),
        poll_secret: None,
        source: Source::new(
            SourceId::new(NOW_MS, &mut Entropy::system()),
            &crate::registry::fixture::tenant(7),
            settings,
            NOW_MS,
        ),
    }
}

/// A source that is signed for by Standard Webhooks.
pub(super) fn standard(change: impl FnOnce(&mut SourceSettings)) -> LiveSource {
    live("standard_webhooks", &[SECRET], change)
}

/// A source that is signed for as GitHub does.
pub(super) fn github() -> LiveSource {
    live("github", &[GITHUB_SECRET], |_| {})
}

/// A POST of a body with these headers.
pub(super) fn posted(headers: &[(&str, &[u8])], body: &[u8]) -> Posted {
    let headers = headers.iter().map(|(name, value)| (*name, value.to_vec()));
    Posted {
        method: "POST".to_owned(),
        path_query: "/in/src_1".to_owned(),
        headers: headers.collect::<Headers>(),
        body: Bytes::copy_from_slice(body),
        remote_address: "192.0.2.7".to_owned(),
        received_at: NOW_MS,
        complete_at: clock::monotonic(),
    }
}

/// A JSON body, signed by Standard Webhooks under this id, so many seconds after now.
pub(super) fn signed_at(id: &str, body: &[u8], seconds: i64) -> Posted {
    let timestamp = NOW_MS / 1_000 + seconds;
    let signature = signature(id, timestamp, body);
    posted(
        &[
            ("content-type", b"application/json"),
            ("webhook-id", id.as_bytes()),
            ("webhook-timestamp", timestamp.to_string().as_bytes()),
            ("webhook-signature", signature.as_bytes()),
        ],
        body,
    )
}

/// A JSON body, signed now.
pub(super) fn signed(body: &[u8]) -> Posted {
    signed_at("msg_1", body, 0)
}

/// The `v1` signature of any bytes; other people's code signs text only.
pub(super) fn signature(id: &str, timestamp: i64, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(&[1; 32]).unwrap();
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()))
}

/// HMAC-SHA-256 in hexadecimal digits.
pub(super) fn hmac_hex(key: &[u8], text: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text);
    hex::encode(mac.finalize().into_bytes())
}

/// Packed.
pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A body, signed as GitHub does.
pub(super) fn signed_by_github(body: &[u8]) -> Posted {
    let signature = format!("sha256={}", hmac_hex(GITHUB_SECRET.as_bytes(), body));
    posted(
        &[
            ("content-type", b"application/json"),
            ("x-github-event", b"push"),
            ("x-github-delivery", b"72d3162e-cc78-11e3-81ab-4c9367dc0958"),
            ("x-hub-signature-256", signature.as_bytes()),
        ],
        body,
    )
}

/// The same request with a header's values replaced by this one; None: without it.
pub(super) fn with(posted: &Posted, name: &str, value: Option<&[u8]>) -> Posted {
    let others = posted.headers.iter().filter(|(known, _)| *known != name);
    let others = others.map(|(name, value)| (name.to_owned(), value.to_vec()));
    let value = value.map(|value| (name.to_owned(), value.to_vec()));
    Posted {
        headers: others.chain(value).collect(),
        ..posted.clone()
    }
}

/// The same request with one more header.
pub(super) fn with_more(posted: &Posted, name: &str, value: &[u8]) -> Posted {
    let mut more = posted.clone();
    more.headers.push(name, value);
    more
}

/// An installation's mark.
pub(super) fn mark() -> LoopMark {
    LoopMark::of(KeyId::from_uuid(uuid::Uuid::nil()))
}
