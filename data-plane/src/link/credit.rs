//! How much the control plane may send, and when to tell it that it may send more. Pure.
//!
//! Credit goes back in portions, so that there is not a message for every lease; a portion is small against the whole,
//! so that what is held back never stops the flow.

use posthorn::node::v1::Credit;

/// How many bytes of bodies a node holds at most: far more than the largest body.
const BYTES_MAX: u64 = 64 * 1024 * 1024;
/// A portion is the whole divided by this.
const PORTIONS: u32 = 16;

/// The node's side of the account.
#[derive(Debug)]
pub(super) struct CreditAccount {
    capacity: u32,
    /// What the node works on.
    used: u32,
    used_bytes: u64,
    /// What has become free and is not told yet.
    freed: u32,
    freed_bytes: u64,
}

impl CreditAccount {
    /// An account for so many leases at one time.
    pub(super) fn new(capacity: u32) -> Self {
        Self {
            capacity,
            used: 0,
            used_bytes: 0,
            freed: 0,
            freed_bytes: 0,
        }
    }

    /// A new session: everything that is not in use is granted.
    pub(super) fn open(&mut self) -> Credit {
        self.freed = 0;
        self.freed_bytes = 0;
        Credit {
            deliveries: self.capacity.saturating_sub(self.used),
            bytes: BYTES_MAX.saturating_sub(self.used_bytes),
        }
    }

    /// A lease came.
    pub(super) fn take(&mut self, bytes: u64) {
        self.used += 1;
        self.used_bytes += bytes;
    }

    /// A lease ended.
    pub(super) fn free(&mut self, bytes: u64) {
        self.used = self.used.saturating_sub(1);
        self.used_bytes = self.used_bytes.saturating_sub(bytes);
        self.freed += 1;
        self.freed_bytes += bytes;
    }

    /// Whether a portion has gathered.
    pub(super) fn is_due(&self) -> bool {
        self.freed >= (self.capacity / PORTIONS).max(1)
            || self.freed_bytes >= BYTES_MAX / u64::from(PORTIONS)
    }

    /// Grants what has become free.
    pub(super) fn grant(&mut self) -> Credit {
        Credit {
            deliveries: std::mem::take(&mut self.freed),
            bytes: std::mem::take(&mut self.freed_bytes),
        }
    }

    /// What the control plane may still send, as far as the node has told it.
    pub(super) fn outstanding(&self) -> u32 {
        self.capacity.saturating_sub(self.used + self.freed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_begins_with_what_is_not_in_use() {
        let mut account = CreditAccount::new(32);
        assert_eq!(
            (account.open().deliveries, account.open().bytes),
            (32, BYTES_MAX)
        );
        account.take(100);
        assert_eq!(
            (account.open().deliveries, account.open().bytes),
            (31, BYTES_MAX - 100)
        );
    }

    #[test]
    fn credit_goes_back_in_portions_and_nothing_is_lost() {
        let mut account = CreditAccount::new(32);
        account.open();
        account.take(10);
        account.take(20);
        assert_eq!(account.outstanding(), 30);
        account.free(10);
        assert!(!account.is_due());
        account.free(20);
        assert!(account.is_due());
        let credit = account.grant();
        assert_eq!((credit.deliveries, credit.bytes), (2, 30));
        assert!(!account.is_due());
        assert_eq!(account.outstanding(), 32);
    }

    #[test]
    fn a_node_of_capacity_one_gives_every_lease_back_at_once() {
        let mut account = CreditAccount::new(1);
        account.open();
        account.take(1);
        account.free(1);
        assert!(account.is_due());
    }

    #[test]
    fn large_bodies_make_credit_due_before_the_number_of_leases_does() {
        let mut account = CreditAccount::new(1_024);
        account.open();
        account.take(8 * 1024 * 1024);
        account.free(8 * 1024 * 1024);
        assert!(account.is_due());
    }
}
