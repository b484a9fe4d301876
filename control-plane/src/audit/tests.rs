//! What records say.

use posthorn::v1::{Endpoint, EndpointSettings, EndpointState, EventType};
use uuid::Uuid;

use super::{denials::DENIALS_PER_MINUTE_MAX, *};
use crate::{
    clock::Clock,
    entropy::Entropy,
    metrics::GrpcMetrics,
    model::id::{EndpointId, KeyId},
    registry::fixture,
    store::AuditFilter,
};

const NOW: i64 = 1_764_000_000_000;

fn changes(before: Option<&Endpoint>, after: Option<&Endpoint>) -> Vec<(String, String, String)> {
    let record = Record::of(None, "").changing(before, after);
    let side = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    let changes = record.changes.into_iter();
    changes
        .map(|change| (change.field, side(change.old), side(change.new)))
        .collect()
}

fn endpoint(url: &str, subscriptions: &[&str]) -> Endpoint {
    let subscriptions = subscriptions.iter().map(|&text| text.to_owned());
    Endpoint {
        settings: Some(EndpointSettings {
            url: url.to_owned(),
            subscriptions: subscriptions.collect(),
            ..EndpointSettings::default()
        }),
        state: EndpointState::Enabled.into(),
        etag: url.to_owned(),
        ..Endpoint::default()
    }
}

fn change(field: &str, old: &str, new: &str) -> (String, String, String) {
    (field.to_owned(), old.to_owned(), new.to_owned())
}

#[test]
fn a_record_names_the_fields_that_changed_by_their_paths() {
    let (one, other) = (endpoint("a", &["*"]), endpoint("b", &["x", "y"]));
    assert_eq!(changes(Some(&one), Some(&one)), []);
    let url = change("settings.url", "a", "b");
    let subscriptions = change("settings.subscriptions", r#"["*"]"#, r#"["x","y"]"#);
    let mut changed = changes(Some(&one), Some(&other));
    changed.sort();
    assert_eq!(changed, [subscriptions, url]);
    let paused = Endpoint {
        state: EndpointState::Paused.into(),
        ..one.clone()
    };
    let state = change("state", "ENDPOINT_STATE_ENABLED", "ENDPOINT_STATE_PAUSED");
    assert_eq!(changes(Some(&one), Some(&paused)), [state]);
}

#[test]
fn what_is_made_has_no_old_values_and_what_is_deleted_no_new_ones() {
    let one = endpoint("a", &[]);
    let mut made = changes(None, Some(&one));
    made.sort();
    let url = change("settings.url", "-", "a");
    assert_eq!(made, [url, change("state", "-", "ENDPOINT_STATE_ENABLED")]);
    let mut deleted = changes(Some(&one), None);
    deleted.sort();
    let url = change("settings.url", "a", "-");
    assert_eq!(
        deleted,
        [url, change("state", "ENDPOINT_STATE_ENABLED", "-")]
    );
}

#[test]
fn a_long_value_is_cut() {
    let long = EventType {
        description: "ä".repeat(VALUE_CHARS_MAX + 1),
        ..EventType::default()
    };
    let record = Record::of(None, "").changing(None, Some(&long));
    let shown = record.changes[0].new.clone().unwrap();
    assert_eq!(shown.chars().count(), VALUE_CHARS_MAX + 1);
    assert!(shown.ends_with('…'), "{shown}");
}

fn denial(key: u128) -> Denial {
    let key_id = KeyId::from_uuid(Uuid::from_u128(key));
    Denial {
        tenant_id: None,
        key_id,
        actor: Actor::Key {
            key_id,
            claimed: String::new(),
        },
        method: "EmitEvent",
        reason: "no role".to_owned(),
    }
}

/// Everything that is on record, the newest first.
pub(crate) async fn recorded(store: &Store) -> Vec<AuditRecord> {
    let filter = AuditFilter {
        through: Uuid::max(),
        limit: 10_000,
        ..AuditFilter::default()
    };
    store.audit_list(&filter).await.unwrap().rows
}

#[tokio::test]
async fn a_key_has_so_many_denials_a_minute_on_record() {
    let (store, _directory) = fixture::store().await;
    let (denials, waiting) =
        Denials::new(GrpcMetrics::default(), Clock::system(), Entropy::system());
    for _ in 0..2 * DENIALS_PER_MINUTE_MAX {
        denials.note_at(denial(1), NOW);
    }
    denials.note_at(denial(2), NOW);
    denials.note_at(denial(1), NOW + 60_000);
    drop(denials);
    waiting.keep(store.clone()).await;
    let found = recorded(&store).await;
    let of = |key: u128| {
        let id = KeyId::from_uuid(Uuid::from_u128(key));
        found
            .iter()
            .filter(|record| record.actor.key_id() == Some(id))
            .count()
    };
    assert_eq!([of(1), of(2)], [DENIALS_PER_MINUTE_MAX as usize + 1, 1]);
}

#[tokio::test]
async fn what_cannot_wait_or_be_written_is_given_up() {
    let (store, _directory) = fixture::store().await;
    let (denials, waiting) =
        Denials::new(GrpcMetrics::default(), Clock::system(), Entropy::system());
    for key in 0..2_000 {
        denials.note_at(denial(key), NOW);
    }
    drop(denials);
    store.execute("alter table audit rename to away").await;
    let lost = waiting.keep(store.clone());
    lost.await;
    store.execute("alter table away rename to audit").await;
    assert_eq!(recorded(&store).await, []);
}

#[tokio::test]
async fn old_records_are_forgotten() {
    let (store, _directory) = fixture::store().await;
    let target = EndpointId::from_uuid(Uuid::from_u128(1));
    for at in [NOW, NOW + 1, NOW + 2] {
        let record = Record::of(None, target).by_posthorn("RetireData", at, &mut Entropy::system());
        write_alone(&store, &[record]).await.unwrap();
    }
    assert_eq!(store.audit_retire(NOW + 2).await.unwrap(), 2);
    let left = recorded(&store).await;
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].recorded_at, NOW + 2);
}
