//! Who may speak of a lease: the key that it was granted to.
//!
//! A lease goes out with a proof, a MAC over what it is and whose it is, and whoever speaks of it repeats the proof. So
//! what a node says of leases is known to be about its own even when this process has never seen them: after a restart,
//! and when a lease was lost. The holder is the node's API key, which is authenticated; its name and id are what it says.
//!
//! A proof has no expiry. It shows that a lease was granted once, not that it still holds: that is the schedule's to say.
//! It does not show either that what the node says is true.

use std::{collections::HashMap, time::Duration};

use bytes::Bytes;
use tokio::time::Instant;

use crate::{
    clock,
    dispatch::Dispatch,
    lock::Leaf,
    metrics::ResultLabel,
    model::{
        id::{KeyId, NodeId},
        lease::LeaseKey,
    },
};

/// How often at the most the log says of one key that it spoke of leases that it was not given.
const TOLD_EVERY: Duration = Duration::from_mins(1);
/// How many bytes a proof covers.
const COVERED_BYTES: usize = 44;

/// Something that is said of a lease, with the proof that came with it.
#[derive(Debug)]
pub(super) struct Claim<T> {
    pub(super) lease: LeaseKey,
    pub(super) proof: Bytes,
    pub(super) said: T,
}

/// When the log last said of a key that it spoke of leases that it was not given.
#[derive(Debug, Default)]
pub(in crate::dispatch) struct Told(Leaf<HashMap<KeyId, Instant>>);

/// What the proof of a lease covers.
fn covered(lease: LeaseKey, holder: KeyId) -> [u8; COVERED_BYTES] {
    let mut covered = [0; COVERED_BYTES];
    covered[..8].copy_from_slice(&lease.lease_id.to_be_bytes());
    covered[8..24].copy_from_slice(lease.delivery_id.uuid().as_bytes());
    covered[24..28].copy_from_slice(&lease.attempt.to_be_bytes());
    covered[28..].copy_from_slice(holder.uuid().as_bytes());
    covered
}

impl Told {
    /// Whether it is time to say so of a key.
    fn is_due(&self, key_id: KeyId, now: Instant) -> bool {
        let mut told = self.0.lock();
        told.retain(|_, at| now.saturating_duration_since(*at) < TOLD_EVERY);
        let is_due = !told.contains_key(&key_id);
        if is_due {
            told.insert(key_id, now);
        }
        is_due
    }
}

impl Dispatch {
    /// The proof that a lease was granted to a key.
    pub(super) fn prove(&self, lease: LeaseKey, holder: KeyId) -> Bytes {
        let covered = covered(lease, holder);
        Bytes::copy_from_slice(&self.0.core.vault.lease_proof(&covered))
    }

    /// What a key says of leases that were granted to it. The rest is counted, and is as if it had not been said.
    pub(super) fn proven<T>(
        &self,
        claims: Vec<Claim<T>>,
        holder: KeyId,
        node_id: NodeId,
    ) -> Vec<T> {
        let claims = claims.into_iter();
        let proven = claims.filter(|claim| {
            let covered = covered(claim.lease, holder);
            let is_proven = self.0.core.vault.is_lease_proof(&covered, &claim.proof);
            if !is_proven {
                self.note_forged(claim, holder, node_id);
            }
            is_proven
        });
        proven.map(|claim| claim.said).collect()
    }

    fn note_forged<T>(&self, claim: &Claim<T>, key_id: KeyId, node_id: NodeId) {
        let result = if claim.proof.is_empty() {
            "no_proof"
        } else {
            "wrong_proof"
        };
        let forged = &self.0.core.metrics.forged_reports;
        forged.get_or_create(&ResultLabel { result }).inc();
        if self.0.told.is_due(key_id, clock::monotonic()) {
            let delivery_id = claim.lease.delivery_id;
            tracing::warn!(%key_id, %node_id, %delivery_id, "the node key {key_id} spoke of a lease of {delivery_id} that it was not given: revoke it, unless master keys were just taken away");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use uuid::Uuid;

    use super::*;
    use crate::model::id::DeliveryId;

    fn key(number: u128) -> KeyId {
        KeyId::from_uuid(Uuid::from_u128(number))
    }

    #[test]
    fn a_proof_covers_everything_that_a_lease_is_and_whose_it_is() {
        let lease = LeaseKey {
            lease_id: 7 << 32 | 1,
            delivery_id: DeliveryId::from_uuid(Uuid::from_u128(1)),
            attempt: 1,
        };
        let others = [
            // Another epoch, another lease of this one.
            LeaseKey {
                lease_id: 8 << 32 | 1,
                ..lease
            },
            LeaseKey {
                lease_id: 7 << 32 | 2,
                ..lease
            },
            LeaseKey {
                delivery_id: DeliveryId::from_uuid(Uuid::from_u128(2)),
                ..lease
            },
            LeaseKey {
                attempt: 2,
                ..lease
            },
        ];
        let proofs = others.map(|other| covered(other, key(1)));
        let proofs = proofs
            .into_iter()
            .chain([covered(lease, key(1)), covered(lease, key(2))]);
        assert_eq!(proofs.collect::<HashSet<_>>().len(), 6);
    }

    #[test]
    fn of_one_key_somebody_is_told_once_a_minute() {
        let (told, now) = (Told::default(), clock::monotonic());
        assert!(told.is_due(key(1), now));
        assert!(!told.is_due(key(1), now + TOLD_EVERY / 2));
        assert!(told.is_due(key(2), now + TOLD_EVERY / 2));
        assert!(told.is_due(key(1), now + TOLD_EVERY));
    }
}
