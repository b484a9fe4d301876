//! Connections: a newcomer always gets in, those who have shown a key stay, and nobody stays for nothing.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use posthorn::v1::{DeliveryState, EmitEventsRequest, GetTenantRequest, Role};
use posthorn_harness::{
    Authority, Client, ControlPlane, ControlPlaneOptions, Deployment, Node, NodeOptions, Starting,
    StoreKind, eventually, get,
};
use prost::Message as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use super::{metric, options, until_refused};
use crate::support::{
    DEADLINE,
    follow::await_state,
    raw::{Sent, call, connect, connect_from, frame, open},
};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// An empty SETTINGS frame.
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
const PING: &[u8] = &[0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
/// The beginning of TLS's first message, which never goes on.
const HALF_A_CLIENT_HELLO: &[u8] = &[
    0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10,
];

/// A control plane with few places, where a greeting may take so many seconds.
fn few_places(greeting_timeout: &str) -> ControlPlaneOptions {
    options(&[
        ("connections", "60"),
        ("strangers", "24"),
        ("strangers-per-address", "4"),
        ("node-connections", "8"),
        ("greeting-timeout", greeting_timeout),
    ])
}

/// Connections from twenty addresses that have sent these bytes and say no more.
async fn half_open(addr: SocketAddr, count: u8, bytes: &[u8]) -> Vec<TcpStream> {
    let mut held = Vec::new();
    for number in 0..count {
        let from = IpAddr::from(Ipv4Addr::new(127, 0, 7, 1 + number % 20));
        let mut stream = connect_from(from, addr).await;
        // Who is sent away already is not written to.
        let _sent = stream.write_all(bytes).await;
        held.push(stream);
    }
    held
}

/// Waits until the other end has closed the connection.
async fn closed(mut stream: TcpStream) {
    let mut rest = Vec::new();
    let end = timeout(DEADLINE, stream.read_to_end(&mut rest)).await;
    end.expect("the connection is closed").ok();
}

async fn assert_served(client: &Client) {
    let request = GetTenantRequest {
        tenant_id: client.tenant_id.clone(),
    };
    let answer = client.tenants().get_tenant(request).await;
    answer.expect("an honest caller is served");
}

#[tokio::test]
async fn half_open_connections_leave_room_for_callers_and_nodes() {
    let deployment = Deployment::start_with(StoreKind::Sqlite, few_places("30"), &[]).await;
    let (addr, metrics) = (deployment.control.grpc, deployment.control.metrics);
    let receiver = deployment.receiver.url("/");
    deployment.admin.create_endpoint(&receiver, &["*"]).await;
    for bytes in [&[][..], &PREFACE[..20], &[PREFACE, SETTINGS, PING].concat()] {
        let held = half_open(addr, 200, bytes).await;
        let newcomer = Client::connect(addr, &deployment.control.admin_key).await;
        assert_served(&newcomer.for_tenant(&deployment.tenant_id)).await;
        assert_served(&deployment.admin).await;
        let node = deployment.another_node().await;
        drop(node);
        let event = deployment.admin.emit("order.paid", "{}").await;
        let delivered = DeliveryState::Delivered;
        await_state(&deployment.admin, &event.event_id, delivered).await;
        let strangers = metric(metrics, "posthorn_grpc_connections{state=\"stranger\"}").await;
        assert!(strangers <= 24.0, "{strangers}");
        let page = get(metrics, "/readyz").await.expect("it answers");
        assert_eq!(page.status, 200, "{}", page.body);
        let first = held.into_iter().next().expect("there are some");
        closed(first).await;
    }
    until_refused(metrics, "strangers").await;
}

#[tokio::test]
async fn half_open_tls_leaves_room_and_ends_in_time() {
    let authority = Authority::new();
    let certificate = authority.certificate();
    let mut options = few_places("2");
    for (flag, file) in [
        ("--tls-cert", certificate.certificate),
        ("--tls-key", certificate.key),
    ] {
        let file = file.display().to_string();
        options.args.extend([flag.to_owned(), file]);
    }
    let control = ControlPlane::start(options).await;
    let held = half_open(control.grpc, 200, HALF_A_CLIENT_HELLO).await;
    let client = Client::connect_tls(control.grpc, &control.admin_key, &authority.pem()).await;
    let client = client.expect("an honest caller gets in");
    let tenant = client.create_tenant("test").await;
    let node_key = client.create_key(&[Role::Node]).await;
    let mut options = NodeOptions::new(control.grpc, &node_key);
    options.tls = true;
    let root = authority.file().display().to_string();
    options.args = ["--control-plane-ca".to_owned(), root].into();
    let node = Node::start(options).await;
    node.ready().await;
    assert_served(&client.for_tenant(&tenant)).await;
    for stream in held {
        closed(stream).await;
    }
    until_refused(control.metrics, "greeting_timeout").await;
}

#[tokio::test]
async fn a_connection_that_makes_no_call_ends_whatever_it_pings() {
    let limits = [
        ("first-call-timeout", "0.5"),
        ("stranger-idle-timeout", "60"),
    ];
    let control = ControlPlane::start(options(&limits)).await;
    let mut stream = connect(control.grpc).await;
    let greeting = [PREFACE, SETTINGS].concat();
    stream.write_all(&greeting).await.expect("it listens");
    let mut came = [0; 1_024];
    let ended = async {
        loop {
            if stream.write_all(PING).await.is_err() {
                return;
            }
            // Whatever it says, until it ends.
            let read = timeout(Duration::from_millis(50), stream.read(&mut came)).await;
            if let Ok(Ok(0) | Err(_)) = read {
                return;
            }
        }
    };
    timeout(DEADLINE, ended).await.expect("it is ended");
    until_refused(control.metrics, "first_call").await;
}

/// A connection that the test has whole.
async fn http2(addr: SocketAddr) -> (http2::SendRequest<Sent>, tokio::task::JoinHandle<()>) {
    let stream = TokioIo::new(connect(addr).await);
    let (sender, connection) = http2::handshake(TokioExecutor::new(), stream)
        .await
        .expect("the control plane speaks HTTP/2");
    let connection = tokio::spawn(async move {
        let _ended = connection.await;
    });
    (sender, connection)
}

#[tokio::test]
async fn a_connection_without_a_call_for_a_while_is_told_to_go() {
    let control = ControlPlane::start(options(&[("idle-timeout", "0.5")])).await;
    let path = "/posthorn.v1.TenantService/ListTenants";
    let (mut sender, connection) = http2(control.grpc).await;
    let (unended, body) = open(&frame(false, &[]));
    drop(unended);
    let request = call(control.grpc, path, &control.admin_key).body(body);
    let request = request.expect("it is well-formed");
    let answer = sender.send_request(request).await.expect("an answer");
    answer.into_body().collect().await.expect("it is whole");
    let ended = timeout(DEADLINE, connection).await;
    ended.expect("it is ended").expect("no panic");
}

#[tokio::test]
async fn an_old_connection_takes_no_more_calls_but_its_streams_go_on() {
    let control = ControlPlane::start(options(&[("connection-age", "0.5")])).await;
    let admin = control.admin().await;
    let tenant = admin.create_tenant("test").await;
    let emitter = admin.for_tenant(&tenant).create_key(&[Role::Emitter]).await;
    let (mut sender, _connection) = http2(control.grpc).await;
    let message = frame(
        false,
        &EmitEventsRequest {
            sequence: 7,
            events: vec![admin.for_tenant(&tenant).event("order.paid", "{}")],
        }
        .encode_to_vec(),
    );
    let (more, body) = open(&message);
    let path = "/posthorn.v1.EventService/EmitEvents";
    let request = call(control.grpc, path, &emitter).body(body);
    let request = request.expect("it is well-formed");
    let answer = sender.send_request(request).await.expect("an answer");
    let mut answers = answer.into_body();
    let first = answers.frame().await.expect("an answer").expect("data");
    assert!(first.is_data());
    let again = async || {
        let (_unended, body) = open(&[]);
        let request = call(control.grpc, "/grpc.health.v1.Health/Check", "").body(body);
        let request = request.expect("it is well-formed");
        sender.clone().send_request(request).await.is_err()
    };
    eventually("it takes no more calls", DEADLINE, again).await;
    more.send(Bytes::from(message)).expect("the stream stands");
    let second = answers.frame().await.expect("an answer").expect("data");
    assert!(second.is_data());
}

#[tokio::test]
async fn limits_that_leave_no_place_to_callers_are_refused() {
    let options: ControlPlaneOptions = options(&[("connections", "100"), ("strangers", "90")]);
    let log = Starting::spawn(options).refused().await;
    assert!(log.contains("--grpc-connections"), "{log}");
}
