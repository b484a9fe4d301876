//! What every plain call of the contract passes through: a deadline, and answers that blame the right side.
//!
//! * The deadline is the caller's `grpc-timeout`, at most 60 s, or 10 s when it gave none. A call that misses it is
//!   answered `DEADLINE_EXCEEDED`. A change that it began goes on to its end all the same (see `calls`).
//! * A body that is no message of the call is the caller's fault. tonic answers INTERNAL, which is ours alone to say.
//!
//! Streams pass through untouched; they use [`decode_status`] themselves.

use std::{
    future::ready,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use http::{HeaderMap, Request, Response};
use tokio::time::Sleep;
use tonic::{Code, Status, body::Body};
use tower::{Layer, Service};

use super::access::is_unary;
use crate::error::{Error, INTERNAL_MESSAGE};

/// How long a call may take whose caller gave no timeout.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
/// The shortest timeout that leaves a call any time: timers here count in milliseconds.
const TIMEOUT_MIN: Duration = Duration::from_millis(1);
/// How long a call may take whatever its caller says.
const TIMEOUT_MAX: Duration = Duration::from_mins(1);
const GRPC_TIMEOUT: &str = "grpc-timeout";

/// Gives plain calls a deadline and mends their errors.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct UnaryLayer;

/// The service that [`UnaryLayer`] makes.
#[derive(Debug, Clone)]
pub(crate) struct Unary<S> {
    inner: S,
}

impl<S> Layer<S> for UnaryLayer {
    type Service = Unary<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Unary { inner }
    }
}

impl<S> Service<Request<Body>> for Unary<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let path = request.uri().path();
        if !is_unary(path) {
            return Box::pin(self.inner.call(request));
        }
        // Made here and not in the future: tonic's own timer, which answers CANCELLED, must never be the earlier one.
        let timeout = timeout(request.headers());
        if timeout < TIMEOUT_MIN {
            return Box::pin(ready(Ok(too_late())));
        }
        let deadline = tokio::time::sleep(timeout);
        Box::pin(answer(self.inner.call(request), deadline))
    }
}

/// Puts a status that tonic made of undecodable bytes right; leaves every other as it is.
pub(crate) fn decode_status(status: Status) -> Status {
    if status.code() != Code::Internal || status.message().starts_with(INTERNAL_MESSAGE) {
        return status;
    }
    Error::invalid("", "the request is no message of this call, or is cut off").into()
}

async fn answer<E>(
    call: impl Future<Output = Result<Response<Body>, E>>,
    deadline: Sleep,
) -> Result<Response<Body>, E> {
    tokio::select! {
        biased;
        response = call => response.map(mended),
        () = deadline => Ok(too_late()),
    }
}

fn too_late() -> Response<Body> {
    let message = "the call took longer than its timeout; what it did is unknown";
    Status::deadline_exceeded(message).into_http()
}

/// An error without a body carries its status in the headers; only those come from a request that was not decoded.
fn mended(response: Response<Body>) -> Response<Body> {
    match Status::from_header_map(response.headers()) {
        Some(status) if status.code() == Code::Internal => decode_status(status).into_http(),
        _ => response,
    }
}

/// How long the call may take. A timeout that is malformed is none.
fn timeout(headers: &HeaderMap) -> Duration {
    let asked = headers
        .get(GRPC_TIMEOUT)
        .and_then(|value| value.to_str().ok());
    asked
        .and_then(parse_timeout)
        .map_or(TIMEOUT_DEFAULT, |asked| asked.min(TIMEOUT_MAX))
}

/// Reads a `grpc-timeout`: 1 to 8 digits and a unit.
fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if !(1..=8).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count = digits.parse::<u64>().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(count * 3_600)),
        "M" => Some(Duration::from_secs(count * 60)),
        "S" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_millis(count)),
        "u" => Some(Duration::from_micros(count)),
        "n" => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use posthorn::v1::tenant_service_server::TenantServiceServer;

    use super::*;
    use crate::{registry::fixture, rpc::Tenants};

    fn timeout_of(text: &'static str) -> Duration {
        timeout(&HeaderMap::from_iter([(
            http::HeaderName::from_static(GRPC_TIMEOUT),
            HeaderValue::from_static(text),
        )]))
    }

    #[test]
    fn a_timeout_is_read_and_capped() {
        assert_eq!(timeout(&HeaderMap::new()), TIMEOUT_DEFAULT);
        for (text, expected) in [
            ("0n", Duration::ZERO),
            ("1n", Duration::from_nanos(1)),
            ("250m", Duration::from_millis(250)),
            ("7u", Duration::from_micros(7)),
            ("20S", Duration::from_secs(20)),
            ("1M", TIMEOUT_MAX),
            ("99999999H", TIMEOUT_MAX),
            ("", TIMEOUT_DEFAULT),
            ("S", TIMEOUT_DEFAULT),
            ("5", TIMEOUT_DEFAULT),
            ("-5S", TIMEOUT_DEFAULT),
            ("+5S", TIMEOUT_DEFAULT),
            ("123456789S", TIMEOUT_DEFAULT),
            ("soon", TIMEOUT_DEFAULT),
        ] {
            assert_eq!(timeout_of(text), expected, "{text:?}");
        }
    }

    #[test]
    fn only_our_own_internal_error_stays_one() {
        let ours = Status::internal(format!("{INTERNAL_MESSAGE} 0123456789abcdef"));
        assert_eq!(decode_status(ours).code(), Code::Internal);
        let theirs = Status::internal("failed to decode Protobuf message: invalid wire type");
        assert_eq!(decode_status(theirs).code(), Code::InvalidArgument);
        assert_eq!(decode_status(Status::not_found("x")).code(), Code::NotFound);
        let response = mended(Status::internal("Missing request message.").into_http());
        let status = Status::from_header_map(response.headers()).unwrap();
        assert_eq!(status.code(), Code::InvalidArgument);
    }

    /// The status of `GetTenant` with this request body.
    async fn code_of(body: &str) -> Code {
        let (store, _directory) = fixture::store().await;
        let core = fixture::core(&store, fixture::vault(1)).await;
        let service = TenantServiceServer::new(Tenants::new(core));
        let request = Request::post("/posthorn.v1.TenantService/GetTenant")
            .header("content-type", "application/grpc")
            .body(Body::new(body.to_owned()))
            .unwrap();
        let response = UnaryLayer.layer(service).call(request).await.unwrap();
        Status::from_header_map(response.headers()).unwrap().code()
    }

    #[tokio::test]
    async fn bytes_that_are_no_message_are_the_callers_fault() {
        for body in [
            "",
            "\0",
            "\0\0\0\0\u{3}\u{f}\u{f}\u{f}",
            "\0\0\0\0\u{9}\n",
            "\0\0\0\0\u{2}\n\u{9}",
            "\u{1}\0\0\0\0",
            "\u{7}\0\0\0\0",
        ] {
            assert_eq!(code_of(body).await, Code::InvalidArgument, "{body:?}");
        }
        assert_eq!(code_of("\0\0\0\0\0").await, Code::Unauthenticated);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_misses_its_deadline_is_told_so() {
        let call = std::future::pending::<Result<Response<Body>, ()>>();
        let response = answer(call, tokio::time::sleep(Duration::from_secs(1)))
            .await
            .unwrap();
        let status = Status::from_header_map(response.headers()).unwrap();
        assert_eq!(status.code(), Code::DeadlineExceeded);
    }
}
