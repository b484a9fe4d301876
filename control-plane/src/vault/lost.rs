//! Master keys that sealed secrets need and nobody has given. A start without them is refused: a new key would only hide
//! that they are gone, and what was sealed under it would be lost when the old ones are put back over it.

use std::fmt;

use super::Vault;

/// How many secrets are sealed under a master key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SealedUnder {
    /// The key's id.
    pub kek_id: String,
    /// How many.
    pub secrets: i64,
}

/// The master keys that are missing, and where they are not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct LostKeys {
    missing: Vec<SealedUnder>,
    place: String,
}

impl LostKeys {
    pub(super) fn new(missing: &[SealedUnder], place: String) -> Self {
        Self {
            missing: missing.to_vec(),
            place,
        }
    }
}

impl fmt::Display for LostKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listed = self.missing.iter().map(|sealed| {
            let SealedUnder { kek_id, secrets } = sealed;
            format!("{secrets} under the master key {kek_id}")
        });
        write!(
            f,
            "secrets are sealed under master keys that are missing: {}. Looked for there: {}. Put the key back as one of \
             the lines of that file; or give --allow-missing-master-key: then deliveries and requests that need those \
             secrets wait until the key is there again or the secrets have been rotated",
            listed.collect::<Vec<_>>().join(", "),
            self.place
        )
    }
}

impl Vault {
    /// Refuses when secrets are sealed under keys that are not in the vault. `place` says where it got its keys from.
    pub(crate) fn check_opens(
        &self,
        sealed: &[SealedUnder],
        place: impl FnOnce() -> String,
    ) -> Result<(), LostKeys> {
        let keyring = self.keyring.load();
        let missing = sealed.iter().filter(|sealed| !keyring.has(&sealed.kek_id));
        let missing = missing.cloned().collect::<Vec<_>>();
        if missing.is_empty() {
            return Ok(());
        }
        Err(LostKeys::new(&missing, place()))
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng as _, rngs::StdRng};

    use super::*;
    use crate::vault::Keyring;

    #[test]
    fn what_is_sealed_under_an_unknown_key_is_named_with_its_key() {
        let text = Keyring::generate(&mut StdRng::seed_from_u64(1));
        let vault = Vault::new(Keyring::parse(&text).unwrap());
        let under = |kek_id: &str, secrets| SealedUnder {
            kek_id: kek_id.to_owned(),
            secrets,
        };
        let known = under(&vault.current_id().to_string(), 3);
        let place = || "the file /k has others".to_owned();
        assert_eq!(vault.check_opens(&[], place), Ok(()));
        assert_eq!(
            vault.check_opens(std::slice::from_ref(&known), place),
            Ok(())
        );
        let lost = vault.check_opens(&[known, under("00000000", 7)], place);
        let words = lost.unwrap_err().to_string();
        for part in [
            "7 under the master key 00000000.",
            "/k",
            "--allow-missing-master-key",
        ] {
            assert!(words.contains(part), "{words}");
        }
    }
}
