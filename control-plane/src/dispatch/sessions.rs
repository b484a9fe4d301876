//! Which nodes have a session, so that a node has one at a time and a lease can be revoked where it is held.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    error::Error,
    model::id::{KeyId, NodeId},
};

/// How many sessions one key may have.
const SESSIONS_PER_KEY_MAX: usize = 64;

/// The sessions that stand.
#[derive(Debug, Default)]
pub(super) struct Sessions(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    sessions: HashMap<NodeId, Standing>,
    next: u64,
}

#[derive(Debug)]
struct Standing {
    number: u64,
    key_id: KeyId,
    replaced: CancellationToken,
    revoked: mpsc::UnboundedSender<u64>,
}

/// A session that was opened.
#[derive(Debug)]
pub(super) struct Opened {
    /// Tells this session of a node from its others.
    pub number: u64,
    /// Cancelled when the node opens another one.
    pub replaced: CancellationToken,
    /// Leases that the node need not begin.
    pub revoked: mpsc::UnboundedReceiver<u64>,
}

impl Sessions {
    /// Opens a node's session and ends the one that it had.
    pub(super) fn open(&self, node_id: NodeId, key_id: KeyId) -> Result<Opened, Error> {
        let mut table = self.table();
        if table
            .sessions
            .get(&node_id)
            .is_some_and(|standing| standing.key_id != key_id)
        {
            let message = "hello.node_id is in use under another key".to_owned();
            return Err(Error::PermissionDenied(message));
        }
        let others = table.sessions.iter();
        let others =
            others.filter(|(other, standing)| **other != node_id && standing.key_id == key_id);
        if others.count() >= SESSIONS_PER_KEY_MAX {
            let message = format!("a key may have at most {SESSIONS_PER_KEY_MAX} sessions");
            return Err(Error::Exhausted(message));
        }
        let number = table.next;
        table.next += 1;
        let replaced = CancellationToken::new();
        let (sender, revoked) = mpsc::unbounded_channel();
        let standing = Standing {
            number,
            key_id,
            replaced: replaced.clone(),
            revoked: sender,
        };
        if let Some(former) = table.sessions.insert(node_id, standing) {
            former.replaced.cancel();
        }
        Ok(Opened {
            number,
            replaced,
            revoked,
        })
    }

    /// Notes that a session ended. True when the node has no other.
    pub(super) fn close(&self, node_id: NodeId, number: u64) -> bool {
        let mut table = self.table();
        let is_last = table
            .sessions
            .get(&node_id)
            .is_some_and(|standing| standing.number == number);
        if is_last {
            table.sessions.remove(&node_id);
        }
        is_last
    }

    /// Whether a node has a session.
    pub(super) fn is_open(&self, node_id: NodeId) -> bool {
        self.table().sessions.contains_key(&node_id)
    }

    /// How many sessions stand.
    pub(super) fn len(&self) -> usize {
        self.table().sessions.len()
    }

    /// Asks a node not to begin a lease.
    pub(super) fn revoke(&self, node_id: NodeId, lease_id: u64) {
        if let Some(standing) = self.table().sessions.get(&node_id) {
            // A session that has just ended has nothing to revoke.
            let _ = standing.revoked.send(lease_id);
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
