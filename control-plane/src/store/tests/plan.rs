//! Every list is served by an index in its own order, or looks at so many rows: what the databases say they would do.

use posthorn_harness::Postgres;
use sqlx::{AssertSqlSafe, Row as _};
use tempfile::TempDir;
use uuid::Uuid;

use super::super::*;
use crate::{
    clock,
    model::{
        id::{EndpointId, InboundId, KeyId, Shard, SourceId, TenantId},
        inbound::Verdict,
    },
};

/// A statement of a list.
struct Statement {
    name: String,
    sql: String,
    /// The types of its parameters on `PostgreSQL`, with a value each: plans without a partition say nothing.
    parameters: Vec<&'static str>,
    /// The column that bounds how much is read. Every look into a table must use it.
    bounded_by: &'static str,
    /// Whether what was found is put in order afterwards.
    sorts: bool,
    /// Whether it looks into the partition of every day. Those that are empty are read as they are, which costs nothing.
    spans_days: bool,
}

const SMALL: &str = "1::smallint";
const COUNT: &str = "50::bigint";
const LOW: &str = "'00000000-0000-0000-0000-000000000000'::uuid";
const HIGH: &str = "'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid";
const ID: &str = "'00000000-0000-7000-8000-000000000001'::uuid";
/// One of the day that has a partition.
const TODAY: &str = "today::uuid";
const TEXT: &str = "'x'::text";
/// Every one.
const SHARDS: &str = "array[1, 2]::smallint[]";
const BYTES: &str = "'x'::bytea";

fn statement(
    name: &str,
    sql: impl Into<String>,
    bounded_by: &'static str,
    parameters: &[&'static str],
) -> Statement {
    Statement {
        name: name.to_owned(),
        sql: sql.into(),
        parameters: parameters.to_vec(),
        bounded_by,
        sorts: false,
        spans_days: false,
    }
}

/// The statements of every list of the contract.
#[expect(clippy::too_many_lines, reason = "it is a table")]
fn statements(names_indexes: bool) -> Vec<Statement> {
    let by_database = |(postgres, sqlite)| if names_indexes { sqlite } else { postgres };
    let floor = &[SMALL, LOW, HIGH, COUNT];
    let sorted = |statement: Statement| Statement {
        sorts: true,
        ..statement
    };
    let mut statements = vec![
        statement(
            "ListTenants",
            registry::tenant::LIST,
            "tenant_id",
            &[LOW, COUNT],
        ),
        statement(
            "ListApiKeys",
            registry::api_key::LIST,
            "key_id",
            &[LOW, COUNT],
        ),
        statement(
            "ListApiKeys of a tenant",
            registry::api_key::LIST_OF_TENANT,
            "tenant_id",
            &[LOW, COUNT, ID],
        ),
        statement(
            "ListEventTypes",
            registry::event_type::LIST,
            "name",
            &[ID, TEXT, COUNT],
        ),
        statement(
            "ListEndpoints, ListSources",
            registry::object::LIST,
            "tenant_id",
            &[SMALL, ID, LOW, COUNT],
        ),
        sorted(statement(
            "the secrets of endpoints or sources",
            registry::secret::RANGE,
            "tenant_id",
            &[ID, SMALL, LOW, HIGH],
        )),
        statement(
            "ListBacklogs",
            ledger::backlog::ONE,
            "endpoint_id",
            &[ID, SMALL, COUNT],
        ),
        statement("ListEvents stops", ledger::event::FLOOR, "event_id", floor),
        statement(
            "ListEvents",
            ledger::event::LIST,
            "event_id",
            &[SMALL, ID, LOW, HIGH, TEXT, COUNT],
        ),
        statement(
            "what deliveries show of events",
            ledger::event::briefs_sql(2),
            "event_id",
            &[SMALL, TODAY, TODAY],
        ),
        statement(
            "ListDeliveries stops",
            view::delivery_view::OPEN_FLOOR,
            "delivery_id",
            floor,
        ),
        statement(
            "ListDeliveries stops",
            view::delivery_view::DELIVERED_FLOOR,
            "delivery_id",
            floor,
        ),
        statement(
            "ListDeliveries stops",
            view::delivery_view::CANCELLED_FLOOR,
            "delivery_id",
            floor,
        ),
        sorted(statement(
            "ListDeliveries",
            view::delivery_view::LIST,
            "delivery_id",
            &[
                SMALL,
                ID,
                "0::smallint",
                ID,
                LOW,
                HIGH,
                COUNT,
                SMALL,
                SMALL,
                "1::bigint",
                "2::bigint",
            ],
        )),
        sorted(statement(
            "ListAttempts",
            ledger::attempt::LIST,
            "delivery_id",
            &[SMALL, TODAY, "0::int", "0::bigint", COUNT],
        )),
        statement(
            "ListAttempts of an event",
            ledger::attempt::LIST_OF_EVENT,
            "delivery_id",
            &[SMALL, LOW, HIGH, "0::int", "0::bigint", COUNT],
        ),
        Statement {
            spans_days: true,
            ..sorted(statement(
                "ListFailedAttempts",
                ledger::attempt::LIST_FAILED,
                "endpoint_id",
                &[
                    SMALL,
                    ID,
                    "1::bigint",
                    "2::bigint",
                    ID,
                    "0::int",
                    "0::bigint",
                    COUNT,
                ],
            ))
        },
        statement(
            "actions",
            ledger::action::LIST,
            "delivery_id",
            &[SMALL, ID, COUNT],
        ),
        statement(
            "actions",
            ledger::inbound_action::LIST,
            "request_id",
            &[SMALL, ID, COUNT],
        ),
        statement(
            "ListInboundRequests stops",
            view::inbound_view::FLOOR,
            "request_id",
            floor,
        ),
        statement(
            "ListInboundRequests stops",
            view::inbound_view::QUARANTINE_FLOOR,
            "request_id",
            floor,
        ),
        statement(
            "GetDriftReport counts",
            ledger::poll::DRIFT_COUNTS,
            "request_id",
            &[SMALL, ID, LOW, COUNT],
        ),
        statement(
            "GetDriftReport lists",
            ledger::poll::DRIFT_LIST,
            "source_id",
            &[SMALL, ID, LOW, HIGH, COUNT],
        ),
        sorted(statement(
            "what is polled next",
            by_database(ledger::poll::DUE),
            "next_poll_at",
            &[SHARDS, "1::bigint", COUNT],
        )),
        statement(
            "what has deliveries that wait",
            by_database(ledger::delivery::WAITING_LANES),
            "shard",
            &[SHARDS],
        ),
        statement(
            "what has dead letters",
            by_database(ledger::delivery::DEAD_LANES),
            "shard",
            &[SHARDS],
        ),
    ];
    statements.extend(inbound_lists(names_indexes));
    statements.extend(dead_letters());
    statements.extend(audit_lists());
    statements
}

/// The list of records by each index that it may go by.
fn audit_lists() -> Vec<Statement> {
    let drives = [
        (audit::Drive::Target(""), Some(TEXT)),
        (audit::Drive::Key(KeyId::from_uuid(Uuid::nil())), Some(ID)),
        (
            audit::Drive::Tenant(TenantId::from_uuid(Uuid::nil())),
            Some(ID),
        ),
        (audit::Drive::Denied, None),
        (audit::Drive::All, None),
    ];
    let statements = drives.into_iter().flat_map(|(drive, by)| {
        let [floor, list] = drive.statements();
        let parameters = [LOW, HIGH, COUNT].into_iter().chain(by).collect::<Vec<_>>();
        let filters = [LOW, HIGH, ID, ID, TEXT, TEXT, SMALL, COUNT];
        [
            statement("ListAudit stops", floor, "audit_id", &parameters),
            statement("ListAudit", list, "audit_id", &filters),
        ]
    });
    statements.collect()
}

/// What is done to dead letters, of a tenant and of an endpoint.
fn dead_letters() -> Vec<Statement> {
    let parameters = [
        "1::bigint",
        SMALL,
        TEXT,
        ID,
        SMALL,
        SMALL,
        ID,
        ID,
        "1::bigint",
        "2::bigint",
        COUNT,
    ];
    let endpoints = [None, Some(EndpointId::from_uuid(Uuid::nil()))];
    let statements = endpoints.map(|endpoint_id| {
        let filter = OpenFilter {
            shard: Shard(1),
            tenant_id: Some(TenantId::from_uuid(Uuid::nil())),
            endpoint_id,
            died: Some((1, 2)),
            limit: 50,
        };
        let sql = ledger::dead_letter::record_sql(&filter, "");
        statement("dead letters", sql, "dead_at", &parameters)
    });
    statements.into()
}

/// Every combination of filters that asks for another index.
fn inbound_lists(names_indexes: bool) -> Vec<Statement> {
    let verdicts = [
        None,
        Some(Verdict::Accepted),
        Some(Verdict::Duplicate),
        Some(Verdict::Quarantined),
    ];
    let any = InboundFilter {
        shard: Shard(1),
        tenant_id: TenantId::from_uuid(Uuid::nil()),
        source_id: None,
        verdict: None,
        event_type: None,
        provider_event_id: None,
        batch_id: None,
        from: Uuid::nil(),
        below: Uuid::max(),
        limit: 50,
    };
    let items = InboundFilter {
        batch_id: Some(InboundId::from_uuid(Uuid::nil())),
        ..any.clone()
    };
    let filters = verdicts.into_iter().flat_map(|verdict| {
        [None, Some("x")].map(|provider_event_id| InboundFilter {
            source_id: provider_event_id.map(|_| SourceId::from_uuid(Uuid::nil())),
            verdict,
            provider_event_id,
            ..any.clone()
        })
    });
    let parameters = [
        SMALL, ID, ID, SMALL, TEXT, LOW, HIGH, BYTES, TEXT, BYTES, ID, COUNT,
    ];
    let statements = filters.chain([items]).map(|filter| {
        let name = format!(
            "ListInboundRequests by {:?}",
            (filter.verdict, filter.provider_event_id, filter.batch_id)
        );
        let bounded_by = match filter.batch_id {
            None => "shard",
            Some(_) => "batch_id",
        };
        let sql = view::inbound_view::list_sql(&filter, names_indexes);
        Statement {
            sorts: true,
            ..statement(&name, sql, bounded_by, &parameters)
        }
    });
    statements.collect()
}

/// What lists read.
const TABLES: [&str; 14] = [
    "audit",
    "tenant",
    "api_key",
    "event_type",
    "object",
    "secret",
    "event",
    "delivery",
    "attempt",
    "a",
    "delivery_action",
    "x",
    "inbound_request",
    "inbound_action",
];

#[tokio::test]
async fn every_list_is_served_by_an_index_on_sqlite() {
    let folder = TempDir::new().unwrap();
    let url = format!("sqlite:{}", folder.path().join("test.db").display());
    let store = Store::open(&url).await.unwrap();
    let OneOf::Sqlite(pool) = store.reader() else {
        unreachable!("it is SQLite")
    };
    for statement in statements(true) {
        let sql = format!("explain query plan {}", statement.sql);
        let rows = sqlx::query(AssertSqlSafe(sql))
            .fetch_all(pool)
            .await
            .unwrap();
        let plan = rows.iter().map(|row| row.get::<String, _>("detail"));
        let plan = plan.collect::<Vec<_>>();
        for step in &plan {
            let words = step.split(' ').collect::<Vec<_>>();
            let is_table = words.get(1).is_some_and(|table| TABLES.contains(table));
            let is_bounded =
                words[0] == "SEARCH" && words[2..].join(" ").contains(statement.bounded_by);
            assert!(!is_table || is_bounded, "{}: {plan:#?}", statement.name);
            let sorts = step.starts_with("USE TEMP B-TREE");
            assert!(!sorts || statement.sorts, "{}: {plan:#?}", statement.name);
        }
    }
}

#[tokio::test]
async fn every_list_is_served_by_an_index_on_postgres() {
    let server = Postgres::shared().await;
    let store = Store::open(&server.database("plans").await).await.unwrap();
    let now_ms = clock::Clock::system().now_ms();
    store.partition_ensure(now_ms).await.unwrap();
    fill(&store, now_ms).await;
    let OneOf::Postgres(pool) = store.reader() else {
        unreachable!("it is PostgreSQL")
    };
    let mut conn = pool.acquire().await.unwrap();
    // The plan must be good for every value, not for a lucky one.
    sqlx::raw_sql("set plan_cache_mode = force_generic_plan")
        .execute(&mut *conn)
        .await
        .unwrap();
    for statement in statements(false) {
        let casts = statement
            .parameters
            .iter()
            .map(|value| value.split("::").nth(1).unwrap());
        let types = casts.collect::<Vec<_>>().join(", ");
        let prepare = format!("prepare listed({types}) as {}", statement.sql);
        sqlx::raw_sql(AssertSqlSafe(prepare))
            .execute(&mut *conn)
            .await
            .unwrap();
        let values = statement
            .parameters
            .join(", ")
            .replace(TODAY, &timed(now_ms, "'000000000001'"));
        let reads_empty = if statement.spans_days { "off" } else { "on" };
        let set = format!("set enable_seqscan = {reads_empty}");
        sqlx::raw_sql(AssertSqlSafe(set))
            .execute(&mut *conn)
            .await
            .unwrap();
        let explain = format!("explain (costs off) execute listed({values})");
        let rows = sqlx::raw_sql(AssertSqlSafe(explain))
            .fetch_all(&mut *conn)
            .await
            .unwrap();
        let plan = rows
            .iter()
            .map(|row| row.get::<String, _>(0))
            .collect::<Vec<_>>();
        let has = |part: &str| plan.iter().any(|line| line.contains(part));
        assert!(!has("Seq Scan"), "{}: {plan:#?}", statement.name);
        assert!(has("Index Cond"), "{}: {plan:#?}", statement.name);
        assert!(
            !has("Sort Key") || statement.sorts,
            "{}: {plan:#?}",
            statement.name
        );
        let mut conditions = plan.iter().filter(|line| line.contains("Index Cond"));
        let is_bounded = conditions.all(|line| line.contains(statement.bounded_by));
        assert!(is_bounded, "{}: {plan:#?}", statement.name);
        sqlx::raw_sql("deallocate listed")
            .execute(&mut *conn)
            .await
            .unwrap();
    }
}

/// An id of this instant that ends with these 12 digits.
fn timed(now_ms: i64, digits: &str) -> String {
    let hex = format!("{now_ms:012x}");
    format!(
        "('{}-{}-7000-8000-' || {digits})::uuid",
        &hex[..8],
        &hex[8..]
    )
}

/// Enough rows in every table that a list reads that looking at all of them is not the cheapest way.
async fn fill(store: &Store, now_ms: i64) {
    let id = "(lpad(to_hex(i), 8, '0') || '-0000-7000-8000-000000000001')::uuid";
    let timed = timed(now_ms, "lpad(to_hex(i), 12, '0')");
    let inserts = [
        format!("insert into tenant select {id}, i % 4, 't' || i, '{{}}', 1, 1, 1"),
        format!("insert into api_key select {id}, {id}, 'k', 1, sha256('x'), 1, 2, null"),
        format!("insert into event_type select {id}, 'a', '', 1, 1, 1"),
        format!("insert into object select 1, {id}, {id}, null, '{{}}', 1, '', 1, 1, 1"),
        format!("insert into object select 2, {id}, {id}, null, '{{}}', 1, '', 1, 1, 1"),
        format!(
            "insert into secret
             select {id}, 1, {id}, 1 + i % 2, {id}, 1 + i % 2 * 2, '', '01234567', 'x', '01234567', null, 1"
        ),
        format!("insert into poll select i % 4, {id}, '', '', null, i, 0, ''"),
        format!(
            "insert into event (shard, event_id, tenant_id, event_type, payload, content_type, occurred_at, delivery_count)
             select i % 4, {timed}, {id}, 'a', 'x', '', 1, 1"
        ),
        format!(
            "insert into delivery (shard, delivery_id, endpoint_id, tenant_id, next_attempt_at)
             select i % 4, {timed}, {id}, {id}, 1"
        ),
        format!(
            "insert into attempt
             select i % 4, {timed}, 1, 1, {id}, {id}, i % 2 = 0, 200, case when i % 2 = 0 then null else 12 end, 1, 1, 1,
                 {id}, null, false"
        ),
        format!(
            "insert into delivery_action select i % 4, {timed}, 1, 3, {id}, {id}, '', null, 1"
        ),
        format!(
            "insert into inbound_request (shard, request_id, tenant_id, source_id, verdict, reason, channel, claim,
                 provider_event_id, event_type, body_hash, body_bytes, head, remote_address, received_at, answer_status)
             select i % 4, {timed}, {id}, {id}, 1 + i % 5, '', 1 + i % 2, sha256({id}::text::bytea), '', 'a', sha256('x'),
                 1, '{{}}', '', 1, 200"
        ),
        format!(
            "insert into audit select {timed}, i % 4, 1, {id}, {id}, '', 'A', 't' || i, '', '', 1 + i % 2, '[]'"
        ),
        format!(
            "insert into inbound_action select i % 4, {timed}, 1, {timed}, 1, {id}, {id}, '', null"
        ),
    ];
    let mut conn = store.acquire().await.unwrap();
    let OneOf::Postgres(conn) = &mut conn else {
        unreachable!("it is PostgreSQL")
    };
    for insert in inserts {
        let sql = format!("{insert} from generate_series(1, 20000) as i");
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&mut **conn)
            .await
            .unwrap();
    }
    sqlx::raw_sql("analyze").execute(&mut **conn).await.unwrap();
}
