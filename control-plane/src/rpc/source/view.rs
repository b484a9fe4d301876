//! Reading sources.

use posthorn::v1;

use super::{Sources, settings};
use crate::{
    error::Error,
    model::{secret::SealedSecret, source::Source},
    rpc::{
        Caller,
        convert::{etag, timestamp},
        object,
    },
    store::RegistryTx,
};

impl Sources {
    pub(super) async fn get(
        &self,
        caller: &Caller,
        request: v1::GetSourceRequest,
    ) -> Result<v1::GetSourceResponse, Error> {
        let named = self.named(caller, &request.tenant_id, &request.source_id)?;
        let source = named.get(&self.core.store).await?;
        let secrets = self.core.store.secret_list(named.id.into()).await?;
        Ok(v1::GetSourceResponse {
            source: Some(self.proto(&source, &secrets, self.core.clock.now_ms())),
        })
    }

    pub(super) async fn list(
        &self,
        caller: &Caller,
        request: v1::ListSourcesRequest,
    ) -> Result<v1::ListSourcesResponse, Error> {
        let tenant = self.tenant(caller, &request.tenant_id)?.tenant.id;
        let asked = (request.page_size, request.page_token.as_str());
        let (rows, next_page_token) =
            object::page(&self.core.store, tenant, "ListSources", asked).await?;
        let now = self.core.clock.now_ms();
        let sources = rows
            .iter()
            .map(|(row, secrets)| self.proto(row, secrets, now));
        Ok(v1::ListSourcesResponse {
            sources: sources.collect(),
            next_page_token,
        })
    }

    /// A source as the transaction has it, for the answer.
    pub(super) async fn described(
        &self,
        tx: &mut RegistryTx,
        source: &Source,
        now: i64,
    ) -> Result<v1::Source, Error> {
        let secrets = tx.secret_list(source.id.into()).await?;
        Ok(self.proto(source, &secrets, now))
    }

    /// The contract's form of a source, without any secret.
    fn proto(&self, source: &Source, secrets: &[SealedSecret], now: i64) -> v1::Source {
        let accepted = secrets.iter().filter(|secret| secret.is_accepted(now));
        let takes_requests = source.settings.provider.is_some();
        let url = takes_requests.then(|| self.public_url.of_source(source.id));
        v1::Source {
            source_id: source.id.to_string(),
            tenant_id: source.tenant_id.to_string(),
            settings: Some(settings::proto(&source.settings)),
            state: v1::SourceState::from(source.state).into(),
            state_reason: source.state_reason.clone(),
            etag: etag(source.version),
            url: url.unwrap_or_default(),
            secrets: accepted.map(secret_proto).collect(),
            covers_body: covers_body(source),
            created_at: Some(timestamp(source.created_at)),
            updated_at: Some(timestamp(source.updated_at)),
        }
    }
}

/// Whether everything that comes is known to be the provider's: signed whole, or fetched from it.
fn covers_body(source: &Source) -> bool {
    let verifier = source.settings.verifier();
    verifier.is_ok_and(|verifier| verifier.is_none_or(|verifier| verifier.covers_body()))
}

fn secret_proto(secret: &SealedSecret) -> v1::SourceSecret {
    v1::SourceSecret {
        fingerprint: secret.fingerprint.clone(),
        retires_at: secret.retires_at.map(timestamp),
        created_at: Some(timestamp(secret.created_at)),
    }
}
