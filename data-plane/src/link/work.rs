//! The task of one lease: begin it if it may still be begun, perform it, tell what became of it.

use std::{sync::Arc, time::Duration};

use posthorn::node::v1::{Lease, NotStartedReason};
use tokio::{sync::mpsc::UnboundedSender, time::Instant};

use super::{
    held::{Finished, not_started},
    ticket::Ticket,
};
use crate::{clock, deliver::Sender};

/// Works on a lease that came at `arrived`. Sends exactly one end of it.
pub(super) async fn work(
    sender: Arc<Sender>,
    mut lease: Lease,
    ticket: Arc<Ticket>,
    arrived: Instant,
    ends: UnboundedSender<Finished>,
) {
    let began = clock::now();
    let lease_id = lease.lease_id;
    // The channel is open as long as the link lives; without a link nobody can be told.
    let end = |fact, trace| {
        let took = clock::now().saturating_duration_since(began);
        let _no_link = ends.send(Finished {
            lease_id,
            fact,
            trace,
            began,
            took,
        });
    };
    if let Err(reason) = begin(&lease, &ticket, arrived, began) {
        return end(not_started(reason), None);
    }
    let performed = sender.perform(&mut lease, began).await;
    end(performed.fact, Some(performed.trace));
    if let Some(reusable) = performed.reusable {
        reusable.keep().await;
    }
}

fn begin(
    lease: &Lease,
    ticket: &Ticket,
    arrived: Instant,
    now: Instant,
) -> Result<(), NotStartedReason> {
    let hold = Duration::from_millis(lease.hold_ms.into());
    let timeout = Duration::from_millis(lease.timeout_ms.into());
    if now + timeout > arrived + hold {
        return Err(NotStartedReason::TooLate);
    }
    ticket.begin()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_begins_only_while_its_time_covers_the_whole_attempt() {
        let lease = Lease {
            timeout_ms: 15_000,
            hold_ms: 20_000,
            ..Lease::default()
        };
        let arrived = clock::now();
        for (waited_ms, expected) in [
            (0, Ok(())),
            (5_000, Ok(())),
            (5_001, Err(NotStartedReason::TooLate)),
            (60_000, Err(NotStartedReason::TooLate)),
        ] {
            let now = arrived + Duration::from_millis(waited_ms);
            assert_eq!(
                begin(&lease, &Ticket::default(), arrived, now),
                expected,
                "{waited_ms}"
            );
        }
    }
}
