//! Reading sources.

use std::collections::HashMap;

use posthorn::v1;

use super::{Sources, settings};
use crate::{
    clock,
    error::Error,
    model::{
        id::SourceId,
        secret::{Owner, SealedSecret},
        source::{Source, SourceState},
    },
    rpc::{
        Caller, Page, QueryFingerprint,
        convert::{etag, timestamp},
    },
    store::Tx,
};

impl Sources {
    pub(super) async fn get(
        &self,
        caller: &Caller,
        request: v1::GetSourceRequest,
    ) -> Result<v1::GetSourceResponse, Error> {
        let named = self.named(caller, &request.tenant_id, &request.source_id)?;
        let source = named.own(self.store.source_get(named.id).await?)?;
        let secrets = self.store.secret_list(named.id.into()).await?;
        Ok(v1::GetSourceResponse {
            source: Some(self.proto(&source, &secrets, clock::now_ms())),
        })
    }

    pub(super) async fn list(
        &self,
        caller: &Caller,
        request: v1::ListSourcesRequest,
    ) -> Result<v1::ListSourcesResponse, Error> {
        let tenant = self.tenant(caller, &request.tenant_id)?.tenant.id;
        let query = QueryFingerprint::new("ListSources", &[tenant.uuid().as_bytes()]);
        let page = Page::parse(request.page_size, &request.page_token, query)?;
        let after = page.after_uuid()?.map(SourceId::from_uuid);
        let rows = self.store.source_list(tenant, after, page.rows_to_read());
        let (rows, next_page_token) = page.cut(rows.await?, |row| row.id.uuid().into_bytes());
        let secrets = self.secrets_of(&rows).await?;
        let now = clock::now_ms();
        let sources = rows.iter().map(|row| {
            let secrets = secrets
                .get(&Owner::from(row.id))
                .map_or(&[][..], Vec::as_slice);
            self.proto(row, secrets, now)
        });
        Ok(v1::ListSourcesResponse {
            sources: sources.collect(),
            next_page_token,
        })
    }

    /// A source as the transaction has it, for the answer.
    pub(super) async fn described(
        &self,
        tx: &mut Tx,
        source: &Source,
        now: i64,
    ) -> Result<v1::Source, Error> {
        let secrets = tx.secret_list(source.id.into()).await?;
        Ok(self.proto(source, &secrets, now))
    }

    /// The secrets of one tenant's sources that are next to each other.
    async fn secrets_of(
        &self,
        rows: &[Source],
    ) -> Result<HashMap<Owner, Vec<SealedSecret>>, Error> {
        let mut map = HashMap::<_, Vec<_>>::new();
        if let (Some(first), Some(last)) = (rows.first(), rows.last()) {
            let range =
                self.store
                    .secret_list_range(first.tenant_id, first.id.into(), last.id.into());
            for secret in range.await? {
                map.entry(secret.binding.owner).or_default().push(secret);
            }
        }
        Ok(map)
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
            state: state_proto(source.state).into(),
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

fn state_proto(state: SourceState) -> v1::SourceState {
    match state {
        SourceState::Enabled => v1::SourceState::Enabled,
        SourceState::Paused => v1::SourceState::Paused,
        SourceState::Disabled => v1::SourceState::Disabled,
    }
}

fn secret_proto(secret: &SealedSecret) -> v1::SourceSecret {
    v1::SourceSecret {
        fingerprint: secret.fingerprint.clone(),
        retires_at: secret.retires_at.map(timestamp),
        created_at: Some(timestamp(secret.created_at)),
    }
}
