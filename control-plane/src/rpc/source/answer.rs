//! Answers to providers, read and written: fixed ones, and the bounds of those that a consumer computes.

use std::ops::RangeInclusive;

use posthorn::v1;

use crate::{
    error::Error,
    model::source::{Answer, Synchronous},
    rpc::convert::{Violations, duration_proto, duration_within, field_name, is_header_value},
};

const HEADERS_MAX: usize = 16;
const VALUE_CHARS_MAX: usize = 1_024;
/// What a fixed answer can be.
const FIXED: Bounds = Bounds {
    status: 200..=299,
    status_rule: "must be from 200 to 299",
    body_bytes_max: 4 * 1_024,
    body_rule: "must be at most 4096 bytes",
};
/// What an answer can be that a consumer computes.
const COMPUTED: Bounds = Bounds {
    status: 200..=599,
    status_rule: "must be from 200 to 599",
    body_bytes_max: 64 * 1_024,
    body_rule: "must be at most 64 KiB",
};
/// Answers that HTTP gives no body.
const BODILESS: [u16; 3] = [204, 205, 304];
const DEADLINE_MIN_MS: u32 = 100;
const DEADLINE_MAX_MS: u32 = 10_000;
/// What HTTP itself sets in an answer, or what would change how it is read.
const RESERVED: &[&str] = &[
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "date",
    "host",
    "keep-alive",
    "server",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
    "alt-svc",
];

/// The limits of a kind of answer, and what is said to who exceeds them.
struct Bounds {
    status: RangeInclusive<u16>,
    status_rule: &'static str,
    body_bytes_max: usize,
    body_rule: &'static str,
}

/// Reads a fixed answer. None: there is none.
pub(super) fn read(
    field: &str,
    answer: Option<&v1::SourceAnswer>,
) -> Result<Option<Answer>, Error> {
    answer
        .map(|answer| bounded(field, answer, &FIXED))
        .transpose()
}

/// Reads the answer that a consumer computed.
pub(in crate::rpc) fn computed(field: &str, answer: &v1::SourceAnswer) -> Result<Answer, Error> {
    bounded(field, answer, &COMPUTED)
}

fn bounded(field: &str, answer: &v1::SourceAnswer, bounds: &Bounds) -> Result<Answer, Error> {
    let mut violations = Violations::default();
    let status = violations.take(status(field, answer.status, bounds))?;
    let headers = violations.take(headers(&format!("{field}.headers"), &answer.headers))?;
    let may_have_body = status.is_none_or(|status| !BODILESS.contains(&status));
    if answer.body.len() > bounds.body_bytes_max {
        violations.add(format!("{field}.body"), bounds.body_rule);
    } else if !answer.body.is_empty() && !may_have_body {
        let rule = "must be empty with the status 204, 205 or 304";
        violations.add(format!("{field}.body"), rule);
    }
    violations.finish()?;
    Ok(Answer {
        status: status.unwrap_or_default(),
        headers: headers.unwrap_or_default(),
        body: answer.body.to_vec(),
    })
}

/// Reads what bounds an answer that a consumer computes.
pub(super) fn synchronous(
    settings: Option<&v1::SynchronousAnswer>,
) -> Result<Option<Synchronous>, Error> {
    let Some(settings) = settings else {
        return Ok(None);
    };
    let field = "settings.synchronous.deadline";
    let rule = "must be from 0.1 s to 10 s";
    let deadline = settings.deadline.as_ref();
    let deadline_ms = match deadline {
        None => Err(Error::invalid(field, rule)),
        Some(deadline) => duration_within(field, deadline, DEADLINE_MIN_MS..=DEADLINE_MAX_MS, rule),
    };
    let mut violations = Violations::default();
    let deadline_ms = violations.take(deadline_ms)?;
    let fallback = read("settings.synchronous.fallback", settings.fallback.as_ref());
    let fallback = violations.take(fallback)?;
    violations.finish()?;
    Ok(Some(Synchronous {
        deadline_ms: deadline_ms.unwrap_or_default(),
        fallback: fallback.flatten(),
    }))
}

/// The contract's form of an answer.
pub(super) fn proto(answer: &Answer) -> v1::SourceAnswer {
    let headers = answer.headers.iter();
    v1::SourceAnswer {
        status: answer.status.into(),
        headers: headers
            .map(|(name, value)| header_proto(name, value))
            .collect(),
        body: answer.body.clone().into(),
    }
}

/// The contract's form of a header.
pub(super) fn header_proto(name: &str, value: &str) -> v1::Header {
    v1::Header {
        name: name.to_owned(),
        value: value.to_owned(),
    }
}

/// The contract's form of what bounds a computed answer.
pub(super) fn synchronous_proto(settings: &Synchronous) -> v1::SynchronousAnswer {
    v1::SynchronousAnswer {
        deadline: Some(duration_proto(settings.deadline_ms.into())),
        fallback: settings.fallback.as_ref().map(proto),
    }
}

fn status(field: &str, status: u32, bounds: &Bounds) -> Result<u16, Error> {
    let status = u16::try_from(status).ok();
    let status = status.filter(|status| bounds.status.contains(status));
    status.ok_or_else(|| Error::invalid(format!("{field}.status"), bounds.status_rule))
}

fn headers(field: &str, new: &[v1::Header]) -> Result<Vec<(String, String)>, Error> {
    if new.len() > HEADERS_MAX {
        return Err(Error::invalid(field, "must be at most 16 headers"));
    }
    let mut violations = Violations::default();
    let mut headers = Vec::<(String, String)>::new();
    for (index, header) in new.iter().enumerate() {
        let path = format!("{field}[{index}].name");
        let name = violations.take(field_name(&path, &header.name))?;
        let name = name.unwrap_or_default();
        if RESERVED.contains(&name.as_str()) {
            violations.add(path, "must not be a header that HTTP itself sets");
        } else if !name.is_empty() && headers.iter().any(|(other, _)| *other == name) {
            violations.add(path, "must not be there twice");
        }
        if !is_header_value(&header.value, VALUE_CHARS_MAX) {
            violations.add(
                format!("{field}[{index}].value"),
                "must be at most 1024 characters of visible ASCII, blanks and tabs",
            );
        }
        headers.push((name, header.value.clone()));
    }
    violations.finish()?;
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u32, body: &str, headers: &[(&str, &str)]) -> v1::SourceAnswer {
        let headers = headers
            .iter()
            .map(|(name, value)| header_proto(name, value));
        v1::SourceAnswer {
            status,
            headers: headers.collect(),
            body: body.as_bytes().to_vec().into(),
        }
    }

    #[test]
    fn an_answer_survives_the_way_there_and_back() {
        for answer in [
            answer(204, "", &[]),
            answer(
                200,
                &"x".repeat(4_096),
                &[("x-a", "1"), ("content-type", "text/plain")],
            ),
        ] {
            let read = read("answer", Some(&answer)).unwrap();
            assert_eq!(read.as_ref().map(proto), Some(answer));
        }
        assert_eq!(read("answer", None).unwrap(), None);
    }

    #[test]
    fn each_part_out_of_its_limits_is_named() {
        let long = "x".repeat(1_025);
        let many = [("x", ""); 17];
        for (answer, field) in [
            (answer(0, "", &[]), "answer.status"),
            (answer(199, "", &[]), "answer.status"),
            (answer(301, "", &[]), "answer.status"),
            (answer(65_736, "", &[]), "answer.status"),
            (answer(204, "x", &[]), "answer.body"),
            (answer(200, &"x".repeat(4_097), &[]), "answer.body"),
            (answer(200, "", &[("a b", "")]), "answer.headers[0].name"),
            (
                answer(200, "", &[("Content-Length", "1")]),
                "answer.headers[0].name",
            ),
            (
                answer(200, "", &[("a", ""), ("A", "")]),
                "answer.headers[1].name",
            ),
            (
                answer(200, "", &[("a", "b\r\nc: d")]),
                "answer.headers[0].value",
            ),
            (answer(200, "", &[("a", &long)]), "answer.headers[0].value"),
            (answer(200, "", &many), "answer.headers"),
        ] {
            match read("answer", Some(&answer)) {
                Err(Error::Invalid(violations)) => assert_eq!(violations[0].field, field),
                other => panic!("{field}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_computed_answer_may_refuse_and_say_more() {
        for (answer, is_good) in [
            (answer(200, &"x".repeat(64 * 1_024), &[]), true),
            (answer(422, "no", &[]), true),
            (answer(599, "", &[]), true),
            (answer(600, "", &[]), false),
            (answer(102, "", &[]), false),
            (answer(200, &"x".repeat(64 * 1_024 + 1), &[]), false),
        ] {
            assert_eq!(computed("answer", &answer).is_ok(), is_good);
        }
    }

    #[test]
    fn a_provider_waits_from_a_tenth_of_a_second_to_ten() {
        let read = |ms| {
            synchronous(Some(&v1::SynchronousAnswer {
                deadline: Some(duration_proto(ms)),
                fallback: None,
            }))
        };
        for (ms, is_good) in [(99, false), (100, true), (10_000, true), (10_001, false)] {
            assert_eq!(read(ms).is_ok(), is_good, "{ms}");
        }
        assert!(synchronous(Some(&v1::SynchronousAnswer::default())).is_err());
    }
}
