//! Endpoints that do not answer, or answer what is no HTTP: one kind of error each.

use std::net::Ipv4Addr;

use posthorn::node::v1::ErrorKind;
use tokio::{io::AsyncWriteExt as _, net::TcpListener};

use super::{
    Node, hasty_lease, lease,
    zoo::{Zoo, read_to_end},
};

#[tokio::test]
async fn case_11_an_answer_that_breaks_the_rules_is_told_by_how() {
    let informational = "HTTP/1.1 100 Continue\r\n\r\n";
    let no_http = ErrorKind::AnswerNotHttp;
    let malformed = ErrorKind::AnswerMalformed;
    for (answer, expected) in [
        ("garbage\r\n\r\n".to_owned(), no_http),
        ("<html>hello</html>\r\n\r\n".to_owned(), no_http),
        ("SSH-2.0-OpenSSH_9.2\r\n".to_owned(), no_http),
        ("220 mail ESMTP\r\n".to_owned(), no_http),
        ("HTTP/3.0 200 OK\r\n\r\n".to_owned(), no_http),
        ("HTTP/1.1 2000 OK\r\n\r\n".to_owned(), malformed),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab".to_owned(),
            malformed,
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n".to_owned(),
            malformed,
        ),
        (
            "HTTP/1.1 700 OK\r\ncontent-length: 0\r\n\r\n".to_owned(),
            ErrorKind::UnexpectedStatus,
        ),
        (
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"
                .to_owned(),
            ErrorKind::UnexpectedStatus,
        ),
        (
            format!(
                "{}HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
                informational.repeat(9)
            ),
            ErrorKind::UnexpectedStatus,
        ),
    ] {
        let zoo = Zoo::answering(answer.clone()).await;
        let error = Node::new().error(lease(&zoo.url())).await;
        assert_eq!(error, expected, "{answer}");
    }
}

#[tokio::test]
async fn endless_informational_answers_are_an_error_and_close() {
    let informational = "HTTP/1.1 100 Continue\r\n\r\n";
    let zoo = Zoo::endless(informational, informational).await;
    let error = Node::new().error(lease(&zoo.url())).await;
    assert_eq!(error, ErrorKind::UnexpectedStatus);
    zoo.until_closed(1).await;
}

#[tokio::test]
async fn a_head_over_its_limits_is_too_large() {
    let many = "a: b\r\n".repeat(2_000);
    let long = format!("a: {}\r\n", "b".repeat(1024 * 1024));
    for headers in [many, long, "a: b\r\n".repeat(101)] {
        let zoo = Zoo::answering(format!(
            "HTTP/1.1 200 OK\r\n{headers}content-length: 0\r\n\r\n"
        ))
        .await;
        let error = Node::new().error(lease(&zoo.url())).await;
        assert_eq!(
            error,
            ErrorKind::ResponseTooLarge,
            "{} bytes",
            headers.len()
        );
    }
}

#[tokio::test]
async fn a_connection_that_closes_before_the_whole_head_is_closed() {
    for answer in [
        "",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n",
    ] {
        let zoo = Zoo::answering_once(answer).await;
        let error = Node::new().error(lease(&zoo.url())).await;
        assert_eq!(error, ErrorKind::ConnectionClosed, "{answer}");
    }
}

#[tokio::test]
async fn a_connection_that_is_reset_is_reset() {
    for answer in ["", "HTTP/1.1 200 OK\r\n"] {
        let zoo = Zoo::start(move |mut stream, log| async move {
            log.read_request(&mut stream).await;
            let _closed = stream.write_all(answer.as_bytes()).await;
            stream.set_zero_linger().expect("a linger of zero");
        })
        .await;
        let error = Node::new().error(lease(&zoo.url())).await;
        assert_eq!(error, ErrorKind::ConnectionReset, "{answer}");
    }
}

#[tokio::test]
async fn nobody_listening_is_refused() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .expect("a listener");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let error = Node::new()
        .error(lease(&format!("http://{address}/")))
        .await;
    assert_eq!(error, ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn an_endpoint_that_never_answers_times_out_and_is_closed() {
    for answer in ["", "HTTP/1.1 200 OK\r\nx: "] {
        let zoo = Zoo::start(move |mut stream, log| async move {
            log.read_request(&mut stream).await;
            let _closed = stream.write_all(answer.as_bytes()).await;
            read_to_end(&mut stream).await;
            log.close();
        })
        .await;
        let error = Node::new().error(hasty_lease(&zoo.url())).await;
        assert_eq!(error, ErrorKind::AnswerTimeout, "{answer}");
        zoo.until_closed(1).await;
    }
}

#[tokio::test]
async fn an_endpoint_that_never_reads_times_out() {
    // The body is more than the sockets' buffers take.
    let zoo = Zoo::start(|stream, _| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let mut lease = hasty_lease(&zoo.url());
    lease.body = vec![b'x'; 64 * 1024 * 1024].into();
    assert_eq!(Node::new().error(lease).await, ErrorKind::AnswerTimeout);
}

#[tokio::test]
async fn a_header_that_cannot_be_sent_is_an_error_and_nothing_is_sent() {
    let zoo = Zoo::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    for (name, value) in [("a b", "c"), ("", "c"), ("a", "b\r\nc: d"), ("a", "\0")] {
        let mut lease = lease(&zoo.url());
        lease.headers = vec![super::header(name, value)];
        assert_eq!(
            Node::new().error(lease).await,
            ErrorKind::ProtocolError,
            "{name}: {value}"
        );
    }
    assert_eq!(zoo.connections(), 0);
}
