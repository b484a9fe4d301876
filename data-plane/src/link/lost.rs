//! Why there is no stream to the control plane.

use tonic::{Code, Status};

/// Why a stream ended, or did not begin.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Lost {
    /// No connection.
    #[error("no connection")]
    Connect(#[from] tonic::transport::Error),
    /// The control plane refuses the node's key.
    #[error("the control plane refuses this node's key ({}: {}); the key is read again from its file when that changes", .0.code(), .0.message())]
    Refused(Status),
    /// The control plane ended it with a status.
    #[error("the control plane said {}: {}", .0.code(), .0.message())]
    Said(Status),
    /// The control plane ended it without one.
    #[error("the control plane ended the stream")]
    Closed,
    /// Nothing in time.
    #[error("the control plane did not say in time what a stream begins with")]
    Silent,
}

impl From<Status> for Lost {
    fn from(status: Status) -> Self {
        match status.code() {
            Code::Unauthenticated | Code::PermissionDenied => Self::Refused(status),
            _ => Self::Said(status),
        }
    }
}
