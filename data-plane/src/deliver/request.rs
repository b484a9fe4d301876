//! From a lease to the request that goes out: exactly what the control plane leased, with its length.
//!
//! Header values are moved, not copied: this is on the path of every attempt.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header};
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
        let name = HeaderName::try_from(header.name)?;
        headers.append(name, HeaderValue::from_maybe_shared(header.value)?);
    }
    Ok(headers)
}
