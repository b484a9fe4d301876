//! An endpoint's secrets on their way into the database, and out of the ledger of repeats.

use posthorn::v1;
use rand::CryptoRng;
use secrecy::{ExposeSecret as _, SecretString};

use super::Endpoints;
use crate::{
    error::Error,
    model::{
        endpoint::Endpoint,
        secret::{Binding, Purpose},
    },
    rpc::blind,
    sign::SigningKey,
    store::RegistryTx,
    vault::Vault,
};

/// A signing key for an answer.
pub(super) struct ChosenKey {
    pub(super) key: SigningKey,
    /// What to show: nothing when the caller gave the key.
    pub(super) shown: Option<SecretString>,
}

impl ChosenKey {
    /// Reads the key that the caller gave, or makes one.
    pub(super) fn read(text: &str, rng: &mut impl CryptoRng) -> Result<Self, Error> {
        if text.is_empty() {
            let key = SigningKey::generate(rng);
            let shown = Some(key.expose_text());
            return Ok(Self { key, shown });
        }
        let key =
            SigningKey::parse(text).map_err(|error| Error::invalid("secret", error.to_string()))?;
        Ok(Self { key, shown: None })
    }

    /// The text that the answer shows.
    pub(super) fn expose_shown(&self) -> String {
        self.shown
            .as_ref()
            .map(|text| text.expose_secret().to_owned())
            .unwrap_or_default()
    }
}

impl Endpoints {
    /// Seals a secret of an endpoint and writes it.
    pub(super) async fn write_secret(
        &self,
        tx: &mut RegistryTx,
        binding: Binding,
        value: &[u8],
        now: i64,
    ) -> Result<(), Error> {
        let sealed = self
            .core
            .vault
            .seal(value, binding, now, &mut self.core.rng())
            .map_err(|error| Error::Internal(Box::new(error)))?;
        Ok(tx.secret_insert(&sealed).await?)
    }

    /// Where the next version of an endpoint's secret belongs. `former` are the versions of its secrets, newest first.
    pub(super) fn next_binding<'a>(
        &self,
        endpoint: &Endpoint,
        purpose: &Purpose,
        mut former: impl Iterator<Item = &'a Binding>,
        now: i64,
    ) -> Binding {
        let first = || {
            let (purpose, mut rng) = (purpose.clone(), self.core.rng());
            Binding::new(endpoint.tenant_id, endpoint.id, purpose, now, &mut rng)
        };
        let newest = former.find(|former| former.purpose == *purpose);
        newest.map_or_else(first, Binding::next)
    }

    /// Writes new values of secret headers and deletes those of headers that are gone.
    pub(super) async fn write_header_secrets(
        &self,
        tx: &mut RegistryTx,
        endpoint: &Endpoint,
        new: &[(String, SecretString)],
        now: i64,
    ) -> Result<(), Error> {
        let owner = endpoint.id.into();
        let rows = tx.secret_list(owner).await?;
        let former = || rows.iter().map(|row| &row.binding);
        for Binding { purpose, .. } in former() {
            let Purpose::Header(name) = purpose else {
                continue;
            };
            let is_replaced = new.iter().any(|(new, _)| new == name);
            let mut headers = endpoint.settings.headers.iter();
            let is_kept = headers.any(|header| header.name == *name && header.value.is_none());
            if is_replaced || !is_kept {
                tx.secret_delete(owner, purpose).await?;
            }
        }
        for (name, value) in new {
            let purpose = Purpose::Header(name.clone());
            let binding = self.next_binding(endpoint, &purpose, former(), now);
            let value = value.expose_secret().as_bytes();
            self.write_secret(tx, binding, value, now).await?;
        }
        Ok(())
    }
}

/// Replaces what is secret in settings by a keyed hash, so that repeats can be compared.
pub(super) fn blind_settings(vault: &Vault, settings: Option<&mut v1::EndpointSettings>) {
    let headers = settings
        .into_iter()
        .flat_map(|settings| &mut settings.headers);
    for header in headers.filter(|header| header.secret) {
        blind(vault, &mut header.value);
    }
}
