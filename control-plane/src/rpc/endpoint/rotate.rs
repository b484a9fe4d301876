//! Giving an endpoint a new signing secret.

use posthorn::v1;

use super::{
    Endpoints,
    change::{described, refuse_handler},
    seal::ChosenKey,
};
use crate::{
    audit::Record,
    error::Error,
    model::{endpoint::Endpoint, secret::Purpose},
    registry::Changed,
    rpc::{Call, Caller, Made, blind, convert::overlap_ms},
    store::RegistryTx,
};

impl Endpoints {
    pub(super) async fn rotate(
        &self,
        caller: &Caller,
        request: v1::RotateEndpointSecretRequest,
    ) -> Result<v1::RotateEndpointSecretResponse, Error> {
        let now = self.core.clock.now_ms();
        let named = self.named(caller, &request.tenant_id, &request.endpoint_id)?;
        let overlap_ms = overlap_ms(request.overlap.as_ref())?;
        let key = ChosenKey::read(&request.secret, &mut self.core.rng())?;
        let mut content = request.clone();
        blind(&self.core.vault, &mut content.secret);
        let call = Call::new(caller, &content, now)?;
        let change = async |tx: &mut RegistryTx| {
            // Held, so there is never a third secret.
            let endpoint = named.hold(tx, now).await?;
            refuse_handler(&endpoint, "has no secret")?;
            let before = described(tx, &endpoint, now).await?;
            self.replace(tx, &endpoint, &key, overlap_ms, now).await?;
            let after = described(tx, &endpoint, now).await?;
            let record = Record::of(endpoint.tenant_id, named.id);
            let record = record.changing(Some(&before), Some(&after));
            let response = v1::RotateEndpointSecretResponse {
                endpoint: Some(after),
                secret: String::new(),
            };
            let made = Made::new(response, record).of([Changed::Endpoint(named.id)]);
            let shown = key.expose_shown();
            Ok(made.then(move |response| response.secret = shown))
        };
        self.mutations.make(call, change).await
    }

    async fn replace(
        &self,
        tx: &mut RegistryTx,
        endpoint: &Endpoint,
        key: &ChosenKey,
        overlap_ms: i64,
        now: i64,
    ) -> Result<(), Error> {
        let (owner, purpose) = (endpoint.id.into(), Purpose::Signing);
        let secrets = tx.secret_list(owner).await?;
        // An attempt has at most two signatures: what an earlier rotation left goes at once.
        tx.secret_prune(owner, i64::MAX).await?;
        tx.secret_retire(owner, &purpose, now + overlap_ms).await?;
        // Without an overlap that was just now.
        tx.secret_prune(owner, now).await?;
        let former = secrets.iter().map(|secret| &secret.binding);
        let binding = self.next_binding(endpoint, &purpose, former, now);
        self.write_secret(tx, binding, key.key.expose_bytes(), now)
            .await
    }
}
