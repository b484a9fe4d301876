//! Which nodes have a session, so that a node has one at a time and a lease can be revoked where it is held. Consumers'
//! streams have a table of the same kind; each is a holder of its own that never comes back.

use std::collections::HashMap;

use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    error::Error,
    lock::{Lock, Locked, SESSIONS},
    model::id::{KeyId, NodeId},
};

/// How many sessions one key may have.
const SESSIONS_PER_KEY_MAX: usize = 64;

/// The sessions that stand.
#[derive(Debug, Default)]
pub(super) struct Sessions(Lock<Table, SESSIONS>);

#[derive(Debug, Default)]
struct Table {
    sessions: HashMap<NodeId, Standing>,
    /// Nodes without a session that may still come back, with the number of their last one and its key.
    gone: HashMap<NodeId, (u64, KeyId)>,
    next: u64,
}

#[derive(Debug)]
struct Standing {
    number: u64,
    key_id: KeyId,
    replaced: CancellationToken,
    ended: CancellationToken,
    revoked: mpsc::UnboundedSender<u64>,
}

/// A session that was opened.
#[derive(Debug)]
pub(super) struct Opened {
    /// Tells this session of a node from its others.
    pub number: u64,
    /// Cancelled when the node opens another one.
    pub replaced: CancellationToken,
    /// Cancelled when the node's former session has ended, if it had one.
    former: Option<CancellationToken>,
    /// Leases that the node need not begin.
    pub revoked: mpsc::UnboundedReceiver<u64>,
    _ended: DropGuard,
}

impl Opened {
    /// Waits until the node's former session has ended, so that it grants nothing any more.
    pub(super) async fn former_ended(&self) {
        if let Some(former) = &self.former {
            former.cancelled().await;
        }
    }
}

impl Table {
    /// The key whose node id this is, as long as what the node holds is its own.
    fn owner(&self, node_id: NodeId) -> Option<KeyId> {
        let standing = self.sessions.get(&node_id);
        let standing = standing.map(|standing| standing.key_id);
        standing.or_else(|| self.gone.get(&node_id).map(|(_, key_id)| *key_id))
    }
}

impl Sessions {
    /// Opens a node's session and ends the one that it had.
    pub(super) fn open(&self, node_id: NodeId, key_id: KeyId) -> Result<Opened, Error> {
        let mut table = self.table();
        if table.owner(node_id).is_some_and(|owner| owner != key_id) {
            let message = "hello.node_id is in use under another key".to_owned();
            return Err(Error::PermissionDenied(message));
        }
        let others = table.sessions.iter();
        let others =
            others.filter(|(other, standing)| **other != node_id && standing.key_id == key_id);
        if others.count() >= SESSIONS_PER_KEY_MAX {
            let message = format!("a key may have at most {SESSIONS_PER_KEY_MAX} such streams");
            return Err(Error::Exhausted(message));
        }
        let number = table.next;
        table.next += 1;
        let (replaced, ended) = (CancellationToken::new(), CancellationToken::new());
        let (sender, revoked) = mpsc::unbounded_channel();
        let standing = Standing {
            number,
            key_id,
            replaced: replaced.clone(),
            ended: ended.clone(),
            revoked: sender,
        };
        table.gone.remove(&node_id);
        let former = table.sessions.insert(node_id, standing).map(|former| {
            former.replaced.cancel();
            former.ended
        });
        Ok(Opened {
            number,
            replaced,
            former,
            revoked,
            _ended: ended.drop_guard(),
        })
    }

    /// Notes that a session ended. True when the node has no other.
    pub(super) fn close(&self, node_id: NodeId, number: u64) -> bool {
        let mut table = self.table();
        let standing = table.sessions.get(&node_id);
        let Some(last) = standing.filter(|standing| standing.number == number) else {
            return false;
        };
        let key_id = last.key_id;
        table.sessions.remove(&node_id);
        table.gone.insert(node_id, (number, key_id));
        true
    }

    /// Gives up on a node, unless it came back after its session of that number. True: it did not.
    pub(super) fn give_up(&self, node_id: NodeId, number: u64) -> bool {
        let mut table = self.table();
        let last = table.gone.get(&node_id);
        let is_gone = last.is_some_and(|(last, _)| *last == number);
        if is_gone {
            table.gone.remove(&node_id);
        }
        is_gone
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

    fn table(&self) -> Locked<'_, Table> {
        self.0.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn a_node_id_is_its_keys_while_the_node_is_there_and_while_it_may_come_back() {
        let sessions = Sessions::default();
        let node = NodeId::new(0, &mut clock::rng());
        let (own, other) = (
            KeyId::new(0, &mut clock::rng()),
            KeyId::new(0, &mut clock::rng()),
        );
        let refused = |key| matches!(sessions.open(node, key), Err(Error::PermissionDenied(_)));
        let first = sessions.open(node, own).unwrap();
        assert!(refused(other), "it is there");
        assert!(sessions.close(node, first.number));
        assert!(refused(other), "what it held is still its own");
        let again = sessions.open(node, own).unwrap();
        assert!(
            !sessions.close(node, first.number),
            "that was another session"
        );
        assert!(sessions.close(node, again.number));
        assert!(sessions.give_up(node, again.number));
        assert!(!refused(other), "nothing is left");
    }
}
