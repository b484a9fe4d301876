//! Reading the table: backlogs a page at a time, and timers.
//!
//! The table is the truth: besides the pages that lanes want, a slow sweep has every lane read anew that has something
//! overdue, whatever the reason that memory did not send it.

use std::time::Duration;

use super::{Dispatch, orphan, scheduler::PageWanted};
use crate::{clock, outage, store::OpenLane};

/// For how long after a start what was open before waits until nodes have said what they hold.
const RECOVERY: Duration = Duration::from_secs(5);
/// How often the table is searched for what is overdue.
const SWEEP_INTERVAL: Duration = Duration::from_mins(1);
/// From when on something due counts as overdue, in milliseconds.
const OVERDUE_MS: i64 = 30_000;
/// How long reading waits after the database did not answer.
const FAILED_PAUSE: Duration = Duration::from_millis(500);
/// How long timers are left alone at the most.
const TIMER_MAX: Duration = Duration::from_mins(1);

/// Reads pages for ever.
pub(super) async fn run(dispatch: Dispatch) {
    tokio::join!(
        end_recovery(&dispatch),
        read_pages(&dispatch),
        sweep(&dispatch)
    );
}

async fn end_recovery(dispatch: &Dispatch) {
    if dispatch.scheduler().is_recovering() {
        tokio::time::sleep(RECOVERY).await;
        let (shards, now_ms) = (dispatch.0.shards, clock::now_ms());
        dispatch.scheduler().recovered(&shards, now_ms);
        dispatch.wake();
    }
}

async fn read_pages(dispatch: &Dispatch) {
    loop {
        let mut woken = std::pin::pin!(dispatch.0.ready.notified());
        woken.as_mut().enable();
        let page = dispatch.scheduler().next_page();
        match page {
            Some(page) => read(dispatch, page).await,
            None => woken.await,
        }
    }
}

async fn read(dispatch: &Dispatch, page: PageWanted) {
    let rows = dispatch
        .0
        .store
        .delivery_page(page.shard, page.endpoint_id, page.from, page.limit)
        .await;
    match rows {
        Ok(rows) => dispatch
            .scheduler()
            .page_read(&page, Some(&rows), clock::now_ms()),
        Err(error) => {
            outage::log(&error, "could not read what waits for an endpoint");
            dispatch.scheduler().page_read(&page, None, clock::now_ms());
            tokio::time::sleep(FAILED_PAUSE).await;
        }
    }
    dispatch.wake();
}

async fn sweep(dispatch: &Dispatch) {
    loop {
        tokio::time::sleep(SWEEP_INTERVAL).await;
        let due_by = clock::now_ms() - OVERDUE_MS;
        match dispatch.0.store.delivery_lanes(&dispatch.0.shards).await {
            Ok(lanes) => {
                let overdue = lanes.iter().filter(|lane| lane.since <= due_by);
                look_again(dispatch, overdue);
                orphan::cancel(dispatch, &lanes).await;
            }
            Err(error) => {
                outage::log(&error, "could not search the table for what is open");
            }
        }
        match dispatch.0.store.dead_letter_lanes(&dispatch.0.shards).await {
            Ok(lanes) => orphan::cancel(dispatch, &lanes).await,
            Err(error) => outage::log(&error, "could not search the table for dead letters"),
        }
    }
}

/// Has lanes read the table anew.
fn look_again<'a>(dispatch: &Dispatch, lanes: impl Iterator<Item = &'a OpenLane>) {
    let now_ms = clock::now_ms();
    let mut scheduler = dispatch.scheduler();
    for lane in lanes {
        scheduler.suspect(lane.shard, lane.endpoint_id, now_ms);
    }
    drop(scheduler);
    dispatch.wake();
}

/// Lets lanes take their turn when their time comes, for ever.
pub(super) async fn run_timers(dispatch: Dispatch) {
    loop {
        let now_ms = clock::now_ms();
        let next = dispatch.scheduler().fire(now_ms);
        if dispatch.scheduler().has_ready() {
            dispatch.0.ready.notify_waiters();
        }
        let wait = next.map_or(TIMER_MAX, |at| {
            Duration::from_millis(u64::try_from(at - now_ms).unwrap_or(0)).min(TIMER_MAX)
        });
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = dispatch.0.changed.notified() => {}
        }
    }
}
