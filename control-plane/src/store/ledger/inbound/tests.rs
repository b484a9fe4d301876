//! The statements on SQLite; the suite runs them on both databases.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::*;
use crate::{
    entropy::Entropy,
    model::{
        claim::ClaimKey,
        event::Event,
        event_type::EventTypeName,
        id::{EndpointId, Shard, TenantId},
        inbound::{Channel, Head, Part},
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
    let rng = &mut Entropy::system();
    (TenantId::new(NOW_MS, rng), SourceId::new(NOW_MS, rng))
}

/// A request with this id of the provider; without one it claims its body.
fn row((tenant_id, source_id): (TenantId, SourceId), id: &str, body: &str) -> InboundRow {
    let rng = &mut Entropy::system();
    let body_hash: [u8; 32] = Sha256::digest(body).into();
    let identity = posthorn_verify::identity("test", id, "a.b");
    let claim = identity.claim.map(|claim| ClaimKey::of(id, &claim));
    let request = InboundRequest {
        id: InboundId::new(NOW_MS, Shard::of(tenant_id), rng),
        tenant_id,
        source_id,
        verdict: Verdict::Accepted,
        reason: String::new(),
        channel: Channel::Webhook,
        claim: claim.unwrap_or_else(|| ClaimKey::of_body(id, &body_hash)),
        part: Part::Whole,
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
        batch_id: None,
        headers: vec![("x-a".to_owned(), "b".to_owned())],
    };
    let emit = EmitRow {
        event: Arc::new(event),
        endpoints: vec![EndpointId::new(NOW_MS, rng)],
        key: None,
    };
    InboundRow {
        request,
        brings: Brings::Event(emit),
        window_ms: None,
        on_conflict: OnConflict::Record,
    }
}

/// The row, received so much later.
fn later(row: InboundRow, after_ms: i64) -> InboundRow {
    let received_at = row.request.received_at + after_ms;
    let request = InboundRequest {
        received_at,
        ..row.request
    };
    InboundRow { request, ..row }
}

/// The row with a window of a second.
fn windowed(row: InboundRow) -> InboundRow {
    InboundRow {
        window_ms: Some(1_000),
        ..row
    }
}

/// A batch of these items.
fn batch(source: (TenantId, SourceId), items: Vec<InboundRow>) -> Vec<InboundRow> {
    let body = Bytes::from_static(b"[]");
    let mut whole = row(source, "", "[]");
    let claims = items.iter().map(|item| item.request.claim);
    let claims = claims.collect::<Vec<_>>();
    whole.request.claim = ClaimKey::of_batch("", &whole.request.body_hash, &claims);
    whole.request.part = Part::Batch;
    whole.brings = Brings::Batch(body);
    let batch_id = whole.request.id;
    let items = items.into_iter().map(|mut item| {
        item.request.part = Part::Item(batch_id);
        item
    });
    std::iter::once(whole).chain(items).collect()
}

fn original_of(row: &InboundRow, has_same_body: bool) -> Original {
    Original {
        id: row.request.id,
        posted_id: row.request.part.batch().unwrap_or(row.request.id),
        has_same_body,
        answer: None,
    }
}

fn same(row: &InboundRow) -> Receipt {
    Receipt::Duplicate(original_of(row, true))
}

fn other(row: &InboundRow) -> Receipt {
    Receipt::Conflict(original_of(row, false))
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
    let (source, elsewhere) = (source(), source());
    let rows = [
        row(source, "1", "a"),
        row(source, "1", "a"),
        row(source, "1", "b"),
        row(elsewhere, "1", "b"),
        row(source, "", "a"),
    ];
    let receipts = [
        Receipt::New,
        same(&rows[0]),
        other(&rows[0]),
        Receipt::New,
        Receipt::New,
    ];
    assert_eq!(store.inbound_batch(&rows).await.unwrap(), receipts);
    let later = [row(source, "1", "b"), row(source, "", "a")];
    assert_eq!(
        store.inbound_batch(&later).await.unwrap(),
        [other(&rows[0]), same(&rows[4])]
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
    let written = rows[0].emit().unwrap();
    assert_eq!(found.as_ref(), Some(written.event.as_ref()));
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
        posted_id: id,
        has_same_body: true,
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
        let InboundRow { request, .. } = row(source, "", body);
        KeptRow {
            request: InboundRequest {
                verdict: Verdict::Rejected,
                reason: "wrong_signature".to_owned(),
                ..request
            },
            body: Some(Bytes::from_static(body.as_bytes())),
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

#[tokio::test]
async fn what_claims_only_itself_is_accepted_each_time() {
    let (store, _folder) = store().await;
    let source = source();
    let rows = [(); 3].map(|()| {
        let mut row = row(source, "", "a");
        row.request.claim = ClaimKey::own("", row.request.id);
        row
    });
    for _ in 0..2 {
        let receipts = store.inbound_batch(&rows).await.unwrap();
        assert_eq!(receipts, vec![Receipt::New; 3]);
    }
}

#[tokio::test]
async fn a_window_holds_until_its_last_millisecond_and_no_longer() {
    let (store, _folder) = store().await;
    let source = source();
    let at = |after_ms| windowed(later(row(source, "", "a"), after_ms));
    // All at once, the edges within one commit.
    let rows = [at(0), at(999), at(1_000), at(1_999), at(2_000), at(1_500)];
    let receipts = [
        Receipt::New,
        same(&rows[0]),
        Receipt::New,
        same(&rows[2]),
        Receipt::New,
    ];
    let written = store.inbound_batch(&rows).await.unwrap();
    // Which of those that hold the claim one after the other a row meets depends on the rounds; none is lost that should
    // be an event.
    assert_eq!(written[..1], receipts[..1]);
    for place in [0, 2, 4] {
        assert_eq!(written[place], Receipt::New, "{place}");
    }
    for place in [1, 3, 5] {
        assert!(matches!(written[place], Receipt::Duplicate(_)), "{place}");
    }
    // Repeated as a whole it is as it was.
    let again = store.inbound_batch(&rows).await.unwrap();
    for place in [0, 2, 4] {
        assert_eq!(again[place], Receipt::New, "{place}");
    }
    // And one by one.
    for (after_ms, is_new) in [(2_999, false), (3_000, true), (3_001, false), (9_000, true)] {
        let receipts = store.inbound_batch(&[at(after_ms)]).await.unwrap();
        assert_eq!(receipts[0] == Receipt::New, is_new, "{after_ms}");
    }
}

#[tokio::test]
async fn other_bytes_under_a_claim_are_an_event_each_where_a_source_says_so() {
    let (store, _folder) = store().await;
    let source = source();
    let emits = |body| InboundRow {
        on_conflict: OnConflict::Emit,
        ..row(source, "1", body)
    };
    let rows = [emits("a"), emits("b"), emits("b"), emits("c"), emits("a")];
    let receipts = [
        Receipt::New,
        Receipt::New,
        same(&rows[1]),
        Receipt::New,
        same(&rows[0]),
    ];
    for _ in 0..2 {
        assert_eq!(store.inbound_batch(&rows).await.unwrap(), receipts);
    }
    let later = store.inbound_batch(&[emits("c")]).await.unwrap();
    assert_eq!(later, [same(&rows[3])]);
}

#[tokio::test]
async fn a_batch_is_its_new_items_and_a_whole_repeat_of_it_is_one_record() {
    let (store, _folder) = store().await;
    let source = source();
    let items = |bodies: &[&str]| {
        let items = bodies.iter().map(|body| row(source, body, body));
        batch(source, items.collect())
    };
    let first = items(&["a", "b"]);
    for _ in 0..2 {
        let receipts = store.inbound_batch(&first).await.unwrap();
        assert_eq!(receipts, vec![Receipt::New; 3]);
    }
    let body = store.inbound_body(&first[0].request).await.unwrap();
    assert_eq!(body.as_deref(), Some(&b"[]"[..]));

    let other = items(&["b", "c"]);
    let receipts = store.inbound_batch(&other).await.unwrap();
    assert_eq!(receipts, [Receipt::New, same(&first[2]), Receipt::New]);
    let whole = items(&["a", "b"]);
    let receipts = store.inbound_batch(&whole).await.unwrap();
    assert_eq!(
        receipts,
        [same(&first[0]), same(&first[1]), same(&first[2])]
    );

    let get = async |row: &InboundRow| store.inbound_get(source.0, row.request.id).await.unwrap();
    assert_eq!(
        get(&first[1]).await.unwrap().part,
        Part::Item(first[0].request.id)
    );
    assert_eq!(get(&other[1]).await.unwrap().verdict, Verdict::Duplicate);
    let repeat = get(&whole[0]).await.unwrap();
    assert_eq!(repeat.original_id, Some(first[0].request.id));
    assert_eq!(get(&whole[1]).await, None, "its own record says it for all");
    let body = store.inbound_body(&repeat).await.unwrap();
    assert_eq!(body.as_deref(), Some(&b"[]"[..]));
}
