//! What one stream of a holder holds: its credit, its leases, and when their time is up.
//!
//! Plain data: no clock, no lock. Instants are milliseconds of the schedule's monotonic clock. A lease is taken, then sent,
//! then ends: by the holder's word, when its time is up, or because it was revoked. The last ones that ended without the
//! holder's word are remembered for a while, so that a late word is known for what it is.

use std::collections::{BTreeSet, HashMap, VecDeque};

use crate::{dispatch::schedule::Grant, model::lease::LeaseKey};

/// How many bytes of bodies a holder can have asked for at one time.
const CREDIT_BYTES_MAX: u64 = 1 << 30;
/// How long a lease can be held in all, however often it is extended, in milliseconds.
pub(super) const HOLD_MAX_MS: u64 = 12 * 60 * 60 * 1_000;
/// How many leases that ended without a word are remembered.
const LATE_MAX: usize = 1_024;

/// What a stream holds.
#[derive(Debug)]
pub(super) struct Held {
    /// How many leases it can hold.
    capacity: u32,
    /// How many it can be sent now.
    credit: u32,
    /// How many bytes of bodies. None: it does not count them.
    bytes: Option<u64>,
    is_draining: bool,
    leases: HashMap<u64, Holding>,
    /// When the time of each lease is up that has an end.
    deadlines: BTreeSet<(u64, u64)>,
    /// The lease of a delivery that others died of, perhaps.
    suspect: Option<u64>,
    late: VecDeque<Late>,
}

#[derive(Debug, Clone, Copy)]
struct Holding {
    key: LeaseKey,
    /// None: the holder takes the time that it takes.
    until: Option<u64>,
    /// When it was sent, and how long it was given then. None: it was not yet.
    sent: Option<(u64, u64)>,
}

/// A lease that ended without the holder's word.
#[derive(Debug, Clone, Copy)]
struct Late {
    key: LeaseKey,
    sent_at: u64,
    is_logged: bool,
}

/// A word on a lease, with how long it was held, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// It was held.
    Held(LeaseKey, u64),
    /// It had been given up, and that is logged as an attempt under it.
    Logged(LeaseKey, u64),
    /// It had been given up without an attempt.
    Revoked(LeaseKey, u64),
}

/// A lease whose time is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expired {
    /// It was never sent.
    Unsent(LeaseKey),
    /// It was sent; with it how long it was held and how long it had been given, in milliseconds.
    Silent(LeaseKey, u64, u64),
}

/// What became of a lease that was to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// It is the holder's.
    Yes,
    /// There is no credit for its body.
    NoCredit,
    /// It was given up in the meantime.
    Gone,
}

impl Held {
    /// A stream that can hold so many leases and has been given no credit. `counts_bytes` is whether bodies need some.
    pub(super) fn new(capacity: u32, counts_bytes: bool) -> Self {
        Self {
            capacity,
            credit: 0,
            bytes: counts_bytes.then_some(0),
            is_draining: false,
            leases: HashMap::new(),
            deadlines: BTreeSet::new(),
            suspect: None,
            late: VecDeque::new(),
        }
    }

    /// Adds to what may be sent.
    pub(super) fn add_credit(&mut self, deliveries: u32, bytes: u64) {
        self.credit = self.credit.saturating_add(deliveries).min(self.capacity);
        if let Some(credit) = &mut self.bytes {
            *credit = credit.saturating_add(bytes).min(CREDIT_BYTES_MAX);
        }
    }

    /// Takes no more from here on.
    pub(super) fn drain(&mut self) {
        self.is_draining = true;
    }

    /// How many deliveries may be taken.
    pub(super) fn room(&self) -> usize {
        if self.is_draining || self.bytes == Some(0) {
            return 0;
        }
        let room = (self.capacity as usize).saturating_sub(self.leases.len());
        room.min(self.credit as usize)
    }

    /// How many suspects may be among them.
    pub(super) fn suspects(&self) -> usize {
        usize::from(self.suspect.is_none())
    }

    /// Notes that a delivery is taken to be sent, by `until` if that is given.
    pub(super) fn take(&mut self, grant: &Grant, until: Option<u64>) {
        if grant.is_suspect {
            self.suspect = Some(grant.key.lease_id);
        }
        self.credit = self.credit.saturating_sub(1);
        self.put(Holding {
            key: grant.key,
            until,
            sent: None,
        });
    }

    /// Notes a lease that the holder brought along.
    pub(super) fn adopt(&mut self, key: LeaseKey) {
        self.put(Holding {
            key,
            until: None,
            sent: Some((0, 0)),
        });
    }

    /// Notes that a lease is sent whose body has so many bytes, and that it has so many milliseconds. The last body may
    /// overdraw the credit, so that one that is larger than all of it is not stuck for ever.
    pub(super) fn send(
        &mut self,
        lease_id: u64,
        body_bytes: u64,
        within_ms: Option<u64>,
        now: u64,
    ) -> Sent {
        let Some(mut holding) = self.leases.get(&lease_id).copied() else {
            return Sent::Gone;
        };
        match &mut self.bytes {
            Some(0) => return Sent::NoCredit,
            Some(credit) => *credit = credit.saturating_sub(body_bytes),
            None => {}
        }
        holding.sent = Some((now, within_ms.unwrap_or(0)));
        self.set_until(&mut holding, within_ms.map(|within_ms| now + within_ms));
        self.leases.insert(lease_id, holding);
        Sent::Yes
    }

    /// Gives a lease until `by_ms` from now, but never longer than 12 h in all. One that is not held is left alone.
    pub(super) fn extend(&mut self, lease_id: u64, by_ms: u64, now: u64) {
        let Some(mut holding) = self.leases.get(&lease_id).copied() else {
            return;
        };
        let Some((sent_at, _)) = holding.sent else {
            return;
        };
        let until = (now + by_ms).min(sent_at + HOLD_MAX_MS);
        holding.sent = Some((sent_at, until.saturating_sub(sent_at)));
        self.set_until(&mut holding, Some(until));
        self.leases.insert(lease_id, holding);
    }

    /// Ends a lease by the holder's word. None: the holder never had it, or has said so before.
    pub(super) fn end(&mut self, lease_id: u64, now: u64) -> Option<Ended> {
        let holding = self.leases.get(&lease_id);
        if let Some((sent_at, _)) = holding.and_then(|holding| holding.sent) {
            let holding = self.remove(lease_id)?;
            return Some(Ended::Held(holding.key, now.saturating_sub(sent_at)));
        }
        let place = self
            .late
            .iter()
            .position(|late| late.key.lease_id == lease_id);
        let late = self.late.remove(place?)?;
        let held_for = now.saturating_sub(late.sent_at);
        Some(if late.is_logged {
            Ended::Logged(late.key, held_for)
        } else {
            Ended::Revoked(late.key, held_for)
        })
    }

    /// Ends the leases whose time is up.
    pub(super) fn expire(&mut self, now: u64) -> Vec<Expired> {
        let mut expired = Vec::new();
        while let Some((until, lease_id)) = self.deadlines.first().copied() {
            if until > now {
                break;
            }
            let Some(holding) = self.remove(lease_id) else {
                self.deadlines.pop_first();
                continue;
            };
            expired.push(match holding.sent {
                None => {
                    self.add_credit(1, 0);
                    Expired::Unsent(holding.key)
                }
                Some((sent_at, within_ms)) => {
                    self.remember(holding.key, sent_at, true);
                    Expired::Silent(holding.key, now - sent_at, within_ms)
                }
            });
        }
        expired
    }

    /// When the next lease's time is up.
    pub(super) fn next_deadline(&self) -> Option<u64> {
        self.deadlines.first().map(|(until, _)| *until)
    }

    /// Ends a lease that is revoked, or that cannot be sent. Returns it with whether the holder has it and must hear so.
    /// None: it is not held.
    pub(super) fn give_up(&mut self, lease_id: u64) -> Option<(LeaseKey, bool)> {
        let holding = self.remove(lease_id)?;
        match holding.sent {
            Some((sent_at, _)) => self.remember(holding.key, sent_at, false),
            None => self.add_credit(1, 0),
        }
        Some((holding.key, holding.sent.is_some()))
    }

    /// What was taken and never sent.
    pub(super) fn unsent(&self) -> Vec<LeaseKey> {
        let leases = self.leases.values();
        let unsent = leases.filter(|holding| holding.sent.is_none());
        unsent.map(|holding| holding.key).collect()
    }

    fn put(&mut self, holding: Holding) {
        let lease_id = holding.key.lease_id;
        self.deadlines
            .extend(holding.until.map(|until| (until, lease_id)));
        self.leases.insert(lease_id, holding);
    }

    fn set_until(&mut self, holding: &mut Holding, until: Option<u64>) {
        let lease_id = holding.key.lease_id;
        if let Some(former) = std::mem::replace(&mut holding.until, until) {
            self.deadlines.remove(&(former, lease_id));
        }
        self.deadlines.extend(until.map(|until| (until, lease_id)));
    }

    fn remove(&mut self, lease_id: u64) -> Option<Holding> {
        let holding = self.leases.remove(&lease_id)?;
        if let Some(until) = holding.until {
            self.deadlines.remove(&(until, lease_id));
        }
        self.suspect = self.suspect.filter(|suspect| *suspect != lease_id);
        Some(holding)
    }

    fn remember(&mut self, key: LeaseKey, sent_at: u64, is_logged: bool) {
        if self.late.len() >= LATE_MAX {
            self.late.pop_front();
        }
        self.late.push_back(Late {
            key,
            sent_at,
            is_logged,
        });
    }
}

#[cfg(test)]
mod tests;
