//! Which connections are used again, and which are not.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use posthorn::node::v1::{ErrorKind, Lease};
use tokio::io::AsyncWriteExt as _;

use super::{Node, lease, zoo::Zoo};
use crate::clock;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[tokio::test]
async fn requests_of_one_endpoint_go_over_one_connection() {
    let zoo = Zoo::answering(OK).await;
    let node = Node::new();
    for _ in 0..5 {
        node.answer(lease(&zoo.url())).await;
    }
    assert_eq!((zoo.connections(), zoo.requests().len()), (1, 5));
    assert_eq!(
        (
            node.metrics.connections_opened.get(),
            node.metrics.pool_hits.get()
        ),
        (1, 4)
    );
}

#[tokio::test]
async fn another_endpoint_of_the_same_url_has_a_connection_of_its_own() {
    let zoo = Zoo::answering(OK).await;
    let node = Node::new();
    node.answer(lease(&zoo.url())).await;
    let other = Lease {
        endpoint_id: "ep_2".to_owned(),
        ..lease(&zoo.url())
    };
    node.answer(other).await;
    assert_eq!(zoo.connections(), 2);
}

#[tokio::test]
async fn a_new_version_of_an_endpoint_closes_the_connections_of_the_old() {
    let zoo = Zoo::answering(OK).await;
    let node = Node::new();
    node.answer(lease(&zoo.url())).await;
    let newer = Lease {
        endpoint_version: 2,
        ..lease(&zoo.url())
    };
    node.answer(newer.clone()).await;
    zoo.until_closed(1).await;
    // A late lease of the old version is performed, but leaves nothing behind.
    node.answer(lease(&zoo.url())).await;
    zoo.until_closed(2).await;
    node.answer(newer).await;
    assert_eq!(zoo.connections(), 3, "the newer version's is still kept");
}

#[tokio::test]
async fn a_kept_connection_that_the_endpoint_closed_is_replaced_before_anything_is_sent() {
    let zoo = Zoo::answering_once(OK).await;
    let node = Node::new();
    for _ in 0..5 {
        assert_eq!(node.answer(lease(&zoo.url())).await.status_code, 200);
    }
    assert_eq!((zoo.connections(), zoo.requests().len()), (5, 5));
}

#[tokio::test]
async fn a_request_that_a_kept_connection_took_and_lost_is_not_sent_again() {
    let number = AtomicUsize::new(0);
    let zoo = Zoo::start(move |mut stream, log| {
        let first = number.fetch_add(1, Ordering::SeqCst) == 0;
        async move {
            log.read_request(&mut stream).await;
            let _closed = stream.write_all(OK.as_bytes()).await;
            if first {
                // Takes the second request and hangs up.
                log.read_request(&mut stream).await;
            }
        }
    })
    .await;
    let node = Node::new();
    node.answer(lease(&zoo.url())).await;
    assert_eq!(
        node.error(lease(&zoo.url())).await,
        ErrorKind::ConnectionClosed
    );
    assert_eq!((zoo.connections(), zoo.requests().len()), (1, 2));
}

#[tokio::test]
async fn a_connection_that_says_close_or_has_more_to_say_is_not_kept() {
    for answer in [
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n".to_owned(),
        "HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n".to_owned(),
        format!(
            "HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n{}",
            "x".repeat(100_000)
        ),
    ] {
        let zoo = Zoo::answering(answer).await;
        let node = Node::new();
        node.answer(lease(&zoo.url())).await;
        zoo.until_closed(1).await;
        node.answer(lease(&zoo.url())).await;
        assert_eq!(zoo.connections(), 2);
    }
}

#[tokio::test]
async fn an_answer_that_nobody_asked_for_is_never_taken_for_the_next_one() {
    let zoo = Zoo::answering(format!("{OK}HTTP/1.1 500 x\r\ncontent-length: 0\r\n\r\n")).await;
    let node = Node::new();
    for _ in 0..3 {
        assert_eq!(node.answer(lease(&zoo.url())).await.status_code, 200);
    }
}

#[tokio::test]
async fn idle_connections_are_closed_after_30_s_and_no_sooner() {
    let zoo = Zoo::answering(OK).await;
    let node = Node::new();
    node.answer(lease(&zoo.url())).await;
    let now = clock::now();
    node.sender.sweep(now + Duration::from_secs(29));
    node.answer(lease(&zoo.url())).await;
    assert_eq!(zoo.connections(), 1);
    node.sender.sweep(clock::now() + Duration::from_secs(31));
    zoo.until_closed(1).await;
    node.answer(lease(&zoo.url())).await;
    assert_eq!(zoo.connections(), 2);
}

#[tokio::test]
async fn requests_at_one_time_have_a_connection_each_and_keep_them() {
    let zoo = Zoo::answering(OK).await;
    let node = Node::new();
    for _ in 0..3 {
        let url = zoo.url();
        tokio::join!(
            node.answer(lease(&url)),
            node.answer(lease(&url)),
            node.answer(lease(&url))
        );
    }
    assert_eq!((zoo.connections(), zoo.requests().len()), (3, 9));
}
