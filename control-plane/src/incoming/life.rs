//! How long a connection may live. Pings are no life: only calls count.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::peer::{Peer, Standing};
use crate::{clock, config::Limits};

/// How often a connection is looked at, unless its limits are shorter.
const LOOK_MAX: Duration = Duration::from_secs(5);
const LOOK_MIN: Duration = Duration::from_millis(50);
/// How many looks fit into the shortest limit.
const LOOKS: u32 = 4;
/// What a quiet peer sends between two looks: pings, their answers, windows.
const QUIET_BYTES: u64 = 16 * 1_024;

/// Why a connection takes no more calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    /// It has never made one.
    NoCall,
    /// It has made none for a while.
    Idle,
    /// It is old.
    Old,
}

/// A connection at one moment.
#[derive(Debug, Clone, Copy)]
struct Moment {
    is_known: bool,
    has_called: bool,
    age: Duration,
    quiet: Duration,
}

/// Waits until the connection is to take no more calls.
pub(super) async fn over(peer: &Peer, limits: &Limits) -> Over {
    let every = look_every(limits);
    let since = clock::monotonic();
    let (mut quiet_since, mut quiet_looks, mut calls): (Instant, u32, u64) = (since, 0, 0);
    loop {
        sleep(every).await;
        let now = clock::monotonic();
        let calls_now = peer.begun();
        if peer.is_busy() || calls_now != calls {
            (quiet_since, quiet_looks, calls) = (now, 0, calls_now);
        } else {
            quiet_looks = quiet_looks.saturating_add(1);
        }
        peer.looked(quiet_looks);
        let moment = Moment {
            is_known: peer.standing() != Standing::Stranger,
            has_called: calls > 0,
            age: now - since,
            quiet: now - quiet_since,
        };
        if moment.is_known {
            peer.flood().forgive(QUIET_BYTES);
        }
        if let Some(over) = judge(moment, limits) {
            return over;
        }
    }
}

fn judge(at: Moment, limits: &Limits) -> Option<Over> {
    let (idle, age) = if at.is_known {
        (limits.idle_timeout, limits.connection_age)
    } else {
        (limits.stranger_idle_timeout, limits.stranger_age)
    };
    if !at.has_called && at.age >= limits.first_call_timeout {
        return Some(Over::NoCall);
    }
    if at.quiet >= idle {
        return Some(Over::Idle);
    }
    (at.age >= age).then_some(Over::Old)
}

fn look_every(limits: &Limits) -> Duration {
    let shortest = limits
        .first_call_timeout
        .min(limits.stranger_idle_timeout)
        .min(limits.idle_timeout)
        .min(limits.stranger_age)
        .min(limits.connection_age);
    (shortest / LOOKS).clamp(LOOK_MIN, LOOK_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn moment(is_known: bool, has_called: bool, age: u64, quiet: u64) -> Moment {
        Moment {
            is_known,
            has_called,
            age: Duration::from_secs(age),
            quiet: Duration::from_secs(quiet),
        }
    }

    #[test]
    fn a_connection_lives_by_its_calls() {
        let limits = Limits::default();
        for (at, expected) in [
            (moment(false, false, 9, 9), None),
            (moment(false, false, 10, 10), Some(Over::NoCall)),
            (moment(false, true, 40, 29), None),
            (moment(false, true, 40, 30), Some(Over::Idle)),
            (moment(false, true, 599, 0), None),
            (moment(false, true, 600, 0), Some(Over::Old)),
            (moment(true, true, 600, 299), None),
            (moment(true, true, 600, 300), Some(Over::Idle)),
            (moment(true, true, 3_599, 0), None),
            (moment(true, true, 3_600, 0), Some(Over::Old)),
        ] {
            assert_eq!(judge(at, &limits), expected, "{at:?}");
        }
    }

    #[test]
    fn a_connection_is_looked_at_often_enough_and_no_more() {
        assert_eq!(look_every(&Limits::default()), Duration::from_millis(2_500));
        let idle_timeout = Duration::from_millis(1);
        let short = Limits {
            idle_timeout,
            ..Limits::default()
        };
        assert_eq!(look_every(&short), LOOK_MIN);
    }
}
