//! Leases: who holds one, and what names it.

use std::fmt;

use uuid::Uuid;

use super::id::{ConsumerId, DeliveryId, NodeId};

/// What names a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct LeaseKey {
    /// The lease. Its upper half is the epoch of the schedule that granted it.
    pub lease_id: u64,
    /// Its delivery.
    pub delivery_id: DeliveryId,
    /// The number of the attempt that it is for, from 1.
    pub attempt: u32,
}

/// Who holds leases, and makes the attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum HolderId {
    /// A node, which chose its id.
    Node(NodeId),
    /// A stream of a consumer, which was given its id and never comes back under it.
    Consumer(ConsumerId),
}

/// The kinds of holders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HolderKind {
    /// Nodes.
    Node,
    /// Streams of consumers.
    Consumer,
}

impl HolderId {
    /// Which kind it is of.
    pub(crate) fn kind(self) -> HolderKind {
        match self {
            Self::Node(_) => HolderKind::Node,
            Self::Consumer(_) => HolderKind::Consumer,
        }
    }

    /// The value that a column holds, beside its kind.
    pub(crate) fn uuid(self) -> Uuid {
        match self {
            Self::Node(id) => id.uuid(),
            Self::Consumer(id) => id.uuid(),
        }
    }

    /// Takes the values that columns hold.
    pub(crate) fn from_columns(kind: i16, uuid: Uuid) -> Option<Self> {
        match kind {
            1 => Some(Self::Node(NodeId::from_uuid(uuid))),
            2 => Some(Self::Consumer(ConsumerId::from_uuid(uuid))),
            _ => None,
        }
    }
}

impl HolderKind {
    /// The value of the column.
    pub(crate) fn column(self) -> i16 {
        match self {
            Self::Node => 1,
            Self::Consumer => 2,
        }
    }
}

impl fmt::Display for HolderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(id) => fmt::Display::fmt(id, f),
            Self::Consumer(id) => fmt::Display::fmt(id, f),
        }
    }
}
