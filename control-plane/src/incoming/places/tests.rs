//! Who gets in, and who goes for it.

use std::task::{Context, Waker};

use super::{super::strangers::LINGERS, *};

struct Hall {
    places: Arc<Places>,
    now: Instant,
}

impl Hall {
    /// Two places for callers, one for a node, and so many for strangers, two of one address.
    fn new(strangers: usize) -> Self {
        let limits = Limits {
            connections: strangers + 3,
            strangers,
            strangers_per_address: 2,
            node_connections: 1,
            ..Limits::default()
        };
        Self {
            places: Places::new(limits, GrpcMetrics::default()),
            now: crate::clock::monotonic(),
        }
    }

    fn enter(&self, address: &str) -> Place {
        self.places.take(address.parse().unwrap(), self.now)
    }

    fn later(&mut self) {
        self.now += LINGERS + Duration::from_millis(1);
    }
}

fn is_away(place: &Place) -> bool {
    let away = place.peer().sent_away();
    let mut context = Context::from_waker(Waker::noop());
    std::pin::pin!(away).poll(&mut context).is_ready()
}

#[test]
fn a_newcomer_gets_in_and_the_oldest_of_the_heaviest_address_goes() {
    let hall = Hall::new(4);
    let lone = hall.enter("192.0.2.1");
    let crowd = ["a", "b", "c"].map(|_| hall.enter("192.0.2.2"));
    let newcomer = hall.enter("192.0.2.3");
    assert!(is_away(&crowd[0]));
    let others = [&lone, &crowd[1], &crowd[2], &newcomer];
    assert!(!others.into_iter().any(is_away));
}

#[test]
fn a_stranger_with_a_call_goes_after_those_without() {
    let hall = Hall::new(3);
    let oldest = hall.enter("192.0.2.1");
    let call = oldest.peer().begin();
    let others = ["192.0.2.1", "192.0.2.1"].map(|address| hall.enter(address));
    let _newcomer = hall.enter("192.0.2.2");
    assert!(!is_away(&oldest) && is_away(&others[0]));
    drop(call);
    let _newcomer = hall.enter("192.0.2.3");
    assert!(is_away(&oldest));
}

#[test]
fn an_address_has_so_many_strangers_that_linger_but_a_burst_gets_in() {
    let mut hall = Hall::new(100);
    let burst = [0; 10].map(|_| hall.enter("2001:db8::1"));
    assert!(!burst.iter().any(is_away));
    hall.later();
    let _more = hall.enter("2001:db8::2");
    assert!(is_away(&burst[0]) && !is_away(&burst[1]));
    let _elsewhere = hall.enter("2001:db8:0:1::1");
    assert!(!is_away(&burst[1]));
}

#[test]
fn whoever_showed_a_key_keeps_its_place_whatever_strangers_do() {
    let hall = Hall::new(1);
    let caller = hall.enter("192.0.2.1");
    caller.peer().know(Standing::Caller).unwrap();
    for _ in 0..10 {
        drop(hall.enter("192.0.2.1"));
        let _stays = hall.enter("192.0.2.1");
    }
    assert!(!is_away(&caller));
}

#[test]
fn the_longest_idle_caller_goes_for_another_and_nodes_have_a_place_of_their_own() {
    let hall = Hall::new(3);
    let [first, second, third] = ["1", "2", "3"].map(|_| hall.enter("192.0.2.1"));
    let calls = [first.peer().begin(), second.peer().begin()];
    first.peer().know(Standing::Caller).unwrap();
    second.peer().know(Standing::Caller).unwrap();
    let full = third.peer().know(Standing::Caller).unwrap_err();
    assert!(full.to_string().contains("--grpc-connections"), "{full}");
    third.peer().know(Standing::Node).unwrap();
    drop(calls);
    second.peer().looked(3);
    let fourth = hall.enter("192.0.2.1");
    fourth.peer().know(Standing::Caller).unwrap();
    assert!(is_away(&second) && !is_away(&first) && !is_away(&third));
}

#[test]
fn a_place_comes_back_when_its_connection_ends() {
    let hall = Hall::new(1);
    let node = hall.enter("192.0.2.1");
    node.peer().know(Standing::Node).unwrap();
    let caller = hall.enter("192.0.2.1");
    caller.peer().know(Standing::Caller).unwrap();
    let stranger = hall.enter("192.0.2.1");
    drop((node, caller, stranger));
    let held = hall.places.lock();
    let counts = (held.strangers.len(), held.callers.len(), held.nodes);
    assert_eq!(counts, (0, 0, 0));
}
