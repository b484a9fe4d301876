//! What the harness provides without Posthorn's own programs.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use posthorn_harness::{Answer, Postgres, Receiver, Refused, get};
use sqlx::{Connection as _, Executor as _, PgConnection, Row as _};

const DEADLINE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_committed_row_survives_the_servers_crash() {
    let mut postgres = Postgres::start().await;
    let url = postgres.database("crash").await;
    let mut connection = PgConnection::connect(&url)
        .await
        .expect("it accepts connections");
    connection
        .execute("create table note (note_id bigint)")
        .await
        .expect("a table can be made");
    connection
        .execute("insert into note values (7)")
        .await
        .expect("a row can be added");

    postgres.kill();
    assert!(PgConnection::connect(&url).await.is_err());
    postgres.restart().await;

    let mut connection = PgConnection::connect(&url)
        .await
        .expect("it accepts connections again");
    let row = connection
        .fetch_one("select note_id from note")
        .await
        .expect("the row is there");
    assert_eq!(row.get::<i64, _>(0), 7);
}

#[tokio::test]
async fn a_postgres_is_shared_while_somebody_holds_it() {
    let one = Postgres::shared().await;
    let other = Postgres::shared().await;
    assert_eq!(one.pid(), other.pid());
    assert!(one.cpu_time() > Duration::ZERO);
}

#[tokio::test]
async fn a_receiver_answers_as_told_and_remembers_what_came() {
    let receiver = Receiver::start().await;
    receiver.answer("/hook", Answer::Sequence(vec![503, 204]));
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(
            get(receiver.addr(), "/hook")
                .await
                .expect("it answers")
                .status,
        );
    }
    assert_eq!(statuses, [503, 204, 204]);
    assert_eq!(
        get(receiver.addr(), "/other")
            .await
            .expect("it answers")
            .status,
        200
    );

    let requests = receiver.received("/hook").await_count(3, DEADLINE).await;
    assert_eq!(requests.len(), 3);
    assert_eq!(receiver.received("/hook").by_webhook_id().get(""), Some(&3));
    assert_eq!(receiver.received("/nothing").count(), 0);
}

#[tokio::test]
async fn an_observer_sees_each_request() {
    let seen = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&seen);
    let receiver = Receiver::observed(move |arrival| {
        assert_eq!(arrival.path, "/x");
        counter.fetch_add(1, Ordering::Relaxed);
    })
    .await;
    get(receiver.addr(), "/x").await.expect("it answers");
    assert_eq!(seen.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_refused_port_refuses() {
    let refused = Refused::new();
    let addr = refused
        .url()
        .replace("http://", "")
        .replace('/', "")
        .parse()
        .expect("an address");
    assert!(get(addr, "/").await.is_err());
}
