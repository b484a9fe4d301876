//! A lease as a node gets it: the whole HTTP request, signed now.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use posthorn::node::v1;
use secrecy::ExposeSecret as _;

use crate::{
    cdn_loop::{CDN_LOOP, LoopMark},
    dispatch::schedule::Grant,
    model::{
        endpoint::{Endpoint, Posting, TIMEOUT_MAX},
        event::Event,
    },
    sign,
};

/// How long connecting may take, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a lease may wait at its node before the attempt begins, beyond what the attempt may take.
const HOLD_SLACK: Duration = Duration::from_secs(10);
/// What receivers see as the sender.
const USER_AGENT: &str = concat!("Posthorn/", env!("CARGO_PKG_VERSION"));

/// How long the report of an attempt that ended in time may take to arrive.
const REPORT_SLACK: Duration = Duration::from_secs(20);
/// The longest time that any lease can be held, with room for its report to arrive.
pub(in crate::dispatch) const HOLD_MAX: Duration = TIMEOUT_MAX
    .saturating_add(HOLD_SLACK)
    .saturating_add(REPORT_SLACK);

/// Writes the request of a lease, with the proof that it was granted.
pub(super) fn lease(
    (endpoint, posting): (&Endpoint, &Posting),
    event: &Arc<Event>,
    grant: &Grant,
    proof: Bytes,
    (mark, now_ms): (&LoopMark, i64),
) -> v1::Lease {
    let timeout_ms = endpoint.settings.timeout_ms;
    v1::Lease {
        lease_id: grant.key.lease_id,
        delivery_id: grant.key.delivery_id.to_string(),
        endpoint_id: grant.endpoint_id.to_string(),
        endpoint_version: u64::try_from(endpoint.version).unwrap_or(0),
        attempt: grant.key.attempt,
        url: posting.url.clone(),
        headers: headers(
            (endpoint, posting),
            event,
            grant.key.attempt,
            (mark, now_ms),
        ),
        body: event.payload.clone(),
        connect_timeout_ms: timeout_ms.min(millis(CONNECT_TIMEOUT)),
        timeout_ms,
        hold_ms: timeout_ms + millis(HOLD_SLACK),
        proof,
        secret_headers: secret_headers(endpoint, posting),
    }
}

/// The headers that an answer must not show: secret ones of the endpoint, and its second signature.
fn secret_headers(endpoint: &Endpoint, posting: &Posting) -> Vec<String> {
    let secret = posting.secret_headers.iter().map(|(name, _)| name.clone());
    let signature = endpoint.settings.body_signature_header.clone();
    secret.chain(signature).collect()
}

fn headers(
    (endpoint, posting): (&Endpoint, &Posting),
    event: &Event,
    attempt: u32,
    (mark, now_ms): (&LoopMark, i64),
) -> Vec<v1::Header> {
    let settings = &endpoint.settings;
    let id = event.id.to_string();
    // The time of the attempt, not of the event: receivers refuse what is older than some minutes.
    let timestamp_s = now_ms.div_euclid(1_000);
    let keys = posting.signing_keys(now_ms);
    let signature = sign::webhook_signature(keys, &id, timestamp_s, &event.payload);
    let mut headers = Vec::with_capacity(12 + settings.headers.len());
    headers.push(header("content-type", event.content_type.clone()));
    headers.push(header("user-agent", USER_AGENT));
    let is_forwarded = |name: &str| event.headers.iter().any(|(known, _)| known == name);
    if !is_forwarded("accept") && !is_set_by(endpoint, posting, "accept") {
        // Common firewalls refuse requests without one.
        headers.push(header("accept", "*/*"));
    }
    headers.push(header("webhook-id", id));
    headers.push(header("webhook-timestamp", timestamp_s.to_string()));
    headers.push(header("webhook-signature", signature));
    headers.push(header("webhook-attempt", attempt.to_string()));
    headers.push(header("webhook-event-type", event.event_type.to_string()));
    let carried = event.headers.iter().find(|(name, _)| name == CDN_LOOP);
    let carried = carried.map(|(_, value)| value.as_str());
    headers.push(header(CDN_LOOP, mark.next(carried)));
    if let Some(traceparent) = &event.traceparent {
        headers.push(header("traceparent", traceparent.clone()));
    }
    // What the owner of the endpoint set stands above what a provider sent.
    for (name, value) in &event.headers {
        if name != CDN_LOOP && !is_set_by(endpoint, posting, name) {
            headers.push(header(name, value.clone()));
        }
    }
    if let Some(name) = &settings.body_signature_header {
        headers.push(header(
            name,
            sign::body_signature(&posting.signing_key, &event.payload),
        ));
    }
    for custom in &settings.headers {
        if let Some(value) = &custom.value {
            headers.push(header(&custom.name, value.clone()));
        }
    }
    for (name, value) in &posting.secret_headers {
        headers.push(header(name, value.expose_secret().to_owned()));
    }
    headers
}

/// Whether the endpoint has a header of its own by this name.
fn is_set_by(endpoint: &Endpoint, posting: &Posting, name: &str) -> bool {
    let settings = &endpoint.settings;
    settings.body_signature_header.as_deref() == Some(name)
        || settings.headers.iter().any(|custom| custom.name == name)
        || posting
            .secret_headers
            .iter()
            .any(|(known, _)| known == name)
}

fn header(name: &str, value: impl Into<Bytes>) -> v1::Header {
    v1::Header {
        name: name.to_owned(),
        value: value.into(),
    }
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}
