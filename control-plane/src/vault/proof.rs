//! Proofs of leases: MACs that only who has a master key can make.
//!
//! Made with the first master key, and good under each that is configured: a new master key outdates no lease. What
//! a proof covers is said where leases are.

use hmac::Mac as _;
use subtle::ConstantTimeEq as _;

use super::{Vault, keyring::Kek};

/// How long a proof is, in bytes: half an HMAC-SHA256, which nobody guesses.
pub(crate) const PROOF_BYTES: usize = 16;

impl Vault {
    /// The proof of a lease.
    pub(crate) fn lease_proof(&self, lease: &[u8]) -> [u8; PROOF_BYTES] {
        proof(self.keyring.load().current(), lease)
    }

    /// Whether somebody with one of the master keys made the proof of this lease.
    pub(crate) fn is_lease_proof(&self, lease: &[u8], given: &[u8]) -> bool {
        let keyring = self.keyring.load();
        // Lengths are no secret; what differs in length is not equal.
        keyring
            .all()
            .any(|kek| proof(kek, lease).as_slice().ct_eq(given).into())
    }
}

fn proof(kek: &Kek, lease: &[u8]) -> [u8; PROOF_BYTES] {
    let mut mac = kek.lease_mac();
    mac.update(lease);
    let full: [u8; 32] = mac.finalize().into_bytes().into();
    let mut proof = [0; PROOF_BYTES];
    proof.copy_from_slice(&full[..PROOF_BYTES]);
    proof
}
