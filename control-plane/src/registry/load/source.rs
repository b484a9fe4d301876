//! Reading sources from the database: their schemes compiled, their secrets opened.

use std::collections::BTreeMap;
use std::sync::Arc;

use posthorn_verify::{SchemeError, Secret, SecretError};
use secrecy::SecretString;

use super::{Loader, PAGE_ROWS};
use crate::{
    model::{
        id::{SourceId, TenantId},
        secret::{Purpose, SealedSourceSecret},
        source::{LiveSource, Source},
    },
    registry::Registry,
    store::Result,
    vault::OpenError,
};

/// A source as it was read.
pub(in crate::registry) struct LoadedSource {
    source: Source,
    /// None: requests to it cannot be judged.
    live: Option<LiveSource>,
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
    pub(in crate::registry) async fn source(&self, id: SourceId) -> Result<Option<LoadedSource>> {
        let Some(source) = self.store.source_get(id).await? else {
            return Ok(None);
        };
        let secrets = self.store.source_secret_list(id).await?;
        Ok(Some(self.open_source(source, &secrets)))
    }

    pub(super) async fn sources(&self, tenant: TenantId) -> Result<Vec<LoadedSource>> {
        let mut sources = Vec::new();
        let mut after = None;
        loop {
            let page = self.store.source_list(tenant, after, PAGE_ROWS).await?;
            let (Some(first), Some(last)) = (page.first(), page.last()) else {
                return Ok(sources);
            };
            let secrets = self
                .store
                .source_secret_list_range(tenant, first.id, last.id);
            let secrets = by_source(secrets.await?);
            after = Some(last.id);
            sources.extend(page.into_iter().map(|source| {
                let secrets = secrets.get(&source.id).map_or(&[][..], Vec::as_slice);
                self.open_source(source, secrets)
            }));
        }
    }

    fn open_source(&self, source: Source, secrets: &[SealedSourceSecret]) -> LoadedSource {
        let live = match self.live_source(&source, secrets) {
            Ok(live) => Some(live),
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

impl Registry {
    pub(in crate::registry) fn put_source(&mut self, loaded: LoadedSource) {
        let LoadedSource { source, live } = loaded;
        let (sources, sealed) = (
            Arc::make_mut(&mut self.sources),
            Arc::make_mut(&mut self.sealed_sources),
        );
        if let Some(live) = live {
            sealed.remove(&source.id);
            sources.insert(source.id, Arc::new(live));
        } else {
            sources.remove(&source.id);
            sealed.insert(source.id, source.tenant_id);
        }
    }

    pub(in crate::registry) fn remove_source(&mut self, id: SourceId) {
        Arc::make_mut(&mut self.sources).remove(&id);
        Arc::make_mut(&mut self.sealed_sources).remove(&id);
    }

    pub(super) fn remove_sources_of(&mut self, tenant: TenantId) {
        Arc::make_mut(&mut self.sources).retain(|_, live| live.source.tenant_id != tenant);
        Arc::make_mut(&mut self.sealed_sources).retain(|_, of| *of != tenant);
    }
}

fn by_source(secrets: Vec<SealedSourceSecret>) -> BTreeMap<SourceId, Vec<SealedSourceSecret>> {
    let mut map = BTreeMap::<_, Vec<_>>::new();
    for secret in secrets {
        map.entry(secret.source_id).or_default().push(secret);
    }
    map
}
