//! Endpoints that answer: what is sent to them, and what is reported of their answers.

use tokio::io::AsyncWriteExt as _;

use super::{Node, hasty_lease, header, lease, zoo::Zoo};

#[tokio::test]
async fn the_request_goes_out_as_leased_with_host_and_content_length_added() {
    let zoo = Zoo::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    Node::new().answer(lease(&zoo.url())).await;
    let expected = format!(
        "POST /hook?a=b HTTP/1.1\r\ncontent-type: application/json\r\nwebhook-id: evt_1\r\n\
         content-length: 7\r\nhost: {}\r\n\r\n{{\"a\":1}}",
        zoo.address()
    );
    assert_eq!(zoo.requests(), [expected]);
}

#[tokio::test]
async fn an_empty_body_has_a_length_too_and_a_leased_host_does_not_count() {
    let zoo = Zoo::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let mut empty = lease(&zoo.url());
    empty.body.clear();
    empty.headers = vec![header("host", "elsewhere"), header("content-length", "9")];
    Node::new().answer(empty).await;
    let request = zoo.requests().remove(0);
    assert!(request.contains("content-length: 0\r\n"), "{request}");
    assert!(
        request.contains(&format!("host: {}\r\n", zoo.address())),
        "{request}"
    );
    assert!(!request.contains("elsewhere"), "{request}");
}

#[tokio::test]
async fn every_status_is_reported_as_it_is_and_redirects_are_not_followed() {
    for status in [
        200, 201, 202, 204, 206, 299, 301, 302, 307, 308, 400, 401, 404, 408, 410, 422, 429, 500,
        503, 599,
    ] {
        let body = if status == 204 {
            ""
        } else {
            "content-length: 0\r\n"
        };
        let head = format!("HTTP/1.1 {status} x\r\nlocation: /elsewhere\r\n{body}\r\n");
        let zoo = Zoo::answering(head).await;
        let answer = Node::new().answer(lease(&zoo.url())).await;
        assert_eq!(answer.status_code, status);
        assert_eq!(
            (zoo.connections(), zoo.requests().len()),
            (1, 1),
            "{status}"
        );
    }
}

#[tokio::test]
async fn the_first_4_kib_of_a_body_are_reported() {
    for (length, expected) in [
        (0, 0),
        (5, 5),
        (4_096, 4_096),
        (4_097, 4_096),
        (60_000, 4_096),
    ] {
        let head = format!("HTTP/1.1 500 x\r\ncontent-length: {length}\r\n\r\n");
        let zoo = Zoo::answering([head.into_bytes(), vec![b'x'; length]].concat()).await;
        let answer = Node::new().answer(lease(&zoo.url())).await;
        assert_eq!(answer.excerpt, vec![b'x'; expected]);
    }
}

/// Secrets could not be found in it, and nobody asked for it.
#[tokio::test]
async fn nothing_is_reported_of_a_body_in_another_coding() {
    for (coding, reported) in [
        ("content-encoding: gzip\r\ncontent-length: 4", ""),
        ("content-encoding: Identity\r\ncontent-length: 4", "body"),
        ("content-length: 4", "body"),
        ("transfer-encoding: gzip", ""),
    ] {
        let zoo = Zoo::answering_once(format!("HTTP/1.1 200 OK\r\n{coding}\r\n\r\nbody")).await;
        let answer = Node::new().answer(lease(&zoo.url())).await;
        assert_eq!(
            (answer.status_code, &answer.excerpt[..]),
            (200, reported.as_bytes()),
            "{coding}"
        );
    }
}

#[tokio::test]
async fn s11_an_endpoint_that_answers_with_its_request_shows_no_secret_of_it() {
    let zoo = Zoo::start(|mut stream, log| async move {
        let request = log.read_request(&mut stream).await.expect("a request");
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n",
            request.len()
        );
        let _closed = stream
            .write_all(&[head.as_bytes(), &request].concat())
            .await;
    })
    .await;
    let mut lease = lease(&zoo.url());
    lease.headers.extend([
        header("webhook-signature", "v1,c2lnbmF0dXJlIG9mIGl0"),
        header("authorization", "Bearer canary-token"),
        header("x-team", "billing"),
    ]);
    lease.secret_headers = vec!["authorization".to_owned()];
    let answer = Node::new().answer(lease).await;
    let excerpt = String::from_utf8_lossy(&answer.excerpt);
    for shown in ["webhook-id: evt_1", "x-team: billing", "{\"a\":1}"] {
        assert!(excerpt.contains(shown), "{excerpt}");
    }
    for hidden in ["webhook-signature: ", "authorization: "] {
        assert!(
            excerpt.contains(&format!("{hidden}[redacted]")),
            "{excerpt}"
        );
    }
    assert!(
        !excerpt.contains("canary") && !excerpt.contains("c2lnb"),
        "{excerpt}"
    );
}

#[tokio::test]
async fn retry_after_is_reported_as_it_came_when_it_is_short_text() {
    let long = "1".repeat(65);
    for (sent, reported) in [
        ("120", "120"),
        (
            "Wed, 21 Oct 2026 07:28:00 GMT",
            "Wed, 21 Oct 2026 07:28:00 GMT",
        ),
        ("-1", "-1"),
        ("soon", "soon"),
        (long.as_str(), ""),
        ("\u{e4}", ""),
    ] {
        let head = format!("HTTP/1.1 503 x\r\nretry-after: {sent}\r\ncontent-length: 0\r\n\r\n");
        let zoo = Zoo::answering(head).await;
        let answer = Node::new().answer(lease(&zoo.url())).await;
        assert_eq!(answer.retry_after, reported, "{sent}");
    }
}

#[tokio::test]
async fn a_head_decides_whatever_becomes_of_the_body() {
    for rest in [
        "content-length: 10\r\n\r\nabc",
        "transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
        "transfer-encoding: chunked\r\n\r\n3\r\nabc\r\nwrong\r\n",
    ] {
        let zoo = Zoo::answering_once(format!("HTTP/1.1 200 OK\r\n{rest}")).await;
        let answer = Node::new().answer(lease(&zoo.url())).await;
        assert_eq!(
            (answer.status_code, &answer.excerpt[..]),
            (200, &b"abc"[..]),
            "{rest}"
        );
    }
}

#[tokio::test]
async fn a_body_that_never_ends_is_read_to_its_limit_and_closed() {
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunk = format!("400\r\n{}\r\n", "x".repeat(0x400));
    let zoo = Zoo::endless(head, chunk).await;
    let answer = Node::new().answer(lease(&zoo.url())).await;
    assert_eq!((answer.status_code, answer.excerpt.len()), (200, 4_096));
    zoo.until_closed(1).await;
}

#[tokio::test]
async fn a_body_that_stalls_is_left_when_the_attempt_is_over() {
    let zoo = Zoo::start(|mut stream, log| async move {
        log.read_request(&mut stream).await;
        let _closed = stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nab")
            .await;
        super::zoo::read_to_end(&mut stream).await;
        log.close();
    })
    .await;
    let answer = Node::new().answer(hasty_lease(&zoo.url())).await;
    assert_eq!((answer.status_code, &answer.excerpt[..]), (200, &b"ab"[..]));
    zoo.until_closed(1).await;
}

#[tokio::test]
async fn a_few_informational_answers_are_skipped() {
    let answer = format!(
        "{}HTTP/1.1 204 x\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n".repeat(8)
    );
    let zoo = Zoo::answering(answer).await;
    let node = Node::new();
    for _ in 0..3 {
        assert_eq!(node.answer(lease(&zoo.url())).await.status_code, 204);
    }
    assert_eq!(zoo.connections(), 1, "they are counted for each request");
}

/// What RFC 9112 has a user agent mend in the head of an answer. The receiver has the event: its status decides.
#[tokio::test]
async fn case_14_an_old_fashioned_head_is_mended_and_its_status_decides() {
    for (what, rest) in [
        (
            "a folded line",
            "x-note: one\r\n two\r\ncontent-length: 2\r\n\r\nok",
        ),
        (
            "a line folded with a tab",
            "x-note: one\r\n\ttwo\r\ncontent-length: 2\r\n\r\nok",
        ),
        ("a blank before the colon", "content-length : 2\r\n\r\nok"),
        (
            "a line without a colon",
            "nonsense\r\ncontent-length: 2\r\n\r\nok",
        ),
        (
            "a name with a blank",
            "a b: c\r\ncontent-length: 2\r\n\r\nok",
        ),
        (
            "a field without a name",
            ": c\r\ncontent-length: 2\r\n\r\nok",
        ),
        ("line feeds alone", "content-length: 2\n\nok"),
    ] {
        let zoo = Zoo::answering_once(format!("HTTP/1.1 200 OK\r\n{rest}")).await;
        let answer = Node::new().answer(lease(&zoo.url())).await;
        assert_eq!(
            (answer.status_code, &answer.excerpt[..]),
            (200, &b"ok"[..]),
            "{what}"
        );
    }
}

#[tokio::test]
async fn case_14_a_head_with_two_lengths_decides_and_its_connection_is_not_used_again() {
    for rest in [
        "content-length: 2\r\ncontent-length: 2\r\n\r\nok",
        "content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    ] {
        let zoo = Zoo::answering(format!("HTTP/1.1 200 OK\r\n{rest}")).await;
        let node = Node::new();
        for connections in 1..=2 {
            let answer = node.answer(lease(&zoo.url())).await;
            assert_eq!(
                (answer.status_code, &answer.excerpt[..]),
                (200, &b"ok"[..]),
                "{rest}"
            );
            assert_eq!(zoo.connections(), connections, "{rest}");
        }
    }
}
