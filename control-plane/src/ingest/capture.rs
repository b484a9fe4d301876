//! What a handshake asks for beyond its answer: a secret that the provider hands over is kept, a URL is called back.
//!
//! Nobody signed for a secret that is handed over, so it is taken once, by a source that has none. A URL to call was
//! signed for, and is on a host that the scheme allows; that it was called is logged and no more.

use std::sync::Arc;

use http::HeaderMap;
use posthorn_verify::Secret;
use rand::{SeedableRng as _, rngs::StdRng};
use url::Url;

use super::{Ingest, judge::Refused};
use crate::{
    clock,
    fetch::Wanted,
    model::{id::SourceId, source::LiveSource},
    registry::Capture,
};

/// How much of the answer of a URL that is called back is read, in bytes.
const CALLED_BYTES_MAX: usize = 64 * 1_024;

/// What a source hears that has a secret already.
const TAKEN: Refused = Refused::counted(403, "secret_taken");

impl Ingest {
    /// Keeps a secret that a provider hands over, if the source waits for one.
    pub(super) async fn capture(&self, live: &LiveSource, secret: &Secret) -> Result<(), Refused> {
        let source_id = live.source.id;
        let mut known = live.secrets.iter().map(|(known, _)| known);
        if known.any(|known| known.expose() == secret.expose()) {
            // The provider repeats its handshake.
            return Ok(());
        }
        if !live.secrets.is_empty() {
            return Err(TAKEN);
        }
        let now = clock::now_ms();
        let registry = &self.0.registry;
        let captured = registry
            .capture_source_secret(source_id, secret, now, &mut start_rng())
            .await;
        match captured {
            Ok(Capture::Kept) => {
                tracing::info!(%source_id, "source {source_id} was given its secret by its provider");
                Ok(())
            }
            Ok(Capture::Refused | Capture::Missing) => Err(TAKEN),
            Err(error) => {
                tracing::warn!(%source_id, error = ?error, "the secret that the provider of {source_id} gave was not kept");
                Err(Refused::counted(503, "unavailable"))
            }
        }
    }

    /// Calls a URL back, beside the answer to the handshake that asked for it.
    pub(super) fn call_back(&self, source_id: SourceId, url: Url) {
        let Ok(permit) = Arc::clone(&self.0.call_backs).try_acquire_owned() else {
            tracing::warn!(%source_id, "too many handshakes are called back; the one of {source_id} is not");
            return;
        };
        let fetch = self.0.fetch.clone();
        tokio::spawn(async move {
            let wanted = Wanted {
                url: url.as_str(),
                headers: HeaderMap::new(),
                body: None,
                bytes_max: CALLED_BYTES_MAX,
            };
            match fetch.fetch(wanted).await {
                Ok(answered) => {
                    let status = answered.status.as_u16();
                    tracing::info!(%source_id, status, "the handshake of source {source_id} was called back: status {status}");
                }
                Err(error) => {
                    tracing::warn!(%source_id, %error, "the handshake of source {source_id} could not be called back: {error}");
                }
            }
            drop(permit);
        });
    }
}

/// A source of randomness that may be held across waits.
fn start_rng() -> StdRng {
    StdRng::from_rng(&mut clock::rng())
}
