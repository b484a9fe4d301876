//! Why a request is not answered by the control plane.

use super::{body::Fault, refusal::Refusal};
use crate::inbound::forward::Unanswered;

/// Why there is no answer of the control plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unfit {
    Refused(Refusal),
    Gone,
}

impl From<Refusal> for Unfit {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Unanswered> for Unfit {
    fn from(unanswered: Unanswered) -> Self {
        Self::Refused(match unanswered {
            Unanswered::Away => Refusal::Away,
            Unanswered::Lost => Refusal::Lost,
        })
    }
}

impl From<Fault> for Unfit {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Gone => Self::Gone,
            Fault::Malformed => Self::Refused(Refusal::Framing),
        }
    }
}
