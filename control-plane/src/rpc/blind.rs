//! Keeps secrets out of the ledger of repeats: what is compared there is a keyed hash.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use zeroize::Zeroize as _;

use crate::vault::Vault;

/// Replaces a secret by a keyed hash. What is empty stays so.
pub(crate) fn blind(vault: &Vault, secret: &mut String) {
    if !secret.is_empty() {
        let blinded = BASE64_STANDARD.encode(vault.blind(secret.as_bytes()));
        secret.zeroize();
        *secret = blinded;
    }
}
