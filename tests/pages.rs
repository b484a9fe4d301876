//! The commands of the pages, pasted block by block as they stand, and what the pages say that they print.
//!
//! Each run has a network of its own, with the ports that the pages name, so it takes root. `cargo` there hands out what
//! the tests were built with. What a page shows of an answer is compared but for what differs each time: ids, times,
//! secrets.

mod block;
mod desk;

use posthorn_harness::{Postgres, PostgresOptions, Shell};

use block::blocks;
use desk::Desk;

/// The tour, and the pages that go on from it.
const TOUR: [&str; 4] = [
    "README.md",
    "docs/send.md",
    "docs/receive.md",
    "docs/consume.md",
];

#[tokio::test]
async fn b7_the_tour_and_what_goes_on_from_it_paste_into_bash() {
    tour(Shell::Bash).await;
}

#[tokio::test]
async fn b7_the_tour_and_what_goes_on_from_it_paste_into_zsh() {
    tour(Shell::Zsh).await;
}

#[tokio::test]
async fn b7_separate_planes_on_postgres_paste_into_bash_and_deliver() {
    separate_planes(Shell::Bash).await;
}

#[tokio::test]
async fn b7_separate_planes_on_postgres_paste_into_zsh_and_deliver() {
    separate_planes(Shell::Zsh).await;
}

async fn tour(shell: Shell) {
    let Some(mut desk) = Desk::find(shell) else {
        return;
    };
    let blocks = TOUR.map(blocks).concat();
    assert!(blocks.len() > 12, "{} blocks", blocks.len());
    for block in &blocks {
        desk.take(block).await;
    }
    desk.leave().await;
}

async fn separate_planes(shell: Shell) {
    let Some(mut desk) = Desk::find(shell) else {
        return;
    };
    let _postgres = Postgres::start_with(PostgresOptions {
        network: Some(desk.network()),
        is_usual: true,
        ..PostgresOptions::default()
    })
    .await;
    let tour = blocks("README.md");
    let receiver = tour
        .iter()
        .find(|block| block.commands.contains("http.server"));
    desk.take(receiver.expect("the tour has a receiver")).await;
    let blocks = blocks("docs/operate.md");
    assert!(blocks.len() > 8, "{} blocks", blocks.len());
    for block in &blocks {
        desk.take(block).await;
    }
    desk.leave().await;
}
