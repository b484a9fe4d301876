//! Secrets that providers hand over in their handshakes.
//!
//! Nobody signs for such a secret, so a source takes one only while it has none: whoever learns the URL later cannot put
//! a secret of their own beside it.

use posthorn_verify::Secret;

use super::{Changed, SharedRegistry};
use crate::{
    audit::Record,
    error::Error,
    model::{
        id::SourceId,
        secret::{Binding, Purpose},
    },
    store::{self, Change},
};

/// Why the source has a secret.
const HANDED_OVER: &str = "the provider handed it over in its handshake";

/// What became of a secret that was handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(crate) enum Capture {
    /// It is the source's secret now, or was already: the handshake may be answered.
    Kept,
    /// The source has another secret.
    Refused,
    /// There is no such source.
    Missing,
}

impl SharedRegistry {
    /// Keeps a secret that a source's provider handed over, sealed. When it returns `Kept`, it is committed and
    /// published.
    pub(crate) async fn capture_source_secret(
        &self,
        id: SourceId,
        secret: &Secret,
        now_ms: i64,
    ) -> Result<Capture, Error> {
        let (store, vault) = (self.inner.loader.store(), self.inner.loader.vault());
        let mut rng = self.inner.loader.rng();
        let mut tx = store.begin().await?;
        // The touch keeps other writers away, so there is never a second.
        if tx.object_touch(id, now_ms).await? != Change::Done {
            return Ok(Capture::Missing);
        }
        let Some(source) = tx.object_get(id).await? else {
            return Ok(Capture::Missing);
        };
        let mut known = tx.secret_list(id.into()).await?;
        known.retain(|known| *known.purpose() == Purpose::Verification);
        if !known.is_empty() {
            let fingerprint = vault.fingerprint(secret.expose());
            let is_same = known.iter().any(|known| known.fingerprint == fingerprint);
            if !is_same {
                return Ok(Capture::Refused);
            }
            // Committed before, and perhaps not published: whoever captured it may have failed at that.
            drop(tx);
            self.refresh(Changed::Source(id)).await?;
            return Ok(Capture::Kept);
        }
        let purpose = Purpose::Verification;
        let binding = Binding::new(source.tenant_id, id, purpose, now_ms, &mut rng);
        let sealed = vault.seal(secret.expose(), binding, now_ms, &mut rng);
        let sealed = sealed.map_err(store::Error::bug)?;
        tx.secret_insert(&sealed).await?;
        let record = Record::of(source.tenant_id, id)
            .because(HANDED_OVER)
            .setting("secrets", None, &sealed.fingerprint)
            .by_posthorn("CaptureSourceSecret", now_ms, &mut rng);
        self.commit_recorded(tx, Changed::Source(id), &record)
            .await?;
        Ok(Capture::Kept)
    }
}
