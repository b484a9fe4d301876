//! The statements on SQLite; the suite runs them on both databases.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::*;
use crate::{
    clock,
    model::{
        event::Event,
        event_type::EventTypeName,
        id::{EndpointId, TenantId},
        inbound::{Channel, Head, claim},
    },
};

const NOW_MS: i64 = 1_790_000_000_000;

async fn store() -> (Store, TempDir) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("test.db");
    let store = Store::open(&format!("sqlite:{}", path.display())).await;
    (store.unwrap(), folder)
}

/// A tenant and a source of the test. Inbound tables refer to neither.
fn source() -> (TenantId, SourceId) {
    let rng = &mut clock::rng();
    (TenantId::new(NOW_MS, rng), SourceId::new(NOW_MS, rng))
}

fn row((tenant_id, source_id): (TenantId, SourceId), id: &str, body: &str) -> InboundRow {
    let rng = &mut clock::rng();
    let body_hash: [u8; 32] = Sha256::digest(body).into();
    let request = InboundRequest {
        id: InboundId::new(NOW_MS, tenant_id.shard(), rng),
        tenant_id,
        source_id,
        verdict: Verdict::Accepted,
        reason: String::new(),
        channel: Channel::Webhook,
        claim: claim(id, &body_hash),
        provider_event_id: id.to_owned(),
        event_type: EventTypeName::parse("a.b").unwrap(),
        original_id: None,
        body_hash,
        body_bytes: u32::try_from(body.len()).unwrap(),
        head: Head::default(),
        remote_address: "192.0.2.7".to_owned(),
        received_at: NOW_MS,
        answer_status: 200,
        held: false,
    };
    let event = Event {
        id: request.id.event(),
        tenant_id,
        event_type: request.event_type.clone(),
        payload: Bytes::copy_from_slice(body.as_bytes()),
        content_type: "application/json".to_owned(),
        occurred_at: NOW_MS,
        delivery_count: 1,
        traceparent: None,
        source_id: Some(source_id),
        headers: vec![("x-a".to_owned(), "b".to_owned())],
    };
    let emit = EmitRow {
        event: Arc::new(event),
        endpoints: vec![EndpointId::new(NOW_MS, rng)],
        key: None,
    };
    InboundRow { request, emit }
}

fn original(row: &InboundRow) -> Original {
    Original {
        id: row.request.id,
        answer: None,
    }
}

fn answer(body: &str) -> Answer {
    Answer {
        status: 201,
        headers: vec![("x-a".to_owned(), "b".to_owned())],
        body: body.into(),
    }
}

#[tokio::test]
async fn the_first_of_a_claim_is_accepted_and_others_repeat_it_within_a_batch_and_after_it() {
    let (store, _folder) = store().await;
    let (source, other) = (source(), source());
    let rows = [
        row(source, "1", "a"),
        row(source, "1", "a"),
        row(source, "1", "b"),
        row(other, "1", "b"),
        row(source, "", "a"),
    ];
    let first = original(&rows[0]);
    let receipts = [
        Receipt::New,
        Receipt::Duplicate(first.clone()),
        Receipt::Conflict(first.clone()),
        Receipt::New,
        Receipt::New,
    ];
    assert_eq!(store.inbound_batch(&rows).await.unwrap(), receipts);
    let later = [row(source, "1", "b"), row(source, "", "a")];
    let unnamed = original(&rows[4]);
    assert_eq!(
        store.inbound_batch(&later).await.unwrap(),
        [Receipt::Conflict(first), Receipt::Duplicate(unnamed)]
    );
}

#[tokio::test]
async fn a_batch_that_is_repeated_hears_the_same_and_changes_nothing() {
    let (store, _folder) = store().await;
    let source = source();
    let rows = [
        row(source, "1", "a"),
        row(source, "1", "a"),
        row(source, "1", "b"),
    ];
    let receipts = store.inbound_batch(&rows).await.unwrap();
    assert_eq!(store.inbound_batch(&rows).await.unwrap(), receipts);
    let event = rows[0].request.id.event();
    let found = store.event_get(source.0, event).await.unwrap();
    assert_eq!(found.as_ref(), Some(rows[0].emit.event.as_ref()));
    for lost in &rows[1..] {
        let event = lost.request.id.event();
        assert_eq!(store.event_get(source.0, event).await.unwrap(), None);
    }
}

#[tokio::test]
async fn an_answer_is_computed_once_and_repeats_get_it() {
    let (store, _folder) = store().await;
    let source = source();
    let first = row(source, "1", "a");
    let id = first.request.id;
    store.inbound_batch(&[first]).await.unwrap();
    let one = answer("one");
    assert!(store.inbound_answer(id, &one).await.unwrap());
    assert!(!store.inbound_answer(id, &answer("two")).await.unwrap());
    let repeat = row(source, "1", "a");
    let repeat_id = repeat.request.id;
    let receipts = store.inbound_batch(&[repeat]).await.unwrap();
    let original = Original {
        id,
        answer: Some(one),
    };
    assert_eq!(receipts, [Receipt::Duplicate(original)]);
    let own = store.inbound_answer(repeat_id, &answer("two")).await;
    assert!(!own.unwrap(), "a repeat has no answer of its own");
}

#[tokio::test]
async fn what_is_kept_without_being_accepted_is_counted_by_source() {
    let (store, _folder) = store().await;
    let source = source();
    let kept = ["a", "bc"].map(|body| {
        let InboundRow { request, emit } = row(source, "", body);
        KeptRow {
            request: InboundRequest {
                verdict: Verdict::Rejected,
                reason: "wrong_signature".to_owned(),
                ..request
            },
            body: Some(emit.event.payload.clone()),
        }
    });
    for _ in 0..2 {
        store.inbound_keep(&kept).await.unwrap();
    }
    store.inbound_batch(&[row(source, "", "a")]).await.unwrap();
    let counts = store.inbound_kept().await.unwrap();
    let counts = counts
        .iter()
        .map(|count| (count.source_id(), count.records, count.bytes));
    assert_eq!(counts.collect::<Vec<_>>(), [(source.1, 2, 3)]);
}

#[test]
fn another_body_is_a_conflict_unless_a_list_showed_one_of_them() {
    let (first, second) = (row(source(), "1", "a").request, row(source(), "1", "b"));
    for (channel, original_channel, verdict) in [
        (Channel::Webhook, Channel::Webhook, Verdict::Conflict),
        (Channel::Webhook, Channel::Poll, Verdict::Duplicate),
        (Channel::Poll, Channel::Webhook, Verdict::Duplicate),
        (Channel::Poll, Channel::Poll, Verdict::Duplicate),
    ] {
        let repeat = InboundRequest {
            channel,
            ..second.request.clone()
        };
        let found = repeated(&repeat, &first.body_hash, original_channel.column());
        assert_eq!(found, verdict, "{channel:?} after {original_channel:?}");
    }
    let same = repeated(&first, &first.body_hash, Channel::Webhook.column());
    assert_eq!(same, Verdict::Duplicate);
}
