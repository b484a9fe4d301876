//! Ids, there and back.

use proptest::prelude::*;
use rand::{SeedableRng, rngs::StdRng};

use super::*;

#[test]
fn an_event_id_carries_its_shard_and_time() {
    let mut rng = StdRng::seed_from_u64(1);
    let id = EventId::new(1_764_000_000_123, Shard(201), &mut rng);
    assert_eq!(id.shard(), Shard(201));
    assert_eq!(id.created_at(), 1_764_000_000_123);
    assert_eq!(id.uuid().get_version_num(), 7);
}

#[test]
fn a_delivery_id_names_its_event() {
    let mut rng = StdRng::seed_from_u64(2);
    let event = EventId::new(1_764_000_000_123, Shard(7), &mut rng);
    let (first, last) = event.delivery_range();
    for ordinal in [1, 2, 255, 256, DELIVERIES_PER_EVENT_MAX] {
        let delivery = event.delivery(ordinal);
        assert_eq!(delivery.event(), event);
        assert_eq!(delivery.shard(), Shard(7));
        assert!(first <= delivery && delivery <= last);
    }
}

#[test]
fn text_that_is_no_id_is_refused() {
    for text in [
        "",
        "evt",
        "evt_",
        "evt_0000000000000000000000000",
        "evt_000000000000000000000000000",
        "evt_80000000000000000000000000",
        "evt_0000000000000000000000000U",
        "evt_0000000000000000000000000l",
        "dlv_00000000000000000000000000",
        "EVT_00000000000000000000000000",
    ] {
        assert!(text.parse::<EventId>().is_err(), "{text}");
    }
}

proptest! {
    #[test]
    fn text_and_back_is_the_same_id(value: u128) {
        let id = TenantId::from_uuid(Uuid::from_u128(value));
        prop_assert_eq!(id.to_string().parse::<TenantId>(), Ok(id));
    }

    #[test]
    fn ids_sort_as_their_text_does(a: u128, b: u128) {
        let (a, b) = (KeyId::from_uuid(Uuid::from_u128(a)), KeyId::from_uuid(Uuid::from_u128(b)));
        prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
    }
}
