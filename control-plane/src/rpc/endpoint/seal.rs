//! An endpoint's secrets on their way into the database, and out of the ledger of repeats.

use posthorn::v1;
use secrecy::{ExposeSecret as _, SecretString};

use super::Endpoints;
use crate::{
    clock,
    error::Error,
    model::{
        endpoint::Endpoint,
        id::SecretId,
        secret::{Purpose, SealedSecret},
    },
    rpc::blind,
    sign::SigningKey,
    store::Tx,
    vault::{Binding, Vault},
};

/// One version of a secret that is to be sealed.
pub(super) struct NewSecret<'a> {
    pub(super) id: SecretId,
    pub(super) version: i32,
    pub(super) purpose: Purpose,
    /// The header's name; empty for a signing key.
    pub(super) name: &'a str,
    pub(super) value: &'a [u8],
}

/// A signing key for an answer.
pub(super) struct ChosenKey {
    pub(super) key: SigningKey,
    /// What to show: nothing when the caller gave the key.
    pub(super) shown: Option<SecretString>,
}

impl ChosenKey {
    /// Reads the key that the caller gave, or makes one.
    pub(super) fn read(text: &str) -> Result<Self, Error> {
        if text.is_empty() {
            let key = SigningKey::generate(&mut clock::rng());
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
        tx: &mut Tx,
        endpoint: &Endpoint,
        secret: NewSecret<'_>,
        now: i64,
    ) -> Result<(), Error> {
        let binding = Binding {
            tenant_id: endpoint.tenant_id,
            id: secret.id,
            version: secret.version,
            purpose: secret.purpose,
        };
        let (kek_id, sealed) = self
            .vault
            .seal(secret.value, binding, &mut clock::rng())
            .map_err(|error| Error::Internal(Box::new(error)))?;
        let row = SealedSecret {
            id: secret.id,
            version: secret.version,
            tenant_id: endpoint.tenant_id,
            endpoint_id: endpoint.id,
            purpose: secret.purpose,
            name: secret.name.to_owned(),
            kek_id: kek_id.to_string(),
            sealed,
            fingerprint: self.vault.fingerprint(secret.value),
            retires_at: None,
            created_at: now,
        };
        Ok(tx.secret_insert(&row).await?)
    }

    /// Writes new values of secret headers and deletes those of headers that are gone.
    pub(super) async fn write_header_secrets(
        &self,
        tx: &mut Tx,
        endpoint: &Endpoint,
        new: &[(String, SecretString)],
        now: i64,
    ) -> Result<(), Error> {
        let rows = tx.secret_list(endpoint.id).await?;
        let former = rows
            .iter()
            .filter(|row| row.purpose == Purpose::Header)
            .collect::<Vec<_>>();
        for row in &former {
            let is_replaced = new.iter().any(|(name, _)| *name == row.name);
            let mut headers = endpoint.settings.headers.iter();
            let is_kept = headers.any(|header| header.name == row.name && header.value.is_none());
            if is_replaced || !is_kept {
                tx.secret_delete(row.id, row.version).await?;
            }
        }
        for (name, value) in new {
            let former = former.iter().find(|row| row.name == *name);
            let secret = NewSecret {
                id: former.map_or_else(|| SecretId::new(now, &mut clock::rng()), |row| row.id),
                version: former.map_or(1, |row| row.version + 1),
                purpose: Purpose::Header,
                name,
                value: value.expose_secret().as_bytes(),
            };
            self.write_secret(tx, endpoint, secret, now).await?;
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
