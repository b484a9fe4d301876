//! Which holders have a stream, so that each has one at a time and a lease can be revoked where it is held. A node may come
//! back with its id; a consumer's stream never does.

use std::collections::HashMap;

use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    error::Error,
    lock::{Leaf, Locked},
    model::{
        id::{KeyId, TenantId},
        lease::{HolderId, HolderKind},
    },
};

/// How many streams one key may have for holders of one kind.
const STREAMS_PER_KEY_MAX: usize = 64;

/// The streams that stand.
#[derive(Debug, Default)]
pub(in crate::dispatch) struct Holders(Leaf<Table>);

#[derive(Debug, Default)]
struct Table {
    streams: HashMap<HolderId, Stream>,
    /// Holders without a stream whose leases are still theirs, with the number of their last one and its key.
    gone: HashMap<HolderId, (u64, KeyId)>,
    next: u64,
}

/// What is known of a holder that has a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Connected {
    /// The holder.
    pub holder: HolderId,
    /// The key that it came with.
    pub key_id: KeyId,
    /// Since when its stream stands.
    pub since: i64,
    /// What it is.
    pub about: About,
    /// How many leases it holds.
    pub in_flight: u32,
}

/// What a holder is, as its hello says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum About {
    /// A node.
    Node {
        /// What people call it.
        name: String,
        /// The version of its program.
        version: String,
        /// How many leases it can hold.
        capacity: u32,
    },
    /// A stream of a consumer.
    Consumer {
        /// Whose events it takes.
        tenant_id: TenantId,
        /// Its group.
        group: String,
        /// The names of its handlers.
        handlers: Vec<String>,
    },
}

#[derive(Debug)]
struct Stream {
    number: u64,
    key_id: KeyId,
    since: i64,
    about: About,
    replaced: CancellationToken,
    ended: CancellationToken,
    revoked: mpsc::UnboundedSender<u64>,
}

/// A stream that was opened.
#[derive(Debug)]
pub(in crate::dispatch) struct Opened {
    /// Tells this stream of a holder from its others.
    pub number: u64,
    /// Cancelled when the holder opens another one.
    pub replaced: CancellationToken,
    /// Cancelled when the holder's former stream has ended, if it had one.
    former: Option<CancellationToken>,
    /// Leases that the holder need not begin.
    pub revoked: mpsc::UnboundedReceiver<u64>,
    _ended: DropGuard,
}

impl Opened {
    /// Waits until the holder's former stream has ended, so that nothing is sent over it any more.
    pub(super) async fn former_ended(&self) {
        if let Some(former) = &self.former {
            former.cancelled().await;
        }
    }
}

impl Table {
    /// The key whose holder this is, as long as what it holds is its own.
    fn owner(&self, holder: HolderId) -> Option<KeyId> {
        let standing = self.streams.get(&holder);
        let standing = standing.map(|standing| standing.key_id);
        standing.or_else(|| self.gone.get(&holder).map(|(_, key_id)| *key_id))
    }
}

impl Holders {
    /// Opens a holder's stream and ends the one that it had.
    pub(in crate::dispatch) fn open(
        &self,
        holder: HolderId,
        key_id: KeyId,
        about: About,
        now_ms: i64,
    ) -> Result<Opened, Error> {
        let mut table = self.table();
        if table.owner(holder).is_some_and(|owner| owner != key_id) {
            let message = "hello.holder is in use under another key".to_owned();
            return Err(Error::PermissionDenied(message));
        }
        let others = table.streams.iter();
        let others = others.filter(|(other, standing)| {
            **other != holder && other.kind() == holder.kind() && standing.key_id == key_id
        });
        if others.count() >= STREAMS_PER_KEY_MAX {
            let message = format!("a key may have at most {STREAMS_PER_KEY_MAX} such streams");
            return Err(Error::Exhausted(message));
        }
        let number = table.next;
        table.next += 1;
        let (replaced, ended) = (CancellationToken::new(), CancellationToken::new());
        let (sender, revoked) = mpsc::unbounded_channel();
        let standing = Stream {
            number,
            key_id,
            since: now_ms,
            about,
            replaced: replaced.clone(),
            ended: ended.clone(),
            revoked: sender,
        };
        table.gone.remove(&holder);
        let former = table.streams.insert(holder, standing).map(|former| {
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

    /// Notes that a stream ended. True when the holder has no other.
    pub(super) fn close(&self, holder: HolderId, number: u64) -> bool {
        let mut table = self.table();
        let standing = table.streams.get(&holder);
        let Some(last) = standing.filter(|standing| standing.number == number) else {
            return false;
        };
        let key_id = last.key_id;
        table.streams.remove(&holder);
        table.gone.insert(holder, (number, key_id));
        true
    }

    /// Gives up on a holder, unless it came back after its stream of that number. True: it did not.
    pub(super) fn give_up(&self, holder: HolderId, number: u64) -> bool {
        let mut table = self.table();
        let last = table.gone.get(&holder);
        let is_gone = last.is_some_and(|(last, _)| *last == number);
        if is_gone {
            table.gone.remove(&holder);
        }
        is_gone
    }

    /// How many streams stand for holders of a kind.
    pub(in crate::dispatch) fn count(&self, kind: HolderKind) -> usize {
        let table = self.table();
        let holders = table.streams.keys();
        holders.filter(|holder| holder.kind() == kind).count()
    }

    /// The holders of a kind that have a stream.
    pub(in crate::dispatch) fn connected(&self, kind: HolderKind) -> Vec<Connected> {
        let table = self.table();
        let streams = table.streams.iter();
        let connected = streams.filter(|(holder, _)| holder.kind() == kind);
        let connected = connected.map(|(holder, stream)| Connected {
            holder: *holder,
            key_id: stream.key_id,
            since: stream.since,
            about: stream.about.clone(),
            in_flight: 0,
        });
        connected.collect()
    }

    /// Asks a holder not to begin a lease.
    pub(in crate::dispatch) fn revoke(&self, holder: HolderId, lease_id: u64) {
        if let Some(standing) = self.table().streams.get(&holder) {
            // A stream that has just ended has nothing to revoke.
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
    use crate::{entropy::Entropy, model::id::NodeId};

    #[test]
    fn a_holder_is_its_keys_while_the_node_is_there_and_while_it_may_come_back() {
        let holders = Holders::default();
        let node = HolderId::Node(NodeId::from_uuid(uuid::Uuid::from_u128(1)));
        let (own, other) = (
            KeyId::new(0, &mut Entropy::system()),
            KeyId::new(0, &mut Entropy::system()),
        );
        let open = |key| {
            let about = About::Node {
                name: "n".to_owned(),
                version: "1".to_owned(),
                capacity: 1,
            };
            holders.open(node, key, about, 0)
        };
        let refused = |key| matches!(open(key), Err(Error::PermissionDenied(_)));
        let first = open(own).unwrap();
        assert_eq!(holders.connected(HolderKind::Node).len(), 1);
        assert!(holders.connected(HolderKind::Consumer).is_empty());
        assert!(refused(other), "it is there");
        assert!(holders.close(node, first.number));
        assert!(refused(other), "what it held is still its own");
        assert!(holders.connected(HolderKind::Node).is_empty());
        let again = open(own).unwrap();
        assert!(
            !holders.close(node, first.number),
            "that was another session"
        );
        assert!(holders.close(node, again.number));
        assert!(holders.give_up(node, again.number));
        assert!(!refused(other), "nothing is left");
    }
}
