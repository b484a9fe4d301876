//! From a lease to the request that goes out: exactly what the control plane leased, with its length.
//!
//! Header values are moved, not copied: this is on the path of every attempt.

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request,
    header::{self, InvalidHeaderName},
};
use http_body_util::Full;
use posthorn::node::v1::Lease;
use posthorn_outbound::Failure;
use tracing::error;

use super::connection::Outgoing;

/// The request without its target, which depends on the connection. Takes the lease's headers and body.
pub(crate) fn request(lease: &mut Lease) -> Result<Outgoing, Failure> {
    let body = std::mem::take(&mut lease.body);
    let length = HeaderValue::from(body.len());
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = Method::POST;
    *request.headers_mut() = headers(lease).map_err(|error| {
        error!(lease_id = lease.lease_id, %error, "the control plane leased a header that cannot be sent");
        Failure::ProtocolError
    })?;
    request.headers_mut().insert(header::CONTENT_LENGTH, length);
    Ok(request)
}

fn headers(lease: &mut Lease) -> Result<HeaderMap, http::Error> {
    let leased = std::mem::take(&mut lease.headers);
    // Besides the leased ones there are `host` and `content-length`.
    let mut headers = HeaderMap::with_capacity(leased.len() + 2);
    for header in leased {
        headers.append(
            name(&header.name)?,
            HeaderValue::from_maybe_shared(header.value)?,
        );
    }
    Ok(headers)
}

/// The name of a header. Those that every request has are neither read nor copied.
fn name(text: &str) -> Result<HeaderName, InvalidHeaderName> {
    static OF_EVERY_REQUEST: [HeaderName; 6] = [
        HeaderName::from_static("webhook-id"),
        HeaderName::from_static("webhook-timestamp"),
        HeaderName::from_static("webhook-signature"),
        HeaderName::from_static("webhook-attempt"),
        HeaderName::from_static("webhook-event-type"),
        HeaderName::from_static("cdn-loop"),
    ];
    let mut known = OF_EVERY_REQUEST.iter();
    match known.find(|name| *name == text) {
        Some(name) => Ok(name.clone()),
        None => text.parse(),
    }
}
