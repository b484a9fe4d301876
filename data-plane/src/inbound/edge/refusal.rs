//! What the edge refuses by itself, and with which answer.
//!
//! The same reason has the same bytes for everybody: a refusal says which limit was met, and nothing about sources.

use http::StatusCode;

/// Why the edge refused a request, or could not get it answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Not HTTP as it is written.
    Malformed,
    /// A line that ends in LF alone.
    LineEnd,
    /// A body whose length is said twice, or not as it must be.
    Framing,
    /// A transfer coding besides chunked.
    TransferCoding,
    /// No `host`, several, or one that is none.
    Host,
    /// A host that is not served here.
    OtherHost,
    /// A target with another authority than `host`.
    Authority,
    /// A path that no source has.
    Path,
    /// A method that no source takes.
    Method,
    /// A body where the method has none.
    BodyUnexpected,
    /// An `expect` besides `100-continue`.
    Expectation,
    /// A content coding that is not taken.
    Coding,
    /// The target is too long.
    TargetLong,
    /// The head is too long.
    HeadLong,
    /// The body is too long for the source.
    BodyLong,
    /// The body came too slowly.
    BodySlow,
    /// As many requests as may be are in flight.
    RequestsFull,
    /// As many bytes as may be are in memory.
    BytesFull,
    /// The source has its share of the requests in flight.
    SourceFull,
    /// There is no control plane to forward to.
    Away,
    /// The control plane was lost while the request waited.
    Lost,
    /// No answer in time.
    Late,
}

/// Every reason, in the order of the enum.
pub(crate) const REFUSALS: [Refusal; 22] = [
    Refusal::Malformed,
    Refusal::LineEnd,
    Refusal::Framing,
    Refusal::TransferCoding,
    Refusal::Host,
    Refusal::OtherHost,
    Refusal::Authority,
    Refusal::Path,
    Refusal::Method,
    Refusal::BodyUnexpected,
    Refusal::Expectation,
    Refusal::Coding,
    Refusal::TargetLong,
    Refusal::HeadLong,
    Refusal::BodyLong,
    Refusal::BodySlow,
    Refusal::RequestsFull,
    Refusal::BytesFull,
    Refusal::SourceFull,
    Refusal::Away,
    Refusal::Lost,
    Refusal::Late,
];

/// The type of the body.
pub(crate) const CONTENT_TYPE: &str = "application/json";
/// The method that every source takes, for the `allow` header. Others are forwarded because some schemes begin with them.
pub(crate) const ALLOW: &str = "POST";

impl Refusal {
    /// The status.
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::Malformed
            | Self::LineEnd
            | Self::Framing
            | Self::Host
            | Self::Authority
            | Self::BodyUnexpected => StatusCode::BAD_REQUEST,
            Self::TransferCoding => StatusCode::NOT_IMPLEMENTED,
            Self::OtherHost => StatusCode::MISDIRECTED_REQUEST,
            Self::Path => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Expectation => StatusCode::EXPECTATION_FAILED,
            Self::Coding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TargetLong => StatusCode::URI_TOO_LONG,
            Self::HeadLong => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::BodyLong => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodySlow => StatusCode::REQUEST_TIMEOUT,
            Self::SourceFull => StatusCode::TOO_MANY_REQUESTS,
            Self::RequestsFull | Self::BytesFull | Self::Away | Self::Lost | Self::Late => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        }
    }

    /// The body, JSON. What the control plane refuses looks the same.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Malformed => r#"{"error":"malformed"}"#,
            Self::LineEnd => r#"{"error":"line_end"}"#,
            Self::Framing => r#"{"error":"framing"}"#,
            Self::TransferCoding => r#"{"error":"transfer_coding"}"#,
            Self::Host => r#"{"error":"host"}"#,
            Self::OtherHost => r#"{"error":"other_host"}"#,
            Self::Authority => r#"{"error":"authority"}"#,
            Self::Path => r#"{"error":"path"}"#,
            Self::Method => r#"{"error":"method"}"#,
            Self::BodyUnexpected => r#"{"error":"body_unexpected"}"#,
            Self::Expectation => r#"{"error":"expect"}"#,
            Self::Coding => r#"{"error":"content_encoding"}"#,
            Self::TargetLong => r#"{"error":"target_too_long"}"#,
            Self::HeadLong => r#"{"error":"head_too_long"}"#,
            Self::BodyLong => r#"{"error":"body_too_long"}"#,
            Self::BodySlow => r#"{"error":"body_too_slow"}"#,
            Self::RequestsFull => r#"{"error":"requests_full"}"#,
            Self::BytesFull => r#"{"error":"bytes_full"}"#,
            Self::SourceFull => r#"{"error":"source_full"}"#,
            Self::Away | Self::Lost | Self::Late => r#"{"error":"unavailable"}"#,
        }
    }

    /// What the metrics call it.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::LineEnd => "line_end",
            Self::Framing => "framing",
            Self::TransferCoding => "transfer_coding",
            Self::Host => "host",
            Self::OtherHost => "other_host",
            Self::Authority => "authority",
            Self::Path => "path",
            Self::Method => "method",
            Self::BodyUnexpected => "body_unexpected",
            Self::Expectation => "expect",
            Self::Coding => "content_encoding",
            Self::TargetLong => "target_too_long",
            Self::HeadLong => "head_too_long",
            Self::BodyLong => "body_too_long",
            Self::BodySlow => "body_too_slow",
            Self::RequestsFull => "requests_full",
            Self::BytesFull => "bytes_full",
            Self::SourceFull => "source_full",
            Self::Away => "away",
            Self::Lost => "lost",
            Self::Late => "late",
        }
    }

    /// The seconds of `retry-after`, where the same request may succeed later.
    pub(crate) fn retry_after(self) -> Option<&'static str> {
        let status = self.status();
        let later = [
            StatusCode::SERVICE_UNAVAILABLE,
            StatusCode::TOO_MANY_REQUESTS,
        ];
        later.contains(&status).then_some("5")
    }

    /// Whether what follows on the connection cannot be trusted to be another request.
    pub(crate) fn closes(self) -> bool {
        self.status() == StatusCode::BAD_REQUEST
            || matches!(
                self,
                Self::TransferCoding
                    | Self::TargetLong
                    | Self::HeadLong
                    | Self::BodyLong
                    | Self::BodySlow
            )
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_list_has_every_reason_in_order_and_each_has_its_own_label() {
        for (place, refusal) in REFUSALS.into_iter().enumerate() {
            assert_eq!(refusal as usize, place, "{refusal:?}");
        }
        let labels: HashSet<_> = REFUSALS.into_iter().map(Refusal::label).collect();
        assert_eq!(labels.len(), REFUSALS.len());
    }

    #[test]
    fn a_body_names_the_reason_but_not_what_became_of_the_control_plane() {
        for refusal in REFUSALS {
            let word = match refusal {
                Refusal::Away | Refusal::Lost | Refusal::Late => "unavailable",
                _ => refusal.label(),
            };
            assert_eq!(refusal.text(), format!("{{\"error\":\"{word}\"}}"));
        }
    }

    #[test]
    fn only_what_may_succeed_later_has_a_retry_after() {
        for refusal in REFUSALS {
            let later = matches!(refusal.status().as_u16(), 429 | 503);
            assert_eq!(refusal.retry_after().is_some(), later, "{refusal:?}");
        }
    }
}
