//! What each API key and each tenant may have under way: places of calls by class, and bytes of messages.
//!
//! The keys of a tenant together have twice what one of them has, so that a second key gets its part whatever the first
//! one does. What a key or a tenant has is kept as long as a connection or a call uses it.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Weak},
};

use crate::{
    budget::{Budget, Name},
    config::Limits,
    lock::Leaf,
    model::id::{KeyId, TenantId},
    rpc::{Caller, access::Class},
};

/// How much of what one key has the keys of one tenant have together.
const TENANT_PARTS: usize = 2;
/// How many revocations a key may have under way.
pub(crate) const REVOCATIONS_PER_KEY_MAX: usize = 64;
/// How many streams of reflection a key may have.
pub(crate) const REFLECTIONS_PER_KEY_MAX: usize = 4;
/// How many calls of a key may wait for a place or for memory.
pub(crate) const WAITING_PER_KEY_MAX: usize = 64;

macro_rules! names {
    ($($class:ident: $key:literal, $tenant:literal, $what:literal;)*) => {
        /// What the limits of a key and of a tenant are called.
        fn names(class: Class) -> Option<[Name; 2]> {
            match class {
                Class::Open => None,
                $(Class::$class => Some([
                    Name {
                        reason: $key,
                        text: concat!("this API key has as many ", $what, " under way as it may"),
                    },
                    Name {
                        reason: $tenant,
                        text: concat!("the API keys of this tenant have as many ", $what, " under way as they may"),
                    },
                ]),)*
            }
        }
    };
}

names! {
    Vital: "revocations_per_key", "revocations_per_tenant", "revocations";
    Get: "gets_per_key", "gets_per_tenant", "reads";
    Scan: "scans_per_key", "scans_per_tenant", "lists and payloads";
    Change: "changes_per_key", "changes_per_tenant", "changes";
    Emit: "emits_per_key", "emits_per_tenant", "emits";
    EmitStream: "emit_streams_per_key", "emit_streams_per_tenant", "streams of emits";
    Consume: "consume_streams_per_key", "consume_streams_per_tenant", "streams of consumers";
    Node: "node_streams_per_key", "node_streams_per_tenant", "streams of nodes";
    Reflection: "reflections_per_key", "reflections_per_tenant", "streams of reflection";
}

const KEY_BYTES: Name = Name {
    reason: "bytes_per_key",
    text: "the messages of this API key take as many bytes of memory as they may",
};
const TENANT_BYTES: Name = Name {
    reason: "emit_bytes_per_tenant",
    text: "the events of this tenant that are being emitted take as many bytes of memory as they may",
};
const WAITING: Name = Name {
    reason: "waiting_per_key",
    text: "as many calls of this API key wait as may",
};

/// What one key has under way, and its tenant.
#[derive(Debug, Clone)]
pub(crate) struct Shares {
    /// The key's.
    pub key: Arc<Share>,
    /// Its tenant's. None: the key belongs to the whole installation.
    pub tenant: Option<Arc<Share>>,
}

/// What one key or one tenant has under way.
#[derive(Debug)]
pub(crate) struct Share {
    places: Vec<(Class, Budget)>,
    /// Bytes of messages: of all of a key's, of a tenant's emits.
    pub bytes: Budget,
    /// Calls that wait.
    pub waiting: Budget,
}

/// The shares that are in use.
#[derive(Debug)]
pub(crate) struct AllShares {
    limits: Limits,
    keys: Leaf<HashMap<KeyId, Weak<Share>>>,
    tenants: Leaf<HashMap<TenantId, Weak<Share>>>,
}

impl Share {
    /// The places of a class of calls. None: it needs none.
    pub(crate) fn places(&self, class: Class) -> Option<&Budget> {
        let mut places = self.places.iter();
        places.find_map(|(of, budget)| (*of == class).then_some(budget))
    }

    fn of_key(limits: &Limits) -> Self {
        Self {
            places: places(limits, |[key, _], max| Budget::new(max, key)),
            bytes: Budget::new(limits.bytes_per_key, KEY_BYTES),
            waiting: Budget::new(WAITING_PER_KEY_MAX, WAITING),
        }
    }

    fn of_tenant(limits: &Limits) -> Self {
        Self {
            places: places(limits, |[_, tenant], max| {
                Budget::new(max.saturating_mul(TENANT_PARTS), tenant)
            }),
            bytes: Budget::new(limits.emit_bytes_per_tenant, TENANT_BYTES),
            waiting: Budget::new(WAITING_PER_KEY_MAX * TENANT_PARTS, WAITING),
        }
    }
}

fn places(limits: &Limits, make: impl Fn([Name; 2], usize) -> Budget) -> Vec<(Class, Budget)> {
    let all = [
        // Those that are asked for most come first.
        (Class::Emit, limits.emits_per_key),
        (Class::Get, limits.gets_per_key),
        (Class::Scan, limits.scans_per_key),
        (Class::Change, limits.changes_per_key),
        (Class::EmitStream, limits.emit_streams_per_key),
        (Class::Consume, limits.consume_streams_per_key),
        (Class::Node, limits.node_streams_per_key),
        (Class::Vital, REVOCATIONS_PER_KEY_MAX),
        (Class::Reflection, REFLECTIONS_PER_KEY_MAX),
    ];
    let named = all.into_iter().filter_map(|(class, max)| {
        let names = names(class)?;
        Some((class, make(names, max)))
    });
    named.collect()
}

impl AllShares {
    /// Nothing is in use.
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            keys: Leaf::default(),
            tenants: Leaf::default(),
        }
    }

    /// What the caller's key and tenant have under way.
    pub(crate) fn of(&self, caller: &Caller) -> Shares {
        Shares {
            key: find(&self.keys, caller.key_id(), || Share::of_key(&self.limits)),
            tenant: caller
                .tenant_id()
                .map(|id| find(&self.tenants, id, || Share::of_tenant(&self.limits))),
        }
    }
}

/// Finds what is in use, or begins it. What is in use no more goes when the map would grow.
fn find<I: Eq + Hash>(
    used: &Leaf<HashMap<I, Weak<Share>>>,
    id: I,
    make: impl FnOnce() -> Share,
) -> Arc<Share> {
    // No holder of the lock can leave it half changed, so poison means nothing.
    let mut used = used.lock();
    if let Some(share) = used.get(&id).and_then(Weak::upgrade) {
        return share;
    }
    if used.len() == used.capacity() {
        used.retain(|_, share| share.strong_count() > 0);
    }
    let share = Arc::new(make());
    used.insert(id, Arc::downgrade(&share));
    share
}
