//! Leases: who holds one, and what names it.

use std::fmt;

use uuid::Uuid;

use super::{
    column::column_enum,
    id::{ConsumerId, DeliveryId, NodeId},
};

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

column_enum! {
    /// The kinds of holders.
    HolderKind {
        /// Nodes.
        Node = 1 "node",
        /// Streams of consumers.
        Consumer = 2 "consumer",
    }
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
        Some(match HolderKind::from_column(kind)? {
            HolderKind::Node => Self::Node(NodeId::from_uuid(uuid)),
            HolderKind::Consumer => Self::Consumer(ConsumerId::from_uuid(uuid)),
        })
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
