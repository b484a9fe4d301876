//! Reading sources from the database: their schemes compiled, their secrets opened.

use std::collections::BTreeMap;
use std::sync::Arc;

use posthorn_verify::{SchemeError, Secret, SecretError};
use secrecy::SecretString;

use super::{Loader, limit, uuids};
use crate::{
    model::{
        id::SourceId,
        secret::{Purpose, SealedSourceSecret},
        source::{LiveSource, Source},
    },
    registry::Registry,
    store::Result,
    vault::OpenError,
};

/// A source as it was read.
pub(in crate::registry) struct LoadedSource {
    pub(in crate::registry) source: Source,
    /// None: requests to it cannot be judged.
    pub(in crate::registry) live: Option<Arc<LiveSource>>,
}

/// Why requests to a source cannot be judged.
#[derive(Debug, thiserror::Error)]
enum SealedReason {
    /// A secret does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A secret opens but holds what no secret of ours holds.
    #[error("a secret has no valid content")]
    Content,
    /// This program does not know the scheme that another version took.
    #[error("its scheme does not compile: {0}")]
    Scheme(#[from] SchemeError),
}

impl From<SecretError> for SealedReason {
    fn from(_: SecretError) -> Self {
        Self::Content
    }
}

impl Loader {
    pub(super) async fn load_sources(&self, registry: &mut Registry) -> Result<()> {
        let mut after = None;
        loop {
            let page = self.store.source_page(after, limit()).await?;
            let (Some(first), Some(last)) = (page.first(), page.last()) else {
                return Ok(());
            };
            after = Some(last.id);
            let secrets = self.store.source_secret_page(first.id, last.id).await?;
            for loaded in self.opened_sources(page, secrets) {
                registry.put_source(&loaded);
            }
        }
    }

    pub(super) async fn sources(&self, ids: &[SourceId]) -> Result<Vec<LoadedSource>> {
        let uuids = uuids(ids, SourceId::uuid);
        let sources = self.store.source_get_many(&uuids).await?;
        let secrets = self.store.source_secret_list_many(&uuids).await?;
        Ok(self.opened_sources(sources, secrets).collect())
    }

    /// Sources with their schemes compiled and their secrets opened.
    fn opened_sources(
        &self,
        sources: Vec<Source>,
        secrets: Vec<SealedSourceSecret>,
    ) -> impl Iterator<Item = LoadedSource> {
        let secrets = by_source(secrets);
        sources.into_iter().map(move |source| {
            let secrets = secrets.get(&source.id).map_or(&[][..], Vec::as_slice);
            self.open_source(source, secrets)
        })
    }

    fn open_source(&self, source: Source, secrets: &[SealedSourceSecret]) -> LoadedSource {
        let live = match self.live_source(&source, secrets) {
            Ok(live) => Some(Arc::new(live)),
            Err(reason) => {
                let id = source.id;
                tracing::error!(source_id = %id, error = %reason, "requests to source {id} cannot be verified, so providers are asked to try later");
                None
            }
        };
        LoadedSource { source, live }
    }

    fn live_source(
        &self,
        source: &Source,
        sealed: &[SealedSourceSecret],
    ) -> std::result::Result<LiveSource, SealedReason> {
        let mut secrets = Vec::new();
        let mut poll_secret = None;
        for secret in sealed {
            let bytes = self.vault.open(&secret.sealed, secret.into())?;
            match secret.purpose {
                Purpose::Verification => {
                    secrets.push((Secret::new(bytes.as_slice())?, secret.retires_at));
                }
                Purpose::Polling => {
                    let text = std::str::from_utf8(&bytes).map_err(|_| SealedReason::Content)?;
                    poll_secret = Some(SecretString::from(text));
                }
                Purpose::Signing | Purpose::Header => return Err(SealedReason::Content),
            }
        }
        let settings = &source.settings;
        let scheme = settings.scheme()?;
        let registered = settings.registered_url.clone();
        Ok(LiveSource {
            source: source.clone(),
            url: registered.unwrap_or_else(|| self.public_url.of_source(source.id)),
            verifier: settings.verifier()?,
            secret_headers: scheme.map_or_else(Vec::new, |scheme| scheme.secret_headers()),
            secrets,
            poll_secret,
        })
    }
}

fn by_source(secrets: Vec<SealedSourceSecret>) -> BTreeMap<SourceId, Vec<SealedSourceSecret>> {
    let mut map = BTreeMap::<_, Vec<_>>::new();
    for secret in secrets {
        map.entry(secret.source_id).or_default().push(secret);
    }
    map
}
