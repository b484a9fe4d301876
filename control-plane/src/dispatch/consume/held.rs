//! What one stream of a consumer holds: its credit, its handouts, and when their time is up.
//!
//! Plain data: no clock, no lock. Instants are milliseconds of the engine's monotonic clock. A handout is taken, then
//! sent, then ends: by the consumer's word, when its time is up, or because it was revoked. The last ones that ended
//! without the consumer's word are remembered for a while, so that a late word is known for what it is.

use std::collections::{BTreeSet, HashMap, VecDeque};

use crate::{
    dispatch::{report::HandledLease, scheduler::Grant},
    model::id::DeliveryId,
};

/// How many handouts a stream can hold.
pub(super) const HELD_MAX: u32 = 1_024;
/// How long a handout can be held in all, however often it is extended, in milliseconds.
pub(super) const HOLD_MAX_MS: u64 = 12 * 60 * 60 * 1_000;
/// How long a handout may wait to be sent before it goes to others, in milliseconds.
const UNSENT_MAX_MS: u64 = 10_000;
/// How many handouts that ended without a word are remembered.
const LATE_MAX: usize = 1_024;

/// What a stream holds.
#[derive(Debug, Default)]
pub(super) struct Held {
    credit: u32,
    handouts: HashMap<u64, Handout>,
    /// When the time of each handout is up, with its lease.
    deadlines: BTreeSet<(u64, u64)>,
    /// The lease of a delivery that others died of, perhaps.
    suspect: Option<u64>,
    late: VecDeque<(u64, Late)>,
}

#[derive(Debug, Clone, Copy)]
struct Handout {
    delivery_id: DeliveryId,
    attempt: u32,
    until: u64,
    /// When it was sent, and how long it was given then. None: it was not yet.
    sent: Option<(u64, u64)>,
}

/// A handout that ended without the consumer's word.
#[derive(Debug, Clone, Copy)]
struct Late {
    delivery_id: DeliveryId,
    attempt: u32,
    sent_at: u64,
    is_logged: bool,
}

/// A word on a handout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// It was held.
    Held(HandledLease),
    /// It had been given up, and that is logged as an attempt under its lease.
    Logged(HandledLease),
    /// It had been given up without an attempt.
    Revoked(HandledLease),
}

/// A handout whose time is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expired {
    /// It was never sent.
    Unsent(u64, DeliveryId),
    /// It was sent; with it the time that it had been given, in milliseconds.
    Silent(HandledLease, u64),
}

/// A handout that was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct GivenUp {
    /// Its delivery.
    pub delivery_id: DeliveryId,
    /// The consumer has it, and must hear so.
    pub was_sent: bool,
}

impl Held {
    /// Adds to what may be handed out.
    pub(super) fn add_credit(&mut self, handouts: u32) {
        self.credit = self.credit.saturating_add(handouts).min(HELD_MAX);
    }

    /// How many deliveries may be taken.
    pub(super) fn room(&self) -> usize {
        let room = (HELD_MAX as usize).saturating_sub(self.handouts.len());
        room.min(self.credit as usize)
    }

    /// How many suspects may be among them.
    pub(super) fn suspects(&self) -> usize {
        usize::from(self.suspect.is_none())
    }

    /// Notes that a delivery is taken to be handed out.
    pub(super) fn take(&mut self, grant: &Grant, now: u64) {
        if grant.is_suspect {
            self.suspect = Some(grant.lease_id);
        }
        self.credit = self.credit.saturating_sub(1);
        let handout = Handout {
            delivery_id: grant.delivery_id,
            attempt: grant.attempt_count + 1,
            until: now + UNSENT_MAX_MS,
            sent: None,
        };
        self.deadlines.insert((handout.until, grant.lease_id));
        self.handouts.insert(grant.lease_id, handout);
    }

    /// Notes that a handout is sent and has so many milliseconds. False: it was given up in the meantime.
    pub(super) fn send(&mut self, lease_id: u64, within_ms: u64, now: u64) -> bool {
        let Some(handout) = self.handouts.get_mut(&lease_id) else {
            return false;
        };
        handout.sent = Some((now, within_ms));
        let former = std::mem::replace(&mut handout.until, now + within_ms);
        self.deadlines.remove(&(former, lease_id));
        self.deadlines.insert((now + within_ms, lease_id));
        true
    }

    /// Gives a handout until `by_ms` from now, but never longer than 12 h in all. One that is not held is left alone.
    pub(super) fn extend(&mut self, lease_id: u64, by_ms: u64, now: u64) {
        let Some(handout) = self.handouts.get_mut(&lease_id) else {
            return;
        };
        let Some((sent_at, within_ms)) = &mut handout.sent else {
            return;
        };
        let until = (now + by_ms).min(*sent_at + HOLD_MAX_MS);
        *within_ms = until.saturating_sub(*sent_at);
        let former = std::mem::replace(&mut handout.until, until);
        self.deadlines.remove(&(former, lease_id));
        self.deadlines.insert((until, lease_id));
    }

    /// Ends a handout by the consumer's word. None: it never had it, or has said so before.
    pub(super) fn end(&mut self, lease_id: u64, now: u64) -> Option<Ended> {
        let is_sent = |handout: &Handout| handout.sent.is_some();
        if self.handouts.get(&lease_id).is_some_and(is_sent) {
            let handout = self.remove(lease_id)?;
            let (sent_at, _) = handout.sent?;
            let lease = handled(
                lease_id,
                handout.delivery_id,
                handout.attempt,
                now - sent_at,
            );
            return Some(Ended::Held(lease));
        }
        let place = self.late.iter().position(|(late, _)| *late == lease_id)?;
        let (_, late) = self.late.remove(place)?;
        let duration_ms = now.saturating_sub(late.sent_at);
        let lease = handled(lease_id, late.delivery_id, late.attempt, duration_ms);
        Some(if late.is_logged {
            Ended::Logged(lease)
        } else {
            Ended::Revoked(lease)
        })
    }

    /// Ends the handouts whose time is up.
    pub(super) fn expire(&mut self, now: u64) -> Vec<Expired> {
        let mut expired = Vec::new();
        while let Some((until, lease_id)) = self.deadlines.first().copied() {
            if until > now {
                break;
            }
            let Some(handout) = self.remove(lease_id) else {
                self.deadlines.pop_first();
                continue;
            };
            expired.push(match handout.sent {
                None => {
                    self.add_credit(1);
                    Expired::Unsent(lease_id, handout.delivery_id)
                }
                Some((sent_at, within_ms)) => {
                    self.remember(lease_id, &handout, sent_at, true);
                    let duration_ms = now - sent_at;
                    let lease =
                        handled(lease_id, handout.delivery_id, handout.attempt, duration_ms);
                    Expired::Silent(lease, within_ms)
                }
            });
        }
        expired
    }

    /// When the next handout's time is up.
    pub(super) fn next_deadline(&self) -> Option<u64> {
        self.deadlines.first().map(|(until, _)| *until)
    }

    /// Ends a handout that is revoked, or that cannot be sent. None: it is not held.
    pub(super) fn give_up(&mut self, lease_id: u64) -> Option<GivenUp> {
        let handout = self.remove(lease_id)?;
        if let Some((sent_at, _)) = handout.sent {
            self.remember(lease_id, &handout, sent_at, false);
        } else {
            self.add_credit(1);
        }
        Some(GivenUp {
            delivery_id: handout.delivery_id,
            was_sent: handout.sent.is_some(),
        })
    }

    /// What was taken and never sent.
    pub(super) fn unsent(&self) -> Vec<(u64, DeliveryId)> {
        let handouts = self.handouts.iter();
        let unsent = handouts.filter(|(_, handout)| handout.sent.is_none());
        unsent
            .map(|(lease_id, handout)| (*lease_id, handout.delivery_id))
            .collect()
    }

    fn remove(&mut self, lease_id: u64) -> Option<Handout> {
        let handout = self.handouts.remove(&lease_id)?;
        self.deadlines.remove(&(handout.until, lease_id));
        self.suspect = self.suspect.filter(|suspect| *suspect != lease_id);
        Some(handout)
    }

    fn remember(&mut self, lease_id: u64, handout: &Handout, sent_at: u64, is_logged: bool) {
        if self.late.len() >= LATE_MAX {
            self.late.pop_front();
        }
        let late = Late {
            delivery_id: handout.delivery_id,
            attempt: handout.attempt,
            sent_at,
            is_logged,
        };
        self.late.push_back((lease_id, late));
    }
}

fn handled(lease_id: u64, delivery_id: DeliveryId, attempt: u32, duration_ms: u64) -> HandledLease {
    HandledLease {
        lease_id,
        delivery_id,
        attempt,
        duration_ms,
    }
}

#[cfg(test)]
mod tests;
