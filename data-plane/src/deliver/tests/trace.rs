//! What an attempt tells of how it went.

use posthorn::node::v1::{ErrorKind, Trace, outcome::Result as Fact};
use posthorn_guard::testing::{NameServer, Reply};

use super::{
    Node, hasty_lease, lease,
    tls::{Authority, tls_zoo, url},
    zoo::{Zoo, read_to_end},
};
use crate::clock;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/// Which phases there were: DNS, connecting, TLS, the answer.
fn phases(trace: &Trace) -> [bool; 4] {
    [
        trace.dns_us.is_some(),
        trace.connect_us.is_some(),
        trace.tls_us.is_some(),
        trace.answer_us.is_some(),
    ]
}

async fn traced(node: &Node, mut lease: posthorn::node::v1::Lease) -> (Fact, Trace) {
    let performed = node.sender.perform(&mut lease, clock::now()).await;
    if let Some(reusable) = performed.reusable {
        reusable.keep().await;
    }
    (performed.fact, *performed.trace)
}

#[tokio::test]
async fn o1_the_first_attempt_over_a_connection_opens_it_and_the_next_does_not() {
    let zoo = Zoo::answering(OK).await;
    let node = Node::new();
    for opens in [true, false] {
        let (_, trace) = traced(&node, lease(&zoo.url())).await;
        assert_eq!(phases(&trace), [false, opens, false, true]);
        assert_eq!(trace.http_version, 11);
        assert_eq!(trace.peer, zoo.address().to_string());
        assert_eq!(trace.url, "");
    }
}

#[tokio::test]
async fn o1_an_attempt_that_failed_names_its_url() {
    let zoo = Zoo::answering("HTTP/1.0 500 No\r\ncontent-length: 0\r\n\r\n").await;
    let (_, trace) = traced(&Node::new(), lease(&zoo.url())).await;
    assert_eq!((trace.url, trace.http_version), (zoo.url(), 10));
}

#[tokio::test]
async fn o1_a_phase_that_an_attempt_ended_in_is_its_last() {
    let authority = Authority::new();
    let stalls_in_tls = Zoo::start(move |mut stream, _| async move {
        read_to_end(&mut stream).await;
    })
    .await;
    let acceptor = authority.acceptor(&Authority::params(), &[]);
    let stalls_after = tls_zoo(acceptor, |mut stream, log| async move {
        log.read_request(&mut stream).await;
        read_to_end(&mut stream).await;
    })
    .await;
    let node = Node::trusting(authority.file.path());
    for (zoo, kind, expected) in [
        (
            stalls_in_tls,
            ErrorKind::TlsTimeout,
            [false, true, true, false],
        ),
        (
            stalls_after,
            ErrorKind::AnswerTimeout,
            [false, true, true, true],
        ),
    ] {
        let (fact, trace) = traced(&node, hasty_lease(&url(&zoo))).await;
        assert_eq!(fact, Fact::Error(kind.into()));
        assert_eq!(phases(&trace), expected, "{kind:?}");
        assert_eq!(trace.peer, zoo.address().to_string());
        assert_eq!(trace.http_version, 0);
    }
}

#[tokio::test]
async fn o1_a_name_is_looked_up_in_a_phase_of_its_own() {
    let name_server = NameServer::start(|_, _| Reply::NoSuchName)
        .await
        .expect("a name server");
    let node = Node::asking(name_server.address(), "");
    let (fact, trace) = traced(&node, lease("https://hooks.example.com/")).await;
    assert_eq!(fact, Fact::Error(ErrorKind::DnsNoSuchName.into()));
    assert_eq!(phases(&trace), [true, false, false, false]);
    assert_eq!(trace.peer, "");
}
