//! Opening the secrets of what was read, be it endpoints or sources.

use std::{collections::HashMap, sync::Arc};

use posthorn_verify::{SchemeError, SecretError};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::Loader;
use crate::{
    model::{
        object::{Object, Settings},
        secret::{Purpose, SealedSecret},
    },
    store,
    vault::OpenError,
};

/// A kind of objects that have secrets, and are served with them opened.
pub(in crate::registry) trait Served: Settings {
    /// The form in which it is served.
    type Live;

    /// What follows when it cannot be served.
    const SEALED: &str;

    /// An object with its secrets, the current ones first.
    fn live(
        object: &Object<Self>,
        loader: &Loader,
        secrets: Vec<Opened>,
    ) -> Result<Self::Live, SealedReason>;
}

/// A row as it was read.
pub(in crate::registry) struct Loaded<S: Served> {
    pub(in crate::registry) row: Object<S>,
    /// None: it cannot be served, and waits.
    pub(in crate::registry) live: Option<Arc<S::Live>>,
}

/// A secret, opened.
pub(in crate::registry) struct Opened {
    pub(super) purpose: Purpose,
    /// Until when a former one is good too.
    pub(super) retires_at: Option<i64>,
    pub(super) value: Zeroizing<Vec<u8>>,
}

/// Why something cannot be served.
#[derive(Debug, thiserror::Error)]
pub(in crate::registry) enum SealedReason {
    /// A secret does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A secret opens but holds what no secret of ours holds.
    #[error("a secret has no valid content")]
    Content,
    /// There is no signing key.
    #[error("there is no signing key")]
    NoSigningKey,
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
    /// Rows that are next to each other, in the order of their ids.
    pub(super) async fn opened_page<S: Served>(
        &self,
        page: Vec<Object<S>>,
    ) -> store::Result<Vec<Loaded<S>>> {
        let (Some(first), Some(last)) = (page.first(), page.last()) else {
            return Ok(Vec::new());
        };
        let secrets = self.store.secret_page(first.owner(), last.owner()).await?;
        Ok(self.opened(page, secrets))
    }

    /// Rows that were found by these ids.
    pub(super) async fn opened_many<S: Served>(
        &self,
        rows: Vec<Object<S>>,
        ids: &[Uuid],
    ) -> store::Result<Vec<Loaded<S>>> {
        let secrets = self.store.secret_list_many(S::KIND, ids).await?;
        Ok(self.opened(rows, secrets))
    }

    fn opened<S: Served>(
        &self,
        rows: Vec<Object<S>>,
        secrets: Vec<SealedSecret>,
    ) -> Vec<Loaded<S>> {
        let mut by_owner = HashMap::<_, Vec<_>>::new();
        for secret in secrets {
            let of_owner = by_owner.entry(secret.binding.owner).or_default();
            of_owner.push(secret);
        }
        let rows = rows.into_iter().map(|row| {
            let secrets = by_owner.remove(&row.owner()).unwrap_or_default();
            self.load(row, &secrets)
        });
        rows.collect()
    }

    fn load<S: Served>(&self, row: Object<S>, secrets: &[SealedSecret]) -> Loaded<S> {
        let opened = secrets.iter().map(|secret| self.open(secret));
        let opened = opened.collect::<Result<Vec<_>, _>>();
        let live = match opened.and_then(|opened| S::live(&row, self, opened)) {
            Ok(live) => Some(Arc::new(live)),
            Err(reason) => {
                let (owner, sealed) = (row.owner(), S::SEALED);
                tracing::error!(%owner, error = %reason, "{owner} cannot be served: {sealed}");
                None
            }
        };
        Loaded { row, live }
    }

    fn open(&self, secret: &SealedSecret) -> Result<Opened, SealedReason> {
        Ok(Opened {
            purpose: secret.purpose().clone(),
            retires_at: secret.retires_at,
            value: self.vault.open(&secret.sealed, &secret.binding)?,
        })
    }
}
