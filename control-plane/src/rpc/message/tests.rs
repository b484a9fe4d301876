//! Messages as they come: cut, long, late, too many.

use http_body::Body as _;
use tokio::sync::mpsc;
use tonic::Code;

use super::*;
use crate::{
    config::Limits,
    rpc::{
        access::{Kind, kinds},
        calls::fixture::{caller, claim, room},
    },
};

/// A body whose data the test sends.
struct Sent(mpsc::UnboundedReceiver<Bytes>);

impl http_body::Body for Sent {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let data = ready!(self.0.poll_recv(context));
        Poll::Ready(data.map(|data| Ok(Frame::data(data))))
    }
}

/// A call, and what its body brings.
struct Line {
    messages: Messages,
    sender: Option<mpsc::UnboundedSender<Bytes>>,
    claim: Claim,
    paid: Paid,
}

impl Line {
    fn new(kind: &'static Kind, path: &str) -> Self {
        Self::within(kind, path, &Limits::default())
    }

    fn within(kind: &'static Kind, path: &str, limits: &Limits) -> Self {
        let room = room(limits);
        let claim = claim(&room, limits, Some(&caller(1, 1)), kind);
        let (sender, receiver) = mpsc::unbounded_channel();
        let (shape, paid) = (claim.schema().input(path), Paid::default());
        let body = Body::new(Sent(receiver));
        Self {
            messages: Messages::new(body, claim.clone(), shape, paid.clone(), true),
            sender: Some(sender),
            claim,
            paid,
        }
    }

    fn send(&self, bytes: &[u8]) {
        let sender = self.sender.as_ref().unwrap();
        sender.send(Bytes::copy_from_slice(bytes)).unwrap();
    }

    async fn next(&mut self) -> Option<Result<Bytes, Status>> {
        let messages = &mut self.messages;
        let frame = std::future::poll_fn(|context| Pin::new(&mut *messages).poll_frame(context));
        let frame = frame.await;
        frame.map(|frame| frame.map(|frame| frame.into_data().unwrap()))
    }

    async fn code(&mut self) -> Code {
        self.next().await.unwrap().unwrap_err().code()
    }
}

const EMIT: &str = "/posthorn.v1.EventService/EmitEvent";
const FORWARD: &str = "/posthorn.node.v1.NodeService/Forward";
const EMITS: &str = "/posthorn.v1.EventService/EmitEvents";
/// A message with a field that no method knows.
const GOOD: &[u8] = &[0, 0, 0, 0, 4, 0xa2, 6, 1, b'a'];

#[tokio::test]
async fn messages_pass_however_they_are_cut() {
    for cut in 0..=GOOD.len() {
        let mut line = Line::new(kinds::EMITS, "");
        line.send(&GOOD[..cut]);
        line.send(&[&GOOD[cut..], &GOOD[..cut]].concat());
        line.send(&GOOD[cut..]);
        line.sender = None;
        for _ in 0..2 {
            assert_eq!(line.next().await.unwrap().unwrap(), GOOD, "{cut}");
        }
        assert!(line.next().await.is_none(), "{cut}");
    }
}

#[tokio::test]
async fn a_plain_call_has_one_message() {
    for parts in [&[GOOD, GOOD][..], &[&[GOOD, &[0]].concat()]] {
        let mut line = Line::new(kinds::EMIT, EMIT);
        for part in parts {
            line.send(part);
        }
        let mut result = line.next().await.unwrap();
        if result.is_ok() {
            result = line.next().await.unwrap();
        }
        assert_eq!(result.unwrap_err().code(), Code::InvalidArgument);
        assert!(line.next().await.is_none());
    }
}

#[tokio::test]
async fn a_message_that_is_cut_off_is_none() {
    for end in 1..GOOD.len() {
        let mut line = Line::new(kinds::EMITS, EMITS);
        line.send(&GOOD[..end]);
        line.sender = None;
        assert_eq!(line.code().await, Code::InvalidArgument, "{end}");
    }
}

#[tokio::test]
async fn what_is_announced_over_the_limit_is_refused_before_it_comes() {
    for (kind, path) in [
        (kinds::OPEN, "/grpc.health.v1.Health/Watch"),
        (kinds::GET, "/posthorn.v1.TenantService/GetTenant"),
        (kinds::EMITS, EMITS),
    ] {
        let mut line = Line::new(kind, path);
        let length = u32::try_from(kind.bytes_max + 1).unwrap();
        line.send(&[&[0][..], &length.to_be_bytes()].concat());
        assert_eq!(line.code().await, Code::OutOfRange, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_message_and_each_that_began_must_come_in_time() {
    for (kind, parts) in [
        (kinds::EMITS, &[][..]),
        (kinds::EMITS, &[&GOOD[..3]]),
        (kinds::EMITS, &[&GOOD[..7]]),
        (kinds::EMIT, &[&GOOD[..7]]),
        (kinds::EMITS, &[GOOD, &GOOD[..7]]),
        // Nothing follows the message of a plain call but its end.
        (kinds::EMIT, &[GOOD]),
    ] {
        let mut line = Line::new(kind, EMITS);
        for part in parts {
            line.send(part);
        }
        let mut result = line.next().await.unwrap();
        if result.is_ok() {
            result = line.next().await.unwrap();
        }
        assert_eq!(
            result.unwrap_err().code(),
            Code::DeadlineExceeded,
            "{parts:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn between_its_messages_a_stream_may_be_silent() {
    let mut line = Line::new(kinds::EMITS, EMITS);
    line.send(GOOD);
    assert!(line.next().await.unwrap().is_ok());
    let hour = tokio::time::timeout(std::time::Duration::from_hours(1), line.next());
    assert!(hour.await.is_err());
    line.send(GOOD);
    assert!(line.next().await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn who_forwards_may_be_silent_from_the_start_but_not_within_a_message() {
    let mut line = Line::new(kinds::FORWARD, FORWARD);
    let hour = tokio::time::timeout(std::time::Duration::from_hours(1), line.next());
    assert!(hour.await.is_err());
    line.send(&GOOD[..3]);
    let late = line.next().await.unwrap().unwrap_err();
    assert_eq!(late.code(), Code::DeadlineExceeded);
}

#[tokio::test]
async fn items_over_the_limit_are_refused_with_words() {
    let many = [0x12, 0].repeat(kinds::EMITS.items_max + 1);
    let length = u32::try_from(many.len()).unwrap();
    let mut line = Line::new(kinds::EMITS, EMITS);
    line.send(&[&[0][..], &length.to_be_bytes(), &many].concat());
    let status = line.next().await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("more than 65536"), "{status}");
}

#[tokio::test]
async fn a_message_is_paid_for_before_it_comes_and_until_the_next_is_asked_for() {
    let limits = Limits {
        bytes_per_key: 1_000,
        ..Limits::default()
    };
    let mut line = Line::within(kinds::EMITS, EMITS, &limits);
    line.send(&[0, 0, 0, 3, 0xe8]);
    let mut context = Context::from_waker(std::task::Waker::noop());
    let polled = Pin::new(&mut line.messages).poll_frame(&mut context);
    assert!(polled.is_pending());
    assert!(line.claim.try_pay(1).is_err());
    // Field 15 is unknown: it holds no items.
    let field = [&[0x7a, 0xe5, 0x07][..], &[0; 997]].concat();
    line.send(&field);
    assert!(line.next().await.unwrap().is_ok());
    assert!(line.claim.try_pay(1).is_err());
    let kept = line.paid.take();
    line.send(&[0, 0, 0, 0, 1]);
    let polled = Pin::new(&mut line.messages).poll_frame(&mut context);
    assert!(polled.is_pending(), "its handler keeps the last message");
    drop(kept);
    line.send(&[0x7a]);
    assert_eq!(line.code().await, Code::InvalidArgument);
    assert!(line.claim.try_pay(1_000).is_ok());
}

#[tokio::test(start_paused = true)]
async fn items_are_paid_for_too() {
    let limits = Limits {
        bytes_per_key: 10 * ITEM_BYTES,
        ..Limits::default()
    };
    let mut line = Line::within(kinds::EMIT, EMITS, &limits);
    let message = [0x12, 0].repeat(10);
    line.send(&[&[0, 0, 0, 0, 20][..], &message].concat());
    assert_eq!(line.code().await, Code::ResourceExhausted);
}
