//! What a handshake asks for beyond its answer: a secret that the provider hands over is kept, a URL is called back.
//!
//! Nobody signed for a secret that is handed over, so it is taken once, by a source that has none. A URL to call was
//! signed for, and is on a host that the scheme allows; the handshake is answered after it was called, so that a provider
//! whose URL could not be called sends it again.

use std::{sync::Arc, time::Duration};

use http::HeaderMap;
use posthorn_verify::Secret;
use subtle::{Choice, ConstantTimeEq as _};
use tokio::time::timeout;
use url::Url;

use super::{Inbound, judge::Refused};
use crate::{
    fetch::{Fetch, Wanted},
    model::{id::SourceId, source::LiveSource},
    registry::Capture,
};

/// How much of the answer of a URL that is called back is read, in bytes.
const CALLED_BYTES_MAX: usize = 64 * 1_024;
/// How long calling it may take in all: less than an edge waits for an answer.
const CALL_BACK_TIMEOUT: Duration = Duration::from_secs(4);

/// What a source hears that has a secret already.
const TAKEN: Refused = Refused::counted(403, "secret_taken");
/// What a provider hears that is to send its handshake again.
const AGAIN: Refused = Refused::counted(503, "unavailable");

impl Inbound {
    /// Keeps a secret that a provider hands over, if the source waits for one. Dropped, it goes on: what is committed is
    /// published too.
    pub(super) async fn capture(&self, live: &LiveSource, secret: &Secret) -> Result<(), Refused> {
        let source_id = live.source.id;
        if is_known(live, secret) {
            // The provider repeats its handshake.
            return Ok(());
        }
        if !live.secrets.is_empty() {
            return Err(TAKEN);
        }
        let (core, secret) = (self.0.core.clone(), secret.clone());
        let captured = tokio::spawn(async move {
            let now_ms = core.clock.now_ms();
            core.registry
                .capture_source_secret(source_id, &secret, now_ms)
                .await
        });
        let Ok(captured) = captured.await else {
            return Err(AGAIN);
        };
        match captured {
            Ok(Capture::Kept) => {
                tracing::info!(%source_id, "source {source_id} was given its secret by its provider");
                Ok(())
            }
            Ok(Capture::Refused | Capture::Missing) => Err(TAKEN),
            Err(error) => {
                tracing::warn!(%source_id, error = ?error, "the secret that the provider of {source_id} gave was not kept");
                Err(AGAIN)
            }
        }
    }

    /// Calls the URL back that a handshake asks for. Dropped, it goes on.
    ///
    /// # Errors
    /// 503 when it was not called with success: the provider sends the handshake again.
    pub(super) async fn call_back(&self, source_id: SourceId, url: Url) -> Result<(), Refused> {
        let Ok(permit) = Arc::clone(&self.0.call_backs).try_acquire_owned() else {
            tracing::warn!(%source_id, "too many handshakes are called back; the one of {source_id} is not");
            return Err(Refused::counted(503, "overload"));
        };
        let fetch = self.0.fetch.clone();
        let called = tokio::spawn(async move {
            let _permit = permit;
            call(&fetch, source_id, &url).await
        });
        match called.await {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(AGAIN),
        }
    }
}

/// Whether a URL was called with success.
async fn call(fetch: &Fetch, source_id: SourceId, url: &Url) -> bool {
    let wanted = Wanted {
        url: url.as_str(),
        headers: HeaderMap::new(),
        body: None,
        bytes_max: CALLED_BYTES_MAX,
    };
    match timeout(CALL_BACK_TIMEOUT, fetch.fetch(wanted)).await {
        Ok(Ok(answered)) => {
            let status = answered.status.as_u16();
            tracing::info!(%source_id, status, "the handshake of source {source_id} was called back: status {status}");
            answered.status.is_success()
        }
        Ok(Err(error)) => {
            tracing::warn!(%source_id, %error, "the handshake of source {source_id} could not be called back: {error}");
            false
        }
        Err(_) => {
            tracing::warn!(%source_id, "the handshake of source {source_id} could not be called back in time");
            false
        }
    }
}

/// Whether a source has this secret. How long it takes does not tell how much of it is right.
fn is_known(live: &LiveSource, secret: &Secret) -> bool {
    let known = live.secrets.iter();
    let is_known = known.fold(Choice::from(0), |found, (known, _)| {
        found | known.expose().ct_eq(secret.expose())
    });
    is_known.into()
}
