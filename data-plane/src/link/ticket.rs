//! The right to begin a lease's request: used once, or withdrawn before that.

use std::sync::atomic::{AtomicI32, Ordering};

use posthorn::node::v1::NotStartedReason;

/// Not used, not withdrawn. Any other number but `BEGUN` is the reason why it was withdrawn.
const UNUSED: i32 = NotStartedReason::Unspecified as i32;
const BEGUN: i32 = -1;

/// Shared between the session, which may withdraw it, and the lease's task, which uses it.
#[derive(Debug, Default)]
pub(super) struct Ticket(AtomicI32);

impl Ticket {
    /// Begins. Fails with the reason when the ticket was withdrawn before.
    pub(super) fn begin(&self) -> Result<(), NotStartedReason> {
        let begun = self
            .0
            .compare_exchange(UNUSED, BEGUN, Ordering::AcqRel, Ordering::Acquire);
        begun
            .map(drop)
            .map_err(|reason| NotStartedReason::try_from(reason).unwrap_or_default())
    }

    /// Withdraws the right. Without effect once it was used or withdrawn.
    pub(super) fn withdraw(&self, reason: NotStartedReason) {
        let reason = reason.into();
        let _used = self
            .0
            .compare_exchange(UNUSED, reason, Ordering::AcqRel, Ordering::Acquire);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_used_or_withdrawn_whichever_is_first() {
        let used = Ticket::default();
        assert_eq!(used.begin(), Ok(()));
        used.withdraw(NotStartedReason::Revoked);
        assert_eq!(
            used.begin(),
            Err(NotStartedReason::Unspecified),
            "only once"
        );

        let withdrawn = Ticket::default();
        withdrawn.withdraw(NotStartedReason::Revoked);
        withdrawn.withdraw(NotStartedReason::Drain);
        assert_eq!(withdrawn.begin(), Err(NotStartedReason::Revoked));
    }
}
