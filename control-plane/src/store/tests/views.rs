//! The views show what the tables hold as callers know it: words, ids with their prefixes, instants.

use std::collections::BTreeSet;

use posthorn_harness::Postgres;
use rand::{SeedableRng, rngs::StdRng};
use sqlx::AssertSqlSafe;
use tempfile::TempDir;
use uuid::Uuid;

use super::super::*;
use crate::{
    clock,
    model::{
        audit::AuditOutcome,
        delivery::{DeadReason, DeliveryActionKind, DeliveryState, ErrorKind},
        id::{
            AuditId, ConsumerId, DeliveryId, EndpointId, EventId, Id, InboundId, KeyId, NodeId,
            Shard, SourceId, TenantId,
        },
        inbound::{Channel, Verdict},
        lease::HolderKind,
        object::{ObjectKind, ObjectState},
    },
};

/// A database whose rows are written by hand, in one text for both.
struct Rows {
    store: Store,
    rng: StdRng,
    now_ms: i64,
    tenant: TenantId,
    endpoint: EndpointId,
}

impl Rows {
    async fn new(store: Store) -> Self {
        let (now_ms, mut rng) = (clock::Clock::system().now_ms(), StdRng::seed_from_u64(1));
        store.partition_ensure(now_ms).await.unwrap();
        let rows = Self {
            tenant: TenantId::new(now_ms, &mut rng),
            endpoint: EndpointId::new(now_ms, &mut rng),
            store,
            rng,
            now_ms,
        };
        let values = [rows.id(rows.tenant), "7, 'acme', '{}', 1, 0, 0".to_owned()];
        let columns = "tenant_id, shard, name, settings, version, created_at, updated_at";
        rows.insert("tenant", columns, &values).await;
        rows
    }

    fn event(&mut self) -> EventId {
        EventId::new(self.now_ms, Shard(7), &mut self.rng)
    }

    fn id(&self, id: impl Id) -> String {
        self.uuid(id.uuid())
    }

    fn uuid(&self, id: Uuid) -> String {
        match self.store.writer() {
            OneOf::Postgres(_) => format!("'{id}'::uuid"),
            OneOf::Sqlite(_) => format!("x'{}'", id.simple()),
        }
    }

    fn bytes(&self, count: usize) -> String {
        match self.store.writer() {
            OneOf::Postgres(_) => format!("decode('{}', 'hex')", "00".repeat(count)),
            OneOf::Sqlite(_) => format!("zeroblob({count})"),
        }
    }

    async fn insert(&self, table: &str, columns: &str, values: &[String]) {
        let values = values.join(", ");
        let sql = format!("insert into {table} ({columns}) values ({values})");
        self.store.execute(Box::leak(sql.into_boxed_str())).await;
    }

    async fn delivery(&mut self, state: DeliveryState, reason: Option<DeadReason>) -> DeliveryId {
        let id = self.event().delivery(3);
        let dead = |value: String| {
            if reason.is_some() {
                value
            } else {
                "null".to_owned()
            }
        };
        let values = [
            "7".to_owned(),
            self.id(id),
            self.id(self.endpoint),
            self.id(self.tenant),
            state.column().to_string(),
            self.now_ms.to_string(),
            dead(self.now_ms.to_string()),
            dead(reason.map_or(0, DeadReason::column).to_string()),
        ];
        let columns = "shard, delivery_id, endpoint_id, tenant_id, state, next_attempt_at, dead_at, dead_reason";
        self.insert("delivery", columns, &values).await;
        id
    }

    async fn attempt(
        &mut self,
        error: Option<ErrorKind>,
        holder: (HolderKind, Uuid),
    ) -> DeliveryId {
        let id = self.event().delivery(1);
        let falsehood = |value: bool| match self.store.writer() {
            OneOf::Postgres(_) => value.to_string(),
            OneOf::Sqlite(_) => i32::from(value).to_string(),
        };
        let values = [
            "7, 1, 1, 5".to_owned(),
            self.id(id),
            self.id(self.endpoint),
            self.id(self.tenant),
            falsehood(error.is_none()),
            error.map_or("null".to_owned(), |kind| kind.column().to_string()),
            self.now_ms.to_string(),
            holder.0.column().to_string(),
            self.uuid(holder.1),
            falsehood(false),
        ];
        let columns = "shard, number, lease_id, duration_ms, delivery_id, endpoint_id, tenant_id, succeeded, error_kind, \
                       started_at, holder_kind, holder_id, late";
        self.insert("attempt", columns, &values).await;
        id
    }

    async fn cancelled(&mut self) -> DeliveryId {
        let id = self.event().delivery(1);
        let values = [
            "7, '', 2".to_owned(),
            self.id(id),
            self.now_ms.to_string(),
            DeliveryActionKind::Cancel.column().to_string(),
            self.id(self.endpoint),
            self.id(self.tenant),
        ];
        let columns =
            "shard, reason, attempt_count, delivery_id, acted_at, kind, endpoint_id, tenant_id";
        self.insert("delivery_action", columns, &values).await;
        id
    }

    async fn object(&mut self, state: ObjectState) -> EndpointId {
        let id = EndpointId::new(self.now_ms, &mut self.rng);
        let values = [
            ObjectKind::Endpoint.column().to_string(),
            self.id(id),
            self.id(self.tenant),
            format!("'{{\"url\": \"https://{}.test/\"}}'", state.as_str()),
            state.column().to_string(),
            "'', 1".to_owned(),
            self.now_ms.to_string(),
            self.now_ms.to_string(),
        ];
        let columns = "kind, object_id, tenant_id, settings, state, state_reason, version, created_at, updated_at";
        self.insert("object", columns, &values).await;
        id
    }

    async fn inbound(&mut self, verdict: Verdict, channel: Channel) -> InboundId {
        let id = InboundId::new(self.now_ms, Shard(7), &mut self.rng);
        let source = SourceId::new(self.now_ms, &mut self.rng);
        let values = [
            "7, '', 'p', 'a.b', 2, '{}', '192.0.2.1', 200".to_owned(),
            self.id(id),
            self.id(self.tenant),
            self.id(source),
            verdict.column().to_string(),
            channel.column().to_string(),
            self.bytes(32),
            self.bytes(32),
            self.now_ms.to_string(),
            self.id(id),
        ];
        let columns = "shard, reason, provider_event_id, event_type, body_bytes, head, remote_address, answer_status, \
                       request_id, tenant_id, source_id, verdict, channel, claim, body_hash, received_at, batch_id";
        self.insert("inbound_request", columns, &values).await;
        id
    }

    async fn audit(&mut self, outcome: AuditOutcome) -> (AuditId, KeyId) {
        let id = AuditId::new(self.now_ms, &mut self.rng);
        let key = KeyId::new(self.now_ms, &mut self.rng);
        let values = [
            "'', 'M', '', '', '', '[]'".to_owned(),
            self.id(id),
            self.now_ms.to_string(),
            self.id(key),
            outcome.column().to_string(),
        ];
        let columns = "claimed_actor, method, target, reason, request_id, changes, audit_id, recorded_at, key_id, outcome";
        self.insert("audit", columns, &values).await;
        (id, key)
    }

    /// Three columns of a view, as text.
    async fn read(&self, view: &str, columns: [&str; 3]) -> BTreeSet<[String; 3]> {
        let columns = columns.map(|column| format!("coalesce(cast({column} as text), '')"));
        let sql = AssertSqlSafe(format!("select {} from {view}", columns.join(", ")));
        let rows: Vec<(String, String, String)> = match self.store.reader() {
            OneOf::Postgres(pool) => sqlx::query_as(sql).fetch_all(pool).await.unwrap(),
            OneOf::Sqlite(pool) => sqlx::query_as(sql).fetch_all(pool).await.unwrap(),
        };
        rows.into_iter().map(|(a, b, c)| [a, b, c]).collect()
    }
}

fn row<const N: usize>(values: [&dyn ToString; N]) -> [String; N] {
    values.map(ToString::to_string)
}

#[expect(clippy::too_many_lines, reason = "it is a table")]
async fn show_words_and_ids(store: Store) {
    let mut rows = Rows::new(store).await;

    let mut deliveries = BTreeSet::new();
    let mut expect = |id: DeliveryId, state: DeliveryState| {
        deliveries.insert(row([&id, &id.event(), &state.as_str()]));
    };
    expect(
        rows.delivery(DeliveryState::Pending, None).await,
        DeliveryState::Pending,
    );
    let mut dead = BTreeSet::new();
    for reason in DeadReason::ALL {
        let id = rows.delivery(DeliveryState::Dead, Some(*reason)).await;
        expect(id, DeliveryState::Dead);
        dead.insert(row([&id, &rows.endpoint, &reason.as_str()]));
    }
    expect(rows.cancelled().await, DeliveryState::Cancelled);

    let mut attempts = BTreeSet::new();
    let consumer = ConsumerId::new(rows.now_ms, &mut rows.rng);
    let by = (HolderKind::Consumer, consumer.uuid());
    let delivered = rows.attempt(None, by).await;
    expect(delivered, DeliveryState::Delivered);
    attempts.insert(row([&delivered, &"", &consumer]));
    let node = NodeId::from_uuid(consumer.uuid());
    for kind in ErrorKind::ALL {
        let id = rows
            .attempt(Some(*kind), (HolderKind::Node, node.uuid()))
            .await;
        attempts.insert(row([&id, &kind.as_str(), &node]));
    }
    let states = rows
        .read("v_delivery", ["delivery_id", "event_id", "state"])
        .await;
    assert_eq!(states, deliveries);
    let found = rows.read(
        "v_delivery where dead_reason is not null",
        ["delivery_id", "endpoint_id", "dead_reason"],
    );
    assert_eq!(found.await, dead);
    let found = rows
        .read("v_attempt", ["delivery_id", "error_kind", "holder_id"])
        .await;
    assert_eq!(found, attempts);

    let mut endpoints = BTreeSet::new();
    for state in ObjectState::ALL {
        let id = rows.object(*state).await;
        let url = format!("https://{}.test/", state.as_str());
        endpoints.insert(row([&id, &url, &state.as_str()]));
    }
    assert_eq!(
        rows.read("v_endpoint", ["endpoint_id", "url", "state"])
            .await,
        endpoints
    );

    let mut requests = BTreeSet::new();
    for verdict in Verdict::ALL {
        for channel in Channel::ALL {
            let id = rows.inbound(*verdict, *channel).await;
            requests.insert(row([&id, &verdict.as_str(), &channel.as_str()]));
        }
    }
    let found = rows.read(
        "v_inbound_request",
        ["inbound_request_id", "verdict", "channel"],
    );
    assert_eq!(found.await, requests);

    let mut records = BTreeSet::new();
    for outcome in AuditOutcome::ALL {
        let (id, key) = rows.audit(*outcome).await;
        records.insert(row([&id, &key, &outcome.as_str()]));
    }
    assert_eq!(
        rows.read("v_audit", ["audit_id", "key_id", "outcome"])
            .await,
        records
    );
}

#[tokio::test]
async fn views_show_words_and_ids_on_sqlite() {
    let folder = TempDir::new().unwrap();
    let url = format!("sqlite:{}", folder.path().join("test.db").display());
    show_words_and_ids(Store::open(&url).await.unwrap()).await;
}

#[tokio::test]
async fn views_show_words_and_ids_on_postgres() {
    let server = Postgres::shared().await;
    let url = server.database("views").await;
    show_words_and_ids(Store::open(&url).await.unwrap()).await;
}

/// `PostgreSQL` has functions too, so that a report can ask for one id, or for a time, by the columns that are indexed.
#[tokio::test]
async fn ids_and_instants_are_found_by_what_the_tables_hold() {
    let server = Postgres::shared().await;
    let url = server.database("view_functions").await;
    let store = Store::open(&url).await.unwrap();
    let OneOf::Postgres(pool) = store.reader() else {
        unreachable!("it is PostgreSQL")
    };
    let mut rng = StdRng::seed_from_u64(2);
    for at in [0, 1_700_000_000_123, 253_402_300_799_999] {
        let id = EventId::new(at, Shard(255), &mut rng).delivery(16_383);
        let sql = "select posthorn_id('dlv', $1), posthorn_uuid($2), posthorn_event($1), posthorn_time($1) = to_timestamp($3 / 1000.0),
                          posthorn_uuid_at(to_timestamp($3 / 1000.0))";
        let found: (String, Uuid, Uuid, bool, Uuid) = sqlx::query_as(sql)
            .bind(id.uuid())
            .bind(id.to_string())
            .bind(at)
            .fetch_one(pool)
            .await
            .unwrap();
        let floor = crate::model::id::uuid_floor(at);
        assert_eq!(
            found,
            (id.to_string(), id.uuid(), id.event().uuid(), true, floor)
        );
    }
}

/// What is promised of a view: its name and its columns.
fn documented() -> BTreeSet<(String, String)> {
    let docs = include_str!("../../../../docs/operate.md");
    let rows = docs.lines().filter_map(|line| line.strip_prefix("| `v_"));
    rows.map(|row| {
        let [name, .., columns, _] = row.split('|').collect::<Vec<_>>()[..] else {
            panic!("{row}");
        };
        let name = format!("v_{}", name.trim().trim_end_matches('`'));
        (name, columns.replace('`', "").trim().to_owned())
    })
    .collect()
}

#[tokio::test]
async fn the_columns_of_views_are_those_of_the_docs() {
    let server = Postgres::shared().await;
    let url = server.database("view_columns").await;
    let store = Store::open(&url).await.unwrap();
    let OneOf::Postgres(pool) = store.reader() else {
        unreachable!("it is PostgreSQL")
    };
    let sql = "select c.relname::text, string_agg(a.attname, ', ' order by a.attnum)
               from pg_class c
               join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
               where c.relnamespace = 'public'::regnamespace and c.relkind = 'v'
               group by c.relname";
    let found: Vec<(String, String)> = sqlx::query_as(sql).fetch_all(pool).await.unwrap();
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), documented());
}
