//! gRPC itself: broken messages, odd headers, limits of the transport. Whatever comes in, INTERNAL never goes out.

use std::{io::Write as _, net::SocketAddr};

use flate2::{Compression, write::GzEncoder};
use http::request::Builder;
use posthorn::v1::{GetTenantRequest, Role};
use posthorn_harness::{Client, Deployment, StoreKind};
use prost::Message as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};
use tonic::Code;

use super::support::{
    DEADLINE,
    descriptor::rpcs,
    raw::{self, Answer, call, field, frame, send},
};

on_both! {
    what_does_not_exist_is_unimplemented,
    garbage_is_the_callers_fault_in_every_rpc,
    a_message_that_is_not_whole_changes_nothing,
    a_message_over_the_limit_is_refused,
    compression_that_was_not_agreed_is_refused,
    case_13_messages_in_gzip_are_taken_up_to_the_limit_of_what_they_unpack_to,
    a_deadline_is_kept_whatever_it_says,
    another_content_type_is_refused,
    http_1_is_refused,
    unknown_fields_are_ignored,
}

/// A control plane with a key that may do everything.
struct Target {
    addr: SocketAddr,
    key: String,
    deployment: Deployment,
}

impl Target {
    async fn start(store: StoreKind) -> Self {
        let deployment = Deployment::start(store).await;
        Self {
            addr: deployment.control.grpc,
            key: deployment.admin.create_key(&[Role::Admin]).await,
            deployment,
        }
    }

    fn call(&self, path: &str) -> Builder {
        call(self.addr, path, &self.key)
    }

    /// Sends this body to a path.
    async fn send(&self, path: &str, body: Vec<u8>) -> Answer {
        send(self.addr, self.call(path), body).await
    }

    /// The control plane still answers.
    async fn assert_well(&self) {
        let client = Client::connect(self.addr, &self.key).await;
        let answer = client
            .tenants()
            .get_tenant(GetTenantRequest::default())
            .await;
        answer.expect("the control plane is well");
    }
}

const EMIT: &str = "/posthorn.v1.EventService/EmitEvent";
const GET_TENANT: &str = "/posthorn.v1.TenantService/GetTenant";

async fn what_does_not_exist_is_unimplemented(store: StoreKind) {
    let target = Target::start(store).await;
    for path in [
        "/posthorn.v1.EventService/EmitEverything",
        "/posthorn.v2.EventService/EmitEvent",
        "/EmitEvent",
        "/",
        "//",
        "/posthorn.v1.EventService/",
    ] {
        let answer = target.send(path, frame(false, &[])).await;
        assert_eq!(answer.code, Some(Code::Unimplemented), "{path}: {answer:?}");
    }
}

async fn garbage_is_the_callers_fault_in_every_rpc(store: StoreKind) {
    let target = Target::start(store).await;
    let node_key = &target.deployment.node_key;
    for rpc in rpcs() {
        let is_nodes = rpc.path.contains("NodeService");
        let key = if is_nodes { node_key } else { &target.key };
        for (what, message) in [
            ("no protobuf", b"\xff\xff\xff\xff\xff\xff".to_vec()),
            ("cut short", b"\x0a\x05ab".to_vec()),
            (
                "a wrong wire type",
                b"\x09\x00\x00\x00\x00\x00\x00\x00\x00".to_vec(),
            ),
            ("text that is not UTF-8", field(1, b"\xff\xfe")),
            ("a group that never ends", b"\x0b".to_vec()),
            ("field number 0", b"\x02\x00".to_vec()),
        ] {
            let call = call(target.addr, &rpc.path, key);
            let answer = send(target.addr, call, frame(false, &message)).await;
            // Not every message has a field 1 that these bytes do not fit.
            let fits = ["a wrong wire type", "text that is not UTF-8"].contains(&what);
            let refused = answer.code == Some(Code::InvalidArgument);
            let denied = answer.code == Some(Code::PermissionDenied) && rpc.installation_only;
            let known = !matches!(answer.code, None | Some(Code::Internal | Code::Unknown));
            assert!(
                refused || denied || fits && known,
                "{}: {what}: {answer:?}",
                rpc.path
            );
        }
    }
    target.assert_well().await;
}

/// The message of a good emit.
fn good_emit() -> Vec<u8> {
    [field(2, b"order.paid"), field(3, b"{}")].concat()
}

async fn a_message_that_is_not_whole_changes_nothing(store: StoreKind) {
    let target = Target::start(store).await;
    let admin = &target.deployment.admin;
    admin
        .create_endpoint(&target.deployment.receiver.url("/"), &["*"])
        .await;
    let whole = frame(false, &good_emit());
    let mut too_long = whole.clone();
    too_long[4] += 1;
    for (what, body) in [
        ("no message", Vec::new()),
        ("half a prefix", whole[..3].to_vec()),
        ("half a message", whole[..whole.len() - 1].to_vec()),
        ("a prefix that promises more", too_long),
        ("two messages", [whole.clone(), whole.clone()].concat()),
        ("an unknown flag", [&[7], &whole[1..]].concat()),
    ] {
        let answer = target.send(EMIT, body).await;
        let bad = matches!(
            answer.code,
            None | Some(Code::Ok | Code::Internal | Code::Unknown)
        );
        assert!(!bad, "{what}: {answer:?}");
    }
    let answer = target.send(EMIT, whole).await;
    assert_eq!(answer.code, Some(Code::Ok), "{answer:?}");
    let received = target.deployment.receiver.received("/");
    received.await_count(1, DEADLINE).await;
    assert_eq!(received.count(), 1);
}

async fn a_message_over_the_limit_is_refused(store: StoreKind) {
    let target = Target::start(store).await;
    let payload = vec![b'1'; 4 * 1024 * 1024];
    let message = [field(2, b"order.paid"), field(3, &payload)].concat();
    let announced = [&[0][..], &u32::MAX.to_be_bytes(), b"x"].concat();
    for body in [frame(false, &message), announced] {
        let answer = target.send(EMIT, body).await;
        let codes = [Some(Code::OutOfRange), Some(Code::ResourceExhausted)];
        assert!(codes.contains(&answer.code), "{answer:?}");
    }
    target.assert_well().await;
}

async fn compression_that_was_not_agreed_is_refused(store: StoreKind) {
    let target = Target::start(store).await;
    let good = good_emit();
    let without = target.call(EMIT);
    let brotli = target.call(EMIT).header("grpc-encoding", "br");
    for call in [without, brotli] {
        let answer = send(target.addr, call, frame(true, &good)).await;
        let bad = matches!(
            answer.code,
            None | Some(Code::Ok | Code::Internal | Code::Unknown)
        );
        assert!(!bad, "{answer:?}");
    }
    target.assert_well().await;
}

async fn case_13_messages_in_gzip_are_taken_up_to_the_limit_of_what_they_unpack_to(
    store: StoreKind,
) {
    let target = Target::start(store).await;
    let packed = |message: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(message).expect("memory takes it");
        encoder.finish().expect("memory takes it")
    };
    let ask = async |member: &[u8]| {
        let call = target.call(EMIT).header("grpc-encoding", "gzip");
        send(target.addr, call, frame(true, member)).await.code
    };
    assert_eq!(ask(&packed(&good_emit())).await, Some(Code::Ok));
    // A client that compresses only what is long sends the rest as it is.
    let call = target.call(EMIT).header("grpc-encoding", "gzip");
    let plain = send(target.addr, call, frame(false, &good_emit())).await;
    assert_eq!(plain.code, Some(Code::Ok));

    let long = vec![b'1'; 200 * 1024];
    let long = [field(2, b"order.paid"), field(3, &long)].concat();
    assert_eq!(ask(&packed(&long)).await, Some(Code::Ok));
    let bomb = packed(&vec![0; 5 * 1024 * 1024]);
    assert!(bomb.len() < 16 * 1024);
    assert_eq!(ask(&bomb).await, Some(Code::OutOfRange));
    let mut lies = bomb;
    let end = lies.len() - 4;
    lies[end..].copy_from_slice(&100_u32.to_le_bytes());
    for member in [&lies[..], b"no gzip, but long enough\0\0\0\0", b"", b"x"] {
        assert_eq!(ask(member).await, Some(Code::InvalidArgument));
    }
    target.assert_well().await;
}

async fn a_deadline_is_kept_whatever_it_says(store: StoreKind) {
    let target = Target::start(store).await;
    for (value, expected) in [
        ("0n", &[Code::DeadlineExceeded, Code::Cancelled][..]),
        ("1n", &[Code::DeadlineExceeded, Code::Cancelled]),
        ("99999999H", &[Code::Ok]),
        ("30S", &[Code::Ok]),
        ("soon", &[Code::Ok, Code::InvalidArgument]),
        ("-1S", &[Code::Ok, Code::InvalidArgument]),
        ("999999999999S", &[Code::Ok, Code::InvalidArgument]),
    ] {
        let call = target.call(GET_TENANT).header("grpc-timeout", value);
        let answer = send(target.addr, call, frame(false, &[])).await;
        let code = answer.code.unwrap_or(Code::Unknown);
        assert!(expected.contains(&code), "{value}: {answer:?}");
    }
}

async fn another_content_type_is_refused(store: StoreKind) {
    let target = Target::start(store).await;
    for content_type in ["application/json", "text/plain"] {
        let mut call = target.call(GET_TENANT);
        let headers = call.headers_mut().expect("the call is well-formed");
        headers.insert("content-type", content_type.parse().expect("it is a value"));
        let answer = send(target.addr, call, frame(false, &[])).await;
        let refused = answer.http_status == 415 || answer.code != Some(Code::Ok);
        assert!(refused && answer.code != Some(Code::Internal), "{answer:?}");
    }
}

async fn http_1_is_refused(store: StoreKind) {
    let target = Target::start(store).await;
    let mut stream = raw::connect(target.addr).await;
    let request = format!("POST {GET_TENANT} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n");
    stream
        .write_all(request.as_bytes())
        .await
        .expect("it reads");
    let mut answer = Vec::new();
    // Either an end or a reset will do.
    let reading = timeout(DEADLINE, stream.read_to_end(&mut answer)).await;
    reading.expect("the connection is closed").ok();
    assert!(!answer.starts_with(b"HTTP/1.1 200"), "{answer:?}");
    target.assert_well().await;
}

async fn unknown_fields_are_ignored(store: StoreKind) {
    let target = Target::start(store).await;
    let mut message = GetTenantRequest::default().encode_to_vec();
    message.extend(field(999, b"from a later version"));
    let answer = target.send(GET_TENANT, frame(false, &message)).await;
    assert_eq!(answer.code, Some(Code::Ok), "{answer:?}");
}
