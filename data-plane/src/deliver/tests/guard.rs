//! The guard on the way out: what is not allowed is not dialled, and what was vetted is.

use std::{env, net::IpAddr, process::Command};

use posthorn::node::v1::ErrorKind;
use posthorn_guard::testing::{NameServer, Reply};
use tokio::net::TcpListener;

use super::{Node, lease, zoo::Zoo};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/// A port that nobody has at any address of loopback.
async fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    listener.local_addr().expect("an address").port()
}

fn addresses(list: &[&str]) -> Reply {
    let parse = |text: &&str| text.parse::<IpAddr>().expect(text);
    Reply::Addresses(list.iter().map(parse).collect(), 0)
}

#[tokio::test]
async fn a_target_that_is_not_allowed_is_not_dialled() {
    let zoo = Zoo::answering(OK).await;
    let port = zoo.address().port();
    let name_server = NameServer::start(|_, _| addresses(&["127.0.0.1"]))
        .await
        .expect("a name server");
    let node = Node::asking(name_server.address(), "127.0.0.2");
    for url in [
        format!("http://127.0.0.1:{port}/"),
        format!("https://127.0.0.1:{port}/"),
        format!("http://localhost:{port}/"),
        format!("http://0x7f.1:{port}/"),
        format!("http://[::ffff:127.0.0.1]:{port}/"),
        format!("http://user@127.0.0.2:{port}/"),
        format!("http://hooks.example.com:{port}/"),
        format!("https://hooks.example.com:{port}/"),
    ] {
        assert_eq!(
            node.error(lease(&url)).await,
            ErrorKind::TargetNotAllowed,
            "{url}"
        );
    }
    assert_eq!(zoo.connections(), 0);
}

#[tokio::test]
async fn case_11_a_name_that_does_not_exist_is_not_one_that_nobody_knows() {
    for (reply, expected) in [
        (Reply::NoSuchName, ErrorKind::DnsNoSuchName),
        (Reply::ServerFailure, ErrorKind::DnsNoAnswer),
    ] {
        let name_server = NameServer::start(move |_, _| reply.clone())
            .await
            .expect("a name server");
        let node = Node::asking(name_server.address(), "");
        let error = node.error(lease("https://hooks.example.com/")).await;
        assert_eq!(error, expected);
    }
}

#[tokio::test]
async fn the_address_that_was_vetted_is_the_one_that_is_dialled() {
    let (good, bad) = (Zoo::answering(OK).await, Zoo::answering(OK).await);
    // Vetted at 127.0.0.1; from then on the name leads to where nobody listens at the good one's port.
    let name_server = NameServer::start(|number, _| match number {
        0 | 1 => addresses(&["127.0.0.1"]),
        _ => addresses(&["127.0.0.3"]),
    });
    let name_server = name_server.await.expect("a name server");
    let node = Node::asking(name_server.address(), "127.0.0.0/8");
    let url = format!("http://hooks.example.com:{}/", good.address().port());
    node.answer(lease(&url)).await;
    assert_eq!((good.connections(), bad.connections()), (1, 0));
    assert_eq!(
        name_server.questions(),
        2,
        "one for A and one for AAAA, and none after the vetting"
    );
    let host = format!("host: hooks.example.com:{}\r\n", good.address().port());
    assert!(good.requests()[0].contains(&host));
}

#[tokio::test]
async fn a_name_that_moves_inside_after_registration_is_refused_at_the_next_connection() {
    let zoo = Zoo::answering_once(OK).await;
    let name_server = NameServer::start(|number, _| match number {
        0 | 1 => addresses(&["127.0.0.1"]),
        _ => addresses(&["127.0.0.1", "127.0.0.9"]),
    });
    let name_server = name_server.await.expect("a name server");
    let node = Node::asking(name_server.address(), "127.0.0.1");
    let url = format!("http://hooks.example.com:{}/", zoo.address().port());
    node.answer(lease(&url)).await;
    let mut second = lease(&url);
    second.endpoint_version = 2;
    assert_eq!(node.error(second).await, ErrorKind::TargetNotAllowed);
    assert_eq!(zoo.connections(), 1);
}

#[tokio::test]
async fn an_address_that_does_not_answer_gives_way_to_the_next() {
    let zoo = Zoo::answering(OK).await;
    let name_server = NameServer::start(|_, _| addresses(&["127.0.0.7", "127.0.0.1"]));
    let name_server = name_server.await.expect("a name server");
    let node = Node::asking(name_server.address(), "127.0.0.0/8");
    let url = format!("http://hooks.example.com:{}/", zoo.address().port());
    node.answer(lease(&url)).await;
    assert_eq!(zoo.connections(), 1);
}

/// A name server that answers with many addresses must not make one attempt that many connections.
#[tokio::test]
async fn g1_one_attempt_dials_four_addresses_at_most_and_the_last_of_them_too() {
    let port = free_port().await;
    for (at, dialled) in [("127.0.0.4", true), ("127.0.0.5", false)] {
        let zoo = Zoo::listening(format!("{at}:{port}").parse().expect(at), OK).await;
        let list: Vec<_> = (1..=60).map(|last| format!("127.0.0.{last}")).collect();
        let name_server = NameServer::start(move |_, _| {
            addresses(&list.iter().map(String::as_str).collect::<Vec<_>>())
        });
        let name_server = name_server.await.expect("a name server");
        let node = Node::asking(name_server.address(), "127.0.0.0/8");
        let fact = node
            .perform(lease(&format!("http://hooks.example.com:{port}/")))
            .await;
        assert_eq!(zoo.connections(), usize::from(dialled), "{at}: {fact:?}");
    }
}

/// The control plane says in its welcome where it and its database listen.
#[tokio::test]
async fn g3_where_the_control_plane_listens_nothing_is_delivered_by_whatever_name() {
    let zoo = Zoo::answering(OK).await;
    let port = zoo.address().port();
    let name_server = NameServer::start(|_, _| addresses(&["127.0.0.1"]))
        .await
        .expect("a name server");
    let node = Node::asking(name_server.address(), "127.0.0.0/8,*.inside");
    let every = format!("0.0.0.0:{port}").parse().expect("an address");
    let learned = node.sender.policy().learn([every]);
    let names = [
        "127.0.0.1",
        "127.0.0.7",
        "localhost",
        "hooks.example.com",
        "grpc.inside",
    ];
    for name in names {
        let url = format!("http://{name}:{port}/");
        let error = node.error(lease(&url)).await;
        assert_eq!(error, ErrorKind::TargetNotAllowed, "{name}");
    }
    assert_eq!(zoo.connections(), 0);
    drop(learned);
    node.answer(lease(&format!("http://grpc.inside:{port}/")))
        .await;
}

#[tokio::test]
async fn a_delivery_reaches_its_endpoint() {
    let zoo = Zoo::answering(OK).await;
    assert_eq!(Node::new().answer(lease(&zoo.url())).await.status_code, 200);
}

/// Runs the test above in a process with every proxy variable set, because this one must not change its environment.
#[tokio::test]
async fn proxy_variables_of_the_environment_are_not_honoured() {
    let proxy = Zoo::answering("HTTP/1.1 502 x\r\ncontent-length: 0\r\n\r\n").await;
    let url = format!("http://{}", proxy.address());
    let mut command = Command::new(env::current_exe().expect("this test's program"));
    command.args([
        "--exact",
        "deliver::tests::guard::a_delivery_reaches_its_endpoint",
    ]);
    for name in [
        "HTTP_PROXY",
        "http_proxy",
        "HTTPS_PROXY",
        "https_proxy",
        "ALL_PROXY",
        "all_proxy",
    ] {
        command.env(name, &url);
    }
    command.env_remove("NO_PROXY").env_remove("no_proxy");
    let run = tokio::task::spawn_blocking(move || command.output());
    let output = run.await.expect("a run").expect("an output");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}"
    );
    assert_eq!(proxy.connections(), 0);
}
