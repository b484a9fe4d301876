//! A database that has run for a while.

use posthorn_harness::Postgres;
use sqlx::{Connection as _, PgConnection};

/// Has the server write its log until it has files of it to write again. A new cluster makes each file first, and its commits
/// wait for that.
pub(super) async fn warm(postgres: &Postgres) {
    let connection = PgConnection::connect(&postgres.url()).await;
    let mut connection = connection.expect("PostgreSQL takes connections");
    let written = "select count(pg_logical_emit_message(false, 'warm', repeat('x', 1048576))) from generate_series(1, 512)";
    for statement in [written, "checkpoint"] {
        let done = sqlx::query(statement).execute(&mut connection).await;
        done.expect("PostgreSQL writes its log");
    }
}
