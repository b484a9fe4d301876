//! What a node reports, read from its messages and held to their limits.

use std::fmt::Arguments;

use bytes::Bytes;
use posthorn::node::v1::{self, outcome::Result as NodeResult};

use super::proof::Claim;
use crate::{
    dispatch::report::{Attempted, Report},
    error::Error,
    model::{
        delivery::{AttemptResult, ErrorKind, HttpVersion, Trace},
        id::{DeliveryId, ParseIdError},
        lease::LeaseKey,
    },
};

/// How many outcomes one message may carry.
const OUTCOMES_MAX: usize = 1_024;
/// How much of an answer's body a report may carry, in bytes.
const EXCERPT_BYTES_MAX: usize = 4_096;
/// How long a `Retry-After` header may be, in characters.
const RETRY_AFTER_CHARS_MAX: usize = 64;
/// How long the URL of an attempt may be, in bytes: as long as that of an endpoint.
const URL_BYTES_MAX: usize = 2_048;

/// Checks the leases that a node says it works on. `path` names them in errors.
pub(super) fn parse_held(
    leases: Vec<v1::LeaseReference>,
    path: &str,
) -> Result<Vec<Claim<LeaseKey>>, Error> {
    let numbered = leases.into_iter().enumerate();
    let claims = numbered.map(|(index, lease)| {
        let id = parse_id(&lease.delivery_id, format_args!("{path}[{index}]"))?;
        let name = LeaseKey {
            lease_id: lease.lease_id,
            delivery_id: id,
            attempt: lease.attempt,
        };
        Ok(Claim {
            lease: name,
            proof: lease.proof,
            said: name,
        })
    });
    claims.collect()
}

/// Checks the reports of one message. `path` names it in errors.
pub(super) fn parse(outcomes: Vec<v1::Outcome>, path: &str) -> Result<Vec<Claim<Report>>, Error> {
    if outcomes.len() > OUTCOMES_MAX {
        return Err(Error::invalid(
            path,
            format!("must be at most {OUTCOMES_MAX}"),
        ));
    }
    let numbered = outcomes.into_iter().enumerate();
    numbered
        .map(|(index, outcome)| parse_one(outcome, format_args!("{path}[{index}]")))
        .collect()
}

fn parse_id(text: &str, path: Arguments<'_>) -> Result<DeliveryId, Error> {
    let parsed = text.parse();
    parsed.map_err(|error: ParseIdError| {
        Error::invalid(format!("{path}.delivery_id"), error.to_string())
    })
}

fn parse_one(outcome: v1::Outcome, path: Arguments<'_>) -> Result<Claim<Report>, Error> {
    let delivery_id = parse_id(&outcome.delivery_id, path)?;
    if outcome.attempt == 0 {
        return Err(Error::invalid(
            format!("{path}.attempt"),
            "must be at least 1",
        ));
    }
    let lease = LeaseKey {
        lease_id: outcome.lease_id,
        delivery_id,
        attempt: outcome.attempt,
    };
    let (result, excerpt) = match outcome.result {
        Some(NodeResult::NotStarted(_)) => {
            return Ok(Claim {
                lease,
                proof: outcome.proof,
                said: Report::NotStarted(lease),
            });
        }
        Some(NodeResult::Error(kind)) => (failed(kind), Bytes::new()),
        // A result that only newer nodes have.
        None => (AttemptResult::Failed(ErrorKind::Other), Bytes::new()),
        Some(NodeResult::Answer(answer)) => parse_answer(answer, path)?,
    };
    let trace = outcome.trace.map(|trace| parse_trace(*trace, path));
    Ok(Claim {
        lease,
        proof: outcome.proof,
        said: Report::Attempted(Attempted {
            lease,
            result,
            excerpt,
            trace: trace.transpose()?,
            duration_ms: outcome.duration_ms,
            age_ms: outcome.age_ms,
        }),
    })
}

/// An attempt without an answer. A kind of error that is not known here is one all the same: its node is newer.
fn failed(kind: i32) -> AttemptResult {
    AttemptResult::Failed(match v1::ErrorKind::try_from(kind) {
        Ok(v1::ErrorKind::DnsError) => ErrorKind::DnsError,
        Ok(v1::ErrorKind::ConnectionRefused) => ErrorKind::ConnectionRefused,
        Ok(v1::ErrorKind::ConnectionReset) => ErrorKind::ConnectionReset,
        Ok(v1::ErrorKind::ConnectionClosed) => ErrorKind::ConnectionClosed,
        Ok(v1::ErrorKind::TlsError) => ErrorKind::TlsError,
        Ok(v1::ErrorKind::Timeout) => ErrorKind::Timeout,
        Ok(v1::ErrorKind::ProtocolError) => ErrorKind::ProtocolError,
        Ok(v1::ErrorKind::ResponseTooLarge) => ErrorKind::ResponseTooLarge,
        Ok(v1::ErrorKind::TargetNotAllowed) => ErrorKind::TargetNotAllowed,
        Ok(v1::ErrorKind::DnsNoSuchName) => ErrorKind::DnsNoSuchName,
        Ok(v1::ErrorKind::DnsNoAnswer) => ErrorKind::DnsNoAnswer,
        Ok(v1::ErrorKind::HostUnreachable) => ErrorKind::HostUnreachable,
        Ok(v1::ErrorKind::ConnectTimeout) => ErrorKind::ConnectTimeout,
        Ok(v1::ErrorKind::LocalError) => ErrorKind::LocalError,
        Ok(v1::ErrorKind::TlsCertificateExpired) => ErrorKind::TlsCertificateExpired,
        Ok(v1::ErrorKind::TlsCertificateNotYetValid) => ErrorKind::TlsCertificateNotYetValid,
        Ok(v1::ErrorKind::TlsUnknownIssuer) => ErrorKind::TlsUnknownIssuer,
        Ok(v1::ErrorKind::TlsIncompleteChain) => ErrorKind::TlsIncompleteChain,
        Ok(v1::ErrorKind::TlsWrongName) => ErrorKind::TlsWrongName,
        Ok(v1::ErrorKind::TlsNoCommonProtocol) => ErrorKind::TlsNoCommonProtocol,
        Ok(v1::ErrorKind::TlsClientCertificateWanted) => ErrorKind::TlsClientCertificateWanted,
        Ok(v1::ErrorKind::TlsNotTls) => ErrorKind::TlsNotTls,
        Ok(v1::ErrorKind::TlsClosed) => ErrorKind::TlsClosed,
        Ok(v1::ErrorKind::TlsTimeout) => ErrorKind::TlsTimeout,
        Ok(v1::ErrorKind::AnswerTimeout) => ErrorKind::AnswerTimeout,
        Ok(v1::ErrorKind::AnswerNotHttp) => ErrorKind::AnswerNotHttp,
        Ok(v1::ErrorKind::AnswerMalformed) => ErrorKind::AnswerMalformed,
        Ok(v1::ErrorKind::UnexpectedStatus) => ErrorKind::UnexpectedStatus,
        Ok(v1::ErrorKind::Http2Error) => ErrorKind::Http2Error,
        Ok(v1::ErrorKind::Unspecified) | Err(_) => ErrorKind::Other,
    })
}

/// How an attempt went. What is not understood of it is left out: it is told to people and nothing follows from it.
fn parse_trace(trace: v1::Trace, path: Arguments<'_>) -> Result<Box<Trace>, Error> {
    if trace.url.len() > URL_BYTES_MAX {
        let limit = format!("must be at most {URL_BYTES_MAX} bytes");
        return Err(Error::invalid(format!("{path}.trace.url"), limit));
    }
    let version = i16::try_from(trace.http_version).ok();
    Ok(Box::new(Trace {
        http_version: version.and_then(HttpVersion::from_column),
        dns_us: trace.dns_us,
        connect_us: trace.connect_us,
        tls_us: trace.tls_us,
        answer_us: trace.answer_us,
        peer: trace.peer.parse().ok(),
        url: trace.url,
    }))
}

fn parse_answer(
    answer: v1::HttpAnswer,
    path: Arguments<'_>,
) -> Result<(AttemptResult, Bytes), Error> {
    let code = u16::try_from(answer.status_code)
        .ok()
        .filter(|code| (100..=599).contains(code));
    let code = code.ok_or_else(|| {
        Error::invalid(
            format!("{path}.answer.status_code"),
            "must be from 100 to 599",
        )
    })?;
    if answer.excerpt.len() > EXCERPT_BYTES_MAX {
        let limit = format!("must be at most {EXCERPT_BYTES_MAX} bytes");
        return Err(Error::invalid(format!("{path}.answer.excerpt"), limit));
    }
    if answer.retry_after.len() > RETRY_AFTER_CHARS_MAX {
        let limit = format!("must be at most {RETRY_AFTER_CHARS_MAX} characters");
        return Err(Error::invalid(format!("{path}.answer.retry_after"), limit));
    }
    let result = AttemptResult::Answered {
        status_code: code,
        retry_after: answer.retry_after,
    };
    Ok((result, answer.excerpt))
}
