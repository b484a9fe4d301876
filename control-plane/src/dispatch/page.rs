//! Reading the table: backlogs a page at a time, and timers.
//!
//! The table is the truth: besides the pages that lanes want, a slow sweep has every lane read anew that has something
//! overdue, whatever the reason that memory did not send it.

use std::time::Duration;

use super::{Dispatch, orphan, schedule::PageWanted};
use crate::outage;

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
pub(super) async fn read_pages(dispatch: &Dispatch) {
    loop {
        let page = dispatch.0.schedule.next_page().await;
        read(dispatch, page).await;
    }
}

async fn read(dispatch: &Dispatch, page: PageWanted) {
    let (store, schedule) = (&dispatch.0.core.store, &dispatch.0.schedule);
    let rows = store.delivery_page(page.shard, page.endpoint_id, page.from, page.limit);
    match rows.await {
        Ok(rows) => schedule.page_read(&page, Some(&rows)),
        Err(error) => {
            outage::log(&error, "could not read what waits for an endpoint");
            schedule.page_read(&page, None);
            tokio::time::sleep(FAILED_PAUSE).await;
        }
    }
}

/// Lets everything be read from the table once nodes have had time to say what they hold, and from then on looks, for
/// ever, for what is overdue and for what belongs to endpoints that are gone.
pub(super) async fn recover_and_sweep(dispatch: &Dispatch) {
    tokio::time::sleep(RECOVERY).await;
    dispatch.0.schedule.recovered(&dispatch.0.shards);
    loop {
        sweep(dispatch).await;
        dispatch.0.core.clock.sleep(SWEEP_INTERVAL).await;
    }
}

async fn sweep(dispatch: &Dispatch) {
    let (store, shards) = (&dispatch.0.core.store, &dispatch.0.shards);
    match store.delivery_lanes(shards).await {
        Ok(lanes) => {
            let due_by = dispatch.0.core.clock.now_ms() - OVERDUE_MS;
            for lane in lanes.iter().filter(|lane| lane.since <= due_by) {
                dispatch.0.schedule.mark_stale(lane.shard, lane.endpoint_id);
            }
            orphan::cancel(dispatch, &lanes).await;
        }
        Err(error) => outage::log(&error, "could not search the table for what is open"),
    }
    match store.dead_letter_lanes(shards).await {
        Ok(lanes) => orphan::cancel(dispatch, &lanes).await,
        Err(error) => outage::log(&error, "could not search the table for dead letters"),
    }
}

/// Lets lanes take their turn when their time comes, for ever.
pub(super) async fn run_timers(dispatch: &Dispatch) {
    loop {
        let next = dispatch.0.schedule.fire();
        let wait = next.map_or(TIMER_MAX, |at| {
            let wait_ms = u64::try_from(at - dispatch.0.core.clock.now_ms()).unwrap_or(0);
            Duration::from_millis(wait_ms).min(TIMER_MAX)
        });
        tokio::select! {
            () = dispatch.0.core.clock.sleep(wait) => {}
            () = dispatch.0.schedule.timer_changed() => {}
        }
    }
}
