//! Writes an answer as HTTP/1.1. Pure.

use std::{
    io::Write as _,
    time::{Duration, SystemTime},
};

use http::StatusCode;

use super::super::{
    gate::Answer,
    refusal::{ALLOW, CONTENT_TYPE, Refusal},
    request_id::REQUEST_ID,
};

/// Appends the answer. `is_head`: the request's method has no body in its answer. `unix_ms`: the date.
pub(super) fn write(answer: &Answer, is_head: bool, close: bool, unix_ms: u64, to: &mut Vec<u8>) {
    match answer {
        Answer::Gone => {}
        Answer::Refused(refusal, id) => {
            begin(refusal.status(), unix_ms, to);
            line(REQUEST_ID.as_str(), id.as_str().as_bytes(), to);
            refused(*refusal, to);
            end(refusal.text().as_bytes(), is_head, close, to);
        }
        Answer::Given(given) => {
            begin(given.status, unix_ms, to);
            for (name, value) in &given.fields {
                line(name.as_str(), value.as_bytes(), to);
            }
            match given.status {
                StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED => close_or_end(close, to),
                StatusCode::RESET_CONTENT => end(b"", is_head, close, to),
                _ => end(&given.body, is_head, close, to),
            }
        }
    }
}

fn begin(status: StatusCode, unix_ms: u64, to: &mut Vec<u8>) {
    let reason = status.canonical_reason().unwrap_or_default();
    let date = SystemTime::UNIX_EPOCH + Duration::from_millis(unix_ms);
    let date = httpdate::HttpDate::from(date);
    // Writing to memory does not fail.
    let _never = write!(
        to,
        "HTTP/1.1 {} {reason}\r\ndate: {date}\r\n",
        status.as_u16()
    );
}

fn refused(refusal: Refusal, to: &mut Vec<u8>) {
    line("content-type", CONTENT_TYPE.as_bytes(), to);
    if let Some(seconds) = refusal.retry_after() {
        line("retry-after", seconds.as_bytes(), to);
    }
    if refusal == Refusal::Method {
        line("allow", ALLOW.as_bytes(), to);
    }
}

fn end(body: &[u8], is_head: bool, close: bool, to: &mut Vec<u8>) {
    let _never = write!(to, "content-length: {}\r\n", body.len());
    close_or_end(close, to);
    if !is_head {
        to.extend_from_slice(body);
    }
}

fn close_or_end(close: bool, to: &mut Vec<u8>) {
    if close {
        line("connection", b"close", to);
    }
    to.extend_from_slice(b"\r\n");
}

fn line(name: &str, value: &[u8], to: &mut Vec<u8>) {
    to.extend_from_slice(name.as_bytes());
    to.extend_from_slice(b": ");
    to.extend_from_slice(value);
    to.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::{
        super::super::{gate::Given, request_id::RequestId},
        *,
    };

    /// 2026-11-22 12:00:00.
    const NOW_MS: u64 = 1_795_348_800_000;

    fn check(answer: &Answer, is_head: bool, close: bool, expected: &str) {
        let mut written = Vec::new();
        write(answer, is_head, close, NOW_MS, &mut written);
        assert_eq!(String::from_utf8_lossy(&written), expected);
    }

    fn given(status: u16, body: &'static str) -> Answer {
        Answer::Given(Given {
            status: StatusCode::from_u16(status).expect("a status"),
            fields: vec![(
                HeaderName::from_static("x-a"),
                HeaderValue::from_static("b"),
            )],
            body: body.into(),
        })
    }

    #[test]
    fn answers_have_their_length_and_say_whether_the_connection_closes() {
        let date = "date: Sun, 22 Nov 2026 12:00:00 GMT\r\n";
        check(
            &given(200, "ok"),
            false,
            false,
            &format!("HTTP/1.1 200 OK\r\n{date}x-a: b\r\ncontent-length: 2\r\n\r\nok"),
        );
        check(
            &given(200, "ok"),
            true,
            true,
            &format!(
                "HTTP/1.1 200 OK\r\n{date}x-a: b\r\ncontent-length: 2\r\nconnection: close\r\n\r\n"
            ),
        );
        check(
            &given(204, "not sent"),
            false,
            false,
            &format!("HTTP/1.1 204 No Content\r\n{date}x-a: b\r\n\r\n"),
        );
        check(
            &Answer::Refused(Refusal::Method, RequestId("edge_1".to_owned())),
            false,
            false,
            &format!(
                "HTTP/1.1 405 Method Not Allowed\r\n{date}posthorn-request-id: edge_1\r\n\
                 content-type: application/json\r\nallow: POST\r\ncontent-length: 18\r\n\r\n{{\"error\":\"method\"}}"
            ),
        );
        check(&Answer::Gone, false, true, "");
    }
}
