use std::{task::Waker, time::Duration};

use posthorn::node::v1::Header;

use super::*;
use crate::clock;

struct World {
    book: Book,
    stream: u64,
    now: Instant,
    answers: HashMap<u64, oneshot::Receiver<ForwardedAnswer>>,
}

impl World {
    fn new() -> Self {
        let mut book = Book::default();
        let stream = book.open();
        let now = clock::now();
        let answers = HashMap::new();
        Self {
            book,
            stream,
            now,
            answers,
        }
    }

    fn enter(&mut self, body: usize, more: bool) -> u64 {
        self.enter_request(ForwardedRequest {
            body: vec![b'b'; body].into(),
            more,
            ..ForwardedRequest::default()
        })
    }

    fn enter_request(&mut self, request: ForwardedRequest) -> u64 {
        let (sender, receiver) = oneshot::channel();
        let number = self
            .book
            .enter(request, None, self.now, sender)
            .expect("it is open");
        self.answers.insert(number, receiver);
        number
    }

    fn part(&mut self, number: u64, bytes: usize, more: bool) -> oneshot::Receiver<()> {
        let (left, leaves) = oneshot::channel();
        let data = vec![b'p'; bytes].into();
        self.book.add_part(number, data, more, None, left);
        leaves
    }

    fn message(&mut self) -> Option<ForwardRequest> {
        match self.book.next(self.stream, self.now, Waker::noop()) {
            Next::Message(message) => Some(message),
            Next::Nothing | Next::End => None,
        }
    }
}

fn numbers(message: &ForwardRequest) -> Vec<u64> {
    message
        .requests
        .iter()
        .map(|request| request.number)
        .collect()
}

#[test]
fn what_gathers_goes_as_one_message_in_order_and_with_its_age() {
    let mut world = World::new();
    let numbered: Vec<u64> = (0..3).map(|_| world.enter(10, false)).collect();
    world.now += Duration::from_millis(7);
    let message = world.message().expect("a message");
    assert_eq!(numbers(&message), numbered);
    assert!(numbered.is_sorted());
    assert!(message.requests.iter().all(|request| request.age_ms == 7));
    assert_eq!(world.message(), None);
}

#[test]
fn a_message_has_its_limits() {
    let mut world = World::new();
    for _ in 0..600 {
        world.enter(0, false);
    }
    assert_eq!(world.message().expect("a message").requests.len(), 511 + 1);
    assert_eq!(
        world.message().expect("a message").requests.len(),
        600 - 512
    );
    let long_head = ForwardedRequest {
        path_query: "/".repeat(16 * 1024),
        ..ForwardedRequest::default()
    };
    for _ in 0..20 {
        world.enter_request(long_head.clone());
    }
    assert_eq!(world.message().expect("a message").requests.len(), 16);
    assert_eq!(world.message().expect("a message").requests.len(), 4);
    let many_headers = ForwardedRequest {
        headers: vec![Header::default(); 64],
        ..ForwardedRequest::default()
    };
    for _ in 0..60 {
        world.enter_request(many_headers.clone());
    }
    assert_eq!(world.message().expect("a message").requests.len(), 48);
    let rest = world.message().expect("a message");
    assert_eq!(rest.requests.len(), 12);
    for _ in 0..3 {
        world.enter(200 * 1024, false);
    }
    assert_eq!(world.message().expect("a message").requests.len(), 2);
    assert_eq!(world.message().expect("a message").requests.len(), 1);
}

#[test]
fn an_answer_is_for_the_one_who_waits_and_for_nobody_else() {
    let mut world = World::new();
    let number = world.enter(1, false);
    world.message().expect("a message");
    assert!(world.book.answered(number + 1).is_none());
    let sender = world.book.answered(number).expect("someone waits");
    assert!(world.book.answered(number).is_none());
    let answer = ForwardedAnswer {
        number,
        status: 200,
        ..ForwardedAnswer::default()
    };
    sender.send(answer).expect("it waits");
    let answer = world.answers.get_mut(&number).expect("it waits").try_recv();
    assert_eq!(answer.expect("an answer").status, 200);
    assert_eq!(world.book.entries.len(), 0);
}

#[test]
fn the_control_plane_hears_only_of_those_that_it_has_seen() {
    let mut world = World::new();
    let seen = world.enter(1, false);
    world.message().expect("a message");
    let unseen = world.enter(1, false);
    world.book.abandon(seen);
    world.book.abandon(unseen);
    let message = world.message().expect("a message");
    assert_eq!((message.abandoned, message.requests), (vec![seen], vec![]));
    world.book.abandon(seen);
    assert_eq!(world.message(), None);
    let many: Vec<u64> = (0..600).map(|_| world.enter(0, false)).collect();
    while world.message().is_some() {}
    for number in many {
        world.book.abandon(number);
    }
    let told = [0, 0].map(|_| world.message().expect("a message").abandoned.len());
    assert_eq!(told, [512, 88]);
}

#[test]
fn parts_follow_their_request_one_by_one_and_say_when_they_have_left() {
    let mut world = World::new();
    let number = world.enter(10, true);
    let mut leaves = world.part(number, 5, true);
    let message = world.message().expect("a message");
    assert_eq!(numbers(&message), [number]);
    let parts = message.parts;
    assert_eq!(
        (parts.len(), parts[0].number, parts[0].more),
        (1, number, true)
    );
    leaves.try_recv().expect("it has left");
    let mut leaves = world.part(number, 5, false);
    leaves.try_recv().expect_err("it has not left");
    assert!(!world.message().expect("a message").parts[0].more);
    leaves.try_recv().expect("it has left");
}

#[test]
fn bodies_take_turns_and_requests_have_half_of_a_message() {
    let mut world = World::new();
    let long: Vec<u64> = (0..8).map(|_| world.enter(0, true)).collect();
    world.message().expect("a message");
    for number in &long {
        drop(world.part(*number, 64 * 1024, true));
    }
    for _ in 0..300 {
        world.enter(1_024 - HEAD_BYTES, false);
    }
    let message = world.message().expect("a message");
    assert_eq!(message.parts.len(), 2);
    assert_eq!(message.requests.len(), 128);
    let mut came: Vec<u64> = message.parts.iter().map(|part| part.number).collect();
    while let Some(message) = world.message() {
        came.extend(message.parts.iter().map(|part| part.number));
    }
    assert_eq!(came, long);
}

#[test]
fn a_stream_that_ends_answers_everyone_and_takes_nobody() {
    let mut world = World::new();
    let number = world.enter(1, true);
    world.message().expect("a message");
    let mut leaves = world.part(number, 1, true);
    world.book.close();
    let answer = world.answers.get_mut(&number).expect("it waits").try_recv();
    answer.expect_err("there is none");
    leaves.try_recv().expect_err("it never leaves");
    assert!(matches!(
        world.book.next(world.stream, world.now, Waker::noop()),
        Next::End
    ));
    let (sender, _receiver) = oneshot::channel();
    let entered = world
        .book
        .enter(ForwardedRequest::default(), None, world.now, sender);
    assert_eq!(entered, None);
    drop(world.part(number, 1, true));
    world.book.abandon(number);
    let ended = world.stream;
    world.stream = world.book.open();
    assert!(world.enter(1, false) > number);
    let of_ended = world.book.next(ended, world.now, Waker::noop());
    assert!(matches!(of_ended, Next::End));
    assert!(world.message().expect("a message").abandoned.is_empty());
}
