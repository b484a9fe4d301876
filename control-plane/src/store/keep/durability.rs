//! Whether the database keeps what it says that it has written.

use sqlx::{PgPool, SqlitePool};

use crate::store::{OneOf, Result, Store};

impl Store {
    /// The settings that can lose what was committed, each as `name=value`. Empty: the database is safe.
    pub(crate) async fn unsafe_settings(&self) -> Result<Vec<String>> {
        match self.writer() {
            OneOf::Postgres(pool) => postgres(pool).await,
            OneOf::Sqlite(writer) => sqlite(writer.pool()).await,
        }
    }
}

async fn postgres(pool: &PgPool) -> Result<Vec<String>> {
    let found = sqlx::query_as::<_, (String, String)>(
        "select name, setting
         from pg_settings
         where (name in ('fsync', 'full_page_writes') and setting = 'off')
            or (name = 'synchronous_commit' and setting in ('off', 'local'))",
    )
    .fetch_all(pool)
    .await?;
    Ok(found
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect())
}

async fn sqlite(pool: &SqlitePool) -> Result<Vec<String>> {
    let (synchronous,) = sqlx::query_as::<_, (i64,)>("pragma synchronous")
        .fetch_one(pool)
        .await?;
    // 2 is FULL and 3 EXTRA (https://www.sqlite.org/pragma.html#pragma_synchronous).
    Ok(if synchronous >= 2 {
        Vec::new()
    } else {
        vec![format!("synchronous={synchronous}")]
    })
}
