//! A look into a database from outside, for what the contract neither shows nor lets one change.

use std::str::FromStr as _;

use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, PgConnection, Row as _,
    SqliteConnection, sqlite::SqliteConnectOptions,
};

/// A connection of one's own to a control plane's database.
#[derive(Debug)]
pub struct Sql(Connection);

#[derive(Debug)]
enum Connection {
    Postgres(PgConnection),
    Sqlite(SqliteConnection),
}

impl Sql {
    /// Connects to the database that a control plane's URL names.
    pub async fn open(url: &str) -> Self {
        if url.starts_with("sqlite:") {
            let options = SqliteConnectOptions::from_str(url).expect("the URL names a file");
            let connection = options.connect().await;
            return Self(Connection::Sqlite(connection.expect("the file opens")));
        }
        let connection = PgConnection::connect(url).await;
        let connection = connection.expect("PostgreSQL accepts connections");
        Self(Connection::Postgres(connection))
    }

    /// Runs a statement and returns how many rows it changed. Panics when it fails.
    pub async fn run(&mut self, statement: &str) -> u64 {
        let sql = sqlx::raw_sql(AssertSqlSafe(statement));
        let done = match &mut self.0 {
            Connection::Postgres(connection) => connection
                .execute(sql)
                .await
                .map(|done| done.rows_affected()),
            Connection::Sqlite(connection) => connection
                .execute(sql)
                .await
                .map(|done| done.rows_affected()),
        };
        done.unwrap_or_else(|error| panic!("{statement}: {error}"))
    }

    /// The first column of what a query returns, which must be text. Panics when it fails.
    pub async fn texts(&mut self, query: &str) -> Vec<String> {
        let sql = sqlx::raw_sql(AssertSqlSafe(query));
        let texts: Result<Vec<String>, sqlx::Error> = match &mut self.0 {
            Connection::Postgres(connection) => connection
                .fetch_all(sql)
                .await
                .and_then(|rows| rows.iter().map(|row| row.try_get(0)).collect()),
            Connection::Sqlite(connection) => connection
                .fetch_all(sql)
                .await
                .and_then(|rows| rows.iter().map(|row| row.try_get(0)).collect()),
        };
        texts.unwrap_or_else(|error| panic!("{query}: {error}"))
    }

    /// The expression that reads a column with an id as 32 hexadecimal digits in lower case.
    pub fn id_digits(&self, column: &str) -> String {
        match self.0 {
            Connection::Postgres(_) => format!("replace({column}::text, '-', '')"),
            Connection::Sqlite(_) => format!("lower(hex({column}))"),
        }
    }

    /// The literal of an id of 32 hexadecimal digits.
    pub fn id(&self, digits: &str) -> String {
        match self.0 {
            Connection::Postgres(_) => format!("'{digits}'::uuid"),
            Connection::Sqlite(_) => format!("x'{digits}'"),
        }
    }
}
