//! A server of the test on loopback, and what the guard makes of it.

use std::net::SocketAddr;

use posthorn_guard::{AllowList, Policy};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinHandle,
};

use super::*;

/// Answers one connection with `answer`, and returns what it was asked.
async fn server(answer: Vec<u8>) -> (SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut asked = Vec::new();
        while !asked.windows(4).any(|end| end == b"\r\n\r\n") {
            let mut part = [0; 4_096];
            let read = stream.read(&mut part).await.unwrap();
            asked.extend_from_slice(&part[..read]);
        }
        // The client may have had enough.
        let _ = stream.write_all(&answer).await;
        String::from_utf8(asked).unwrap()
    });
    (addr, served)
}

fn fetch(allow: &str) -> Fetch {
    let allow: AllowList = allow.parse().unwrap();
    let policy = Arc::new(Policy::new(allow, []));
    Fetch::new(Resolver::from_system(policy).unwrap()).unwrap()
}

fn wanted(url: &str) -> Wanted<'_> {
    Wanted {
        url,
        headers: HeaderMap::new(),
        body: None,
        bytes_max: 64,
    }
}

#[tokio::test]
async fn an_answer_comes_whole_with_its_status() {
    let (addr, served) =
        server(b"HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\nnope".to_vec()).await;
    let url = format!("http://{addr}/keys?kid=1");
    let answered = fetch("127.0.0.0/8").fetch(wanted(&url)).await.unwrap();
    assert_eq!(answered.status, StatusCode::NOT_FOUND);
    assert_eq!(answered.body, &b"nope"[..]);
    let asked = served.await.unwrap();
    assert!(asked.starts_with("GET /keys?kid=1 HTTP/1.1\r\n"), "{asked}");
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let (addr, _served) = server(
        b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n"
            .to_vec(),
    )
    .await;
    let url = format!("http://{addr}/");
    let answered = fetch("127.0.0.0/8").fetch(wanted(&url)).await.unwrap();
    assert_eq!(answered.status, StatusCode::FOUND);
}

#[tokio::test]
async fn what_the_guard_denies_is_never_connected_to() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    for url in [
        format!("http://{addr}/"),
        format!("https://{addr}/"),
        format!("https://localhost:{}/", addr.port()),
        "http://169.254.169.254/latest/meta-data".to_owned(),
        "file:///etc/passwd".to_owned(),
    ] {
        let refused = fetch("").fetch(wanted(&url)).await;
        assert!(
            matches!(&refused, Err(error) if error.failure == Failure::TargetNotAllowed),
            "{url}: {refused:?}"
        );
    }
    tokio::select! {
        biased;
        _ = listener.accept() => panic!("somebody connected"),
        () = std::future::ready(()) => {}
    }
}

#[tokio::test]
async fn an_answer_longer_than_wanted_is_given_up() {
    let mut answer = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n".to_vec();
    answer.extend(std::iter::repeat_n(b'x', 1_000_000));
    let (addr, _served) = server(answer).await;
    let url = format!("http://{addr}/");
    let given_up = fetch("127.0.0.0/8").fetch(wanted(&url)).await;
    assert!(
        matches!(&given_up, Err(error) if error.failure == Failure::ResponseTooLarge),
        "{given_up:?}"
    );
}

#[tokio::test]
async fn nobody_listening_is_a_refused_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    drop(listener);
    let url = format!("http://{addr}/");
    let failed = fetch("127.0.0.0/8").fetch(wanted(&url)).await;
    assert_eq!(failed.unwrap_err().to_string(), "connection_refused");
}

#[tokio::test]
async fn case_14_an_old_fashioned_head_is_mended_here_too() {
    let head = "HTTP/1.1 200 OK\r\nx-note : one\r\n two\r\nnonsense\r\ncontent-length: 2\r\n\r\nok";
    let (addr, _served) = server(head.into()).await;
    let url = format!("http://{addr}/");
    let answered = fetch("127.0.0.0/8").fetch(wanted(&url)).await.unwrap();
    assert_eq!(
        (answered.status, &answered.body[..]),
        (StatusCode::OK, &b"ok"[..])
    );
}
