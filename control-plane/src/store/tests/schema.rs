//! The two schemas say the same, but for what is listed here. Each database is asked what it has, and each thing that it
//! has is put into one line of text.
//!
//! Conditions are compared as PostgreSQL writes them: it reads those of SQLite too, in a table with the same columns. Types
//! are compared as far as SQLite has them. How rows are kept is not compared: partitions, rowids, collations and what a
//! vacuum waits for are each database's own.

use std::collections::BTreeSet;

use posthorn_harness::Postgres;
use sqlx::{AssertSqlSafe, PgConnection, Row as _, SqlitePool};
use tempfile::TempDir;

use super::super::*;
use crate::model::{
    audit::AuditOutcome,
    delivery::{DeadReason, DeliveryActionKind, ErrorKind},
    inbound::{Channel, InboundActionKind, Verdict},
    object::ObjectKind,
    object::ObjectState,
    secret::Purpose,
};

/// What only SQLite has, and why.
const ONLY_SQLITE: [(&str, &str); 4] = [
    (
        "attempt: check (late = ANY (ARRAY[false, true]))",
        NO_BOOLEANS,
    ),
    (
        "attempt: check (succeeded = ANY (ARRAY[false, true]))",
        NO_BOOLEANS,
    ),
    (
        "delivery: check (retry_open = ANY (ARRAY[false, true]))",
        NO_BOOLEANS,
    ),
    (
        "inbound_request: check (held = ANY (ARRAY[false, true]))",
        NO_BOOLEANS,
    ),
];
const NO_BOOLEANS: &str = "SQLite has no type for it, and integers are more than two";

/// Both databases, brought up to date.
struct Schemas {
    sqlite: Store,
    postgres: Store,
    _kept: (TempDir, Arc<Postgres>),
}

impl Schemas {
    async fn open(name: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let url = format!("sqlite:{}", folder.path().join("test.db").display());
        let server = Postgres::shared().await;
        Self {
            sqlite: Store::open(&url).await.unwrap(),
            postgres: Store::open(&server.database(name).await).await.unwrap(),
            _kept: (folder, server),
        }
    }

    /// What only one of them has, each in order: `PostgreSQL`, then SQLite.
    async fn differences(&self) -> [Vec<String>; 2] {
        let mut reader = Reader::new(self).await;
        let (postgres, sqlite) = (reader.postgres().await, reader.sqlite().await);
        let only = |one: &BTreeSet<String>, other| one.difference(other).cloned().collect();
        [only(&postgres, &sqlite), only(&sqlite, &postgres)]
    }
}

/// Connections to both.
struct Reader<'a> {
    postgres: sqlx::pool::PoolConnection<sqlx::Postgres>,
    sqlite: &'a SqlitePool,
}

impl<'a> Reader<'a> {
    async fn new(schemas: &'a Schemas) -> Self {
        let OneOf::Postgres(postgres) = schemas.postgres.writer() else {
            unreachable!("it is PostgreSQL")
        };
        let OneOf::Sqlite(sqlite) = schemas.sqlite.reader() else {
            unreachable!("it is SQLite")
        };
        Self {
            postgres: postgres.acquire().await.unwrap(),
            sqlite,
        }
    }

    async fn postgres(&mut self) -> BTreeSet<String> {
        let mut lines = BTreeSet::new();
        for statement in [PG_COLUMNS, PG_KEYS, PG_FOREIGN_KEYS, PG_VIEWS] {
            lines.extend(texts(&mut self.postgres, statement).await);
        }
        for (kind, statement) in [("check", PG_CHECKS), ("computed", PG_COMPUTED)] {
            for [table, what, condition] in triples(&mut self.postgres, statement).await {
                let condition = self.condition(&table, &condition).await;
                lines.insert(format!("{table}: {kind} {what}{condition}"));
            }
        }
        for [table, index, condition] in triples(&mut self.postgres, PG_INDEXES).await {
            let condition = self.condition(&table, &condition).await;
            lines.insert(format!("{table}: {index} where {condition}"));
        }
        lines
    }

    async fn sqlite(&mut self) -> BTreeSet<String> {
        let mut lines = BTreeSet::new();
        for statement in [LITE_COLUMNS, LITE_KEYS, LITE_FOREIGN_KEYS, LITE_VIEWS] {
            let rows = sqlx::query_scalar::<_, String>(statement);
            lines.extend(rows.fetch_all(self.sqlite).await.unwrap());
        }
        let tables = "select name, sql from sqlite_schema where type = 'table' and name not like '\\_%' escape '\\'";
        for (table, sql) in self.lite_texts(tables).await {
            for condition in in_brackets(&sql, "check (") {
                let condition = self.condition(&table, condition).await;
                lines.insert(format!("{table}: check {condition}"));
            }
            for line in sql.lines().filter(|line| line.contains(COMPUTED)) {
                let column = line.split_whitespace().next().unwrap();
                let formula = in_brackets(line, COMPUTED).remove(0);
                let formula = self.condition(&table, &is_null(formula)).await;
                lines.insert(format!("{table}: computed {column} {formula}"));
            }
        }
        for (index, sql) in self.lite_texts(LITE_INDEXES).await {
            let (table, index) = index.split_once(": ").unwrap();
            let condition = sql.split_once(" where ").map_or("true", |(_, after)| after);
            let condition = self.condition(table, condition).await;
            lines.insert(format!("{table}: {index} where {condition}"));
        }
        lines
    }

    async fn lite_texts(&self, statement: &'static str) -> Vec<(String, String)> {
        sqlx::query_as(statement)
            .fetch_all(self.sqlite)
            .await
            .unwrap()
    }

    /// A condition on the rows of a table, as `PostgreSQL` writes it.
    async fn condition(&mut self, table: &str, condition: &str) -> String {
        let sql = format!(
            "create temp table probe (like public.{table});
             alter table probe add constraint probe_check check ({condition})"
        );
        let made = sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&mut *self.postgres)
            .await;
        made.unwrap_or_else(|error| panic!("{table}: {condition}: {error}"));
        let written =
            "select pg_get_expr(conbin, conrelid) from pg_constraint where conname = 'probe_check'";
        let written = texts(&mut self.postgres, written).await.remove(0);
        let drop = sqlx::raw_sql("drop table probe").execute(&mut *self.postgres);
        drop.await.unwrap();
        written.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

async fn texts(conn: &mut PgConnection, statement: &'static str) -> Vec<String> {
    sqlx::query_scalar(statement).fetch_all(conn).await.unwrap()
}

async fn triples(conn: &mut PgConnection, statement: &'static str) -> Vec<[String; 3]> {
    let rows = sqlx::query(statement).fetch_all(conn).await.unwrap();
    rows.iter()
        .map(|row| [row.get(0), row.get(1), row.get(2)])
        .collect()
}

/// How a computed column begins.
const COMPUTED: &str = "generated always as (";

/// Makes a condition of the formula of a computed column.
fn is_null(formula: &str) -> String {
    format!("({formula}) is null")
}

/// What stands in the brackets that these words open, wherever they stand.
fn in_brackets<'a>(sql: &'a str, opening: &str) -> Vec<&'a str> {
    let starts = sql.match_indices(opening).map(|(at, _)| at + opening.len());
    let content = starts.map(|start| {
        let mut open = 1;
        let end = sql[start..].find(|letter| {
            open += i32::from(letter == '(') - i32::from(letter == ')');
            open == 0
        });
        &sql[start..start + end.unwrap()]
    });
    content.collect()
}

/// Position, name, type, whether it may be null, and what it is when nothing is given.
const PG_COLUMNS: &str = "
    select format('%s: column %s %s %s%s%s', c.relname, a.attnum, a.attname,
                  case format_type(a.atttypid, null)
                      when 'smallint' then 'integer' when 'bigint' then 'integer' when 'boolean' then 'integer'
                      when 'uuid' then 'blob' when 'bytea' then 'blob' else format_type(a.atttypid, null)
                  end,
                  case when a.attnotnull then ' not null' end,
                  case when a.attgenerated = '' then ' default ' || pg_get_expr(d.adbin, d.adrelid) end)
    from pg_class c
    join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
    left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and c.relname not like '\\_%'";
const LITE_COLUMNS: &str = "
    select printf('%s: column %s %s %s%s%s', t.name, c.cid + 1, c.name, lower(c.type),
                  iif(c.\"notnull\", ' not null', ''), coalesce(' default ' || c.dflt_value, ''))
    from sqlite_schema t, pragma_table_xinfo(t.name) c
    where t.type = 'table' and t.name not like '\\_%' escape '\\'";

/// The columns of views, without their types: SQLite has none for instants and ids.
const PG_VIEWS: &str = "
    select format('%s: column %s %s', c.relname, a.attnum, a.attname)
    from pg_class c
    join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
    where c.relnamespace = 'public'::regnamespace and c.relkind = 'v'";
const LITE_VIEWS: &str = "
    select printf('%s: column %s %s', v.name, c.cid + 1, c.name)
    from sqlite_schema v, pragma_table_info(v.name) c
    where v.type = 'view' and v.name not like '\\_%' escape '\\'";

const PG_KEYS: &str = "
    select format('%s: primary key %s', x.indrelid::regclass,
                  (select string_agg(a.attname, ', ' order by k.place)
                   from unnest(x.indkey::smallint[]) with ordinality as k (attnum, place)
                   join pg_attribute a on a.attrelid = x.indrelid and a.attnum = k.attnum))
    from pg_index x
    join pg_class c on c.oid = x.indrelid
    where c.relnamespace = 'public'::regnamespace and c.relname not like '\\_%' and x.indisprimary";
const LITE_KEYS: &str = "
    select printf('%s: primary key %s', t.name,
                  (select group_concat(name, ', ')
                   from (select name from pragma_table_xinfo(t.name) where pk > 0 order by pk)))
    from sqlite_schema t
    where t.type = 'table' and t.name not like '\\_%' escape '\\'";

const PG_FOREIGN_KEYS: &str = "
    select format('%s: %s refers to %s%s', k.conrelid::regclass, a.attname, k.confrelid::regclass,
                  case k.confdeltype when 'c' then ', goes with it' when 'a' then '' else ', ' || k.confdeltype::text end)
    from pg_constraint k
    join pg_attribute a on a.attrelid = k.conrelid and a.attnum = any(k.conkey)
    where k.contype = 'f'";
const LITE_FOREIGN_KEYS: &str = "
    select printf('%s: %s refers to %s%s', t.name, k.\"from\", k.\"table\",
                  case k.on_delete when 'CASCADE' then ', goes with it' when 'NO ACTION' then ''
                      else ', ' || k.on_delete end)
    from sqlite_schema t, pragma_foreign_key_list(t.name) k
    where t.type = 'table'";

const PG_CHECKS: &str = "
    select conrelid::regclass::text, '', pg_get_expr(conbin, conrelid)
    from pg_constraint
    where contype = 'c' and connamespace = 'public'::regnamespace";

const PG_COMPUTED: &str = "
    select d.adrelid::regclass::text, a.attname || ' ', format('(%s) is null', pg_get_expr(d.adbin, d.adrelid))
    from pg_attrdef d
    join pg_attribute a on a.attrelid = d.adrelid and a.attnum = d.adnum
    where a.attgenerated <> ''";

/// All but those of primary keys. The name of one that a column brings is left to the database.
const PG_INDEXES: &str = "
    select x.indrelid::regclass::text,
           format('%sindex %s (%s)', case when x.indisunique then 'unique ' end,
                  case when k.oid is null then x.indexrelid::regclass::text else 'of a column' end,
                  (select string_agg(a.attname, ', ' order by p.place)
                   from unnest(x.indkey::smallint[]) with ordinality as p (attnum, place)
                   join pg_attribute a on a.attrelid = x.indrelid and a.attnum = p.attnum)),
           coalesce(pg_get_expr(x.indpred, x.indrelid), 'true')
    from pg_index x
    join pg_class c on c.oid = x.indrelid
    left join pg_constraint k on k.conindid = x.indexrelid and k.contype = 'u'
    where c.relnamespace = 'public'::regnamespace and c.relname not like '\\_%' and not x.indisprimary";
const LITE_INDEXES: &str = "
    select printf('%s: %sindex %s (%s)', t.name, iif(x.\"unique\", 'unique ', ''),
                  iif(x.origin = 'c', x.name, 'of a column'),
                  (select group_concat(name, ', ') from (select name from pragma_index_info(x.name) order by seqno))),
           coalesce(i.sql, '')
    from sqlite_schema t, pragma_index_list(t.name) x
    join sqlite_schema i on i.name = x.name
    where t.type = 'table' and t.name not like '\\_%' escape '\\' and x.origin <> 'pk'";

#[tokio::test]
async fn the_two_schemas_are_alike() {
    let schemas = Schemas::open("schemas").await;
    let [postgres, sqlite] = schemas.differences().await;
    assert_eq!(postgres, [""; 0]);
    assert_eq!(sqlite, ONLY_SQLITE.map(|(line, _)| line));
}

#[tokio::test]
async fn whatever_only_one_schema_has_is_found() {
    let schemas = Schemas::open("other_schemas").await;
    for change in [
        "alter table tenant add column more integer",
        "create table more (more_id integer not null primary key check (more_id > 1)) strict",
        "create index tenant_more on tenant (name, version) where version > 1",
    ] {
        schemas.sqlite.execute(change).await;
    }
    let probe = "create table more (more_id integer not null primary key check (more_id > 2))";
    schemas.postgres.execute(probe).await;
    let [postgres, sqlite] = schemas.differences().await;
    assert_eq!(postgres, ["more: check (more_id > 2)"]);
    let listed = ONLY_SQLITE.map(|(line, _)| line);
    let found = sqlite
        .iter()
        .filter(|line| !listed.contains(&line.as_str()));
    assert_eq!(
        found.collect::<Vec<_>>(),
        [
            "more: check (more_id > 1)",
            "tenant: column 8 more integer",
            "tenant: index tenant_more (name, version) where (version > 1)",
        ]
    );
}

#[tokio::test]
async fn every_table_of_sqlite_keeps_to_its_types() {
    let schemas = Schemas::open("strict").await;
    let reader = Reader::new(&schemas).await;
    let loose = "select name from pragma_table_list
                 where schema = 'main' and type = 'table' and not strict
                   and name not like 'sqlite\\_%' escape '\\' and name not like '\\_%' escape '\\'";
    let loose = sqlx::query_scalar::<_, String>(loose);
    let loose = loose.fetch_all(reader.sqlite).await.unwrap();
    assert_eq!(loose, [""; 0]);
}

/// What is asked of a column that stands for words.
fn words(is_known: impl Fn(i16) -> bool) -> String {
    let known = (-1..100).filter(|value| is_known(*value));
    let known = known.collect::<Vec<_>>();
    let count = i16::try_from(known.len()).unwrap();
    assert!(known.into_iter().eq(1..=count), "numbers without a gap");
    match count {
        2 => "in (1, 2)".to_owned(),
        count => format!("between 1 and {count}"),
    }
}

#[tokio::test]
async fn no_check_makes_sqlite_build_a_table_for_each_row() {
    let schemas = Schemas::open("checks").await;
    let reader = Reader::new(&schemas).await;
    let tables = "select name, '' from sqlite_schema where type = 'table' and name not like '\\_%' escape '\\'";
    let tables = reader.lite_texts(tables).await;
    assert!(tables.len() > 10, "{tables:?}");
    for (table, _) in tables {
        let sql = format!("explain insert into {table} default values");
        let steps = sqlx::query(AssertSqlSafe(sql)).fetch_all(reader.sqlite);
        let steps = steps.await.unwrap();
        let mut names = steps.iter().map(|step| step.get::<String, _>("opcode"));
        assert!(names.all(|name| name != "OpenEphemeral"), "{table}");
    }
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "it is a table")]
async fn columns_that_stand_for_words_hold_those_that_the_code_knows() {
    let schemas = Schemas::open("words").await;
    let mut reader = Reader::new(&schemas).await;
    let known = [
        (
            "object",
            "kind",
            words(|v| ObjectKind::from_column(v).is_some()),
        ),
        (
            "object",
            "state",
            words(|v| ObjectState::from_column(v).is_some()),
        ),
        (
            "secret",
            "owner_kind",
            words(|v| ObjectKind::from_column(v).is_some()),
        ),
        (
            "secret",
            "purpose",
            words(|v| Purpose::from_columns(v, String::new()).is_some()),
        ),
        (
            "delivery",
            "dead_reason",
            words(|v| DeadReason::from_column(v).is_some()),
        ),
        (
            "attempt",
            "error_kind",
            words(|v| ErrorKind::from_column(v).is_some()),
        ),
        (
            "delivery_action",
            "kind",
            words(|v| DeliveryActionKind::from_column(v).is_some()),
        ),
        (
            "inbound_request",
            "verdict",
            words(|v| Verdict::from_column(v).is_some()),
        ),
        (
            "inbound_request",
            "channel",
            words(|v| Channel::from_column(v).is_some()),
        ),
        (
            "audit",
            "outcome",
            words(|v| AuditOutcome::from_column(v).is_some()),
        ),
        (
            "inbound_action",
            "kind",
            words(|v| InboundActionKind::from_column(v).is_some()),
        ),
    ];
    let lines = reader.postgres().await;
    for (table, column, words) in known {
        let condition = reader.condition(table, &format!("{column} {words}")).await;
        let line = format!("{table}: check {condition}");
        assert!(lines.contains(&line), "{line}: {lines:#?}");
    }
}
