//! Giving an endpoint a new signing secret.

use posthorn::v1;

use super::{
    Endpoints,
    change::{check, described, refuse_handler},
    seal::{ChosenKey, NewSecret},
};
use crate::{
    clock,
    error::Error,
    model::{
        endpoint::Endpoint,
        id::SecretId,
        secret::{Purpose, SealedSecret},
    },
    registry::Changed,
    rpc::{Call, Caller, Made, Work, blind, convert::overlap_ms},
    store::Tx,
};

impl Endpoints {
    pub(super) async fn rotate(
        &self,
        caller: Caller,
        request: v1::RotateSecretRequest,
    ) -> Result<v1::RotateSecretResponse, Error> {
        let now = clock::now_ms();
        let named = self.named(caller, &request.tenant_id, &request.endpoint_id)?;
        let overlap_ms = overlap_ms(request.overlap.as_ref())?;
        let key = ChosenKey::read(&request.secret)?;
        let mut content = request.clone();
        blind(&self.vault, &mut content.secret);
        let call = Call::new(&caller, "RotateSecret", &content, &request.request_id, now)?;
        let change = async |tx: &mut Work| {
            // The touch keeps other rotations away, so there is never a third secret.
            check(tx.endpoint_touch(named.id, now).await?)?;
            let endpoint = named.own(tx.endpoint_get(named.id).await?)?;
            refuse_handler(&endpoint, "has no secret")?;
            self.replace(tx, &endpoint, &key, overlap_ms, now).await?;
            let response = v1::RotateSecretResponse {
                endpoint: Some(described(tx, &endpoint, now).await?),
                secret: String::new(),
            };
            let made = Made::new(response).of([Changed::Endpoint(named.id)]);
            let shown = key.expose_shown();
            Ok(made.then(move |response| response.secret = shown))
        };
        self.mutations.make(call, change).await
    }

    async fn replace(
        &self,
        tx: &mut Tx,
        endpoint: &Endpoint,
        key: &ChosenKey,
        overlap_ms: i64,
        now: i64,
    ) -> Result<(), Error> {
        let mut secrets = tx.secret_list(endpoint.id).await?;
        secrets.retain(|secret| secret.purpose == Purpose::Signing);
        // An attempt has at most two signatures: what an earlier rotation left goes at once.
        for former in secrets.iter().filter(|secret| secret.retires_at.is_some()) {
            tx.secret_delete(former.id, former.version).await?;
        }
        let current = secrets.iter().find(|secret| secret.retires_at.is_none());
        if let Some(current) = current {
            retire(tx, current, overlap_ms, now).await?;
        }
        let secret = NewSecret {
            id: current.map_or_else(|| SecretId::new(now, &mut clock::rng()), |secret| secret.id),
            version: current.map_or(1, |secret| secret.version + 1),
            purpose: Purpose::Signing,
            name: "",
            value: key.key.expose_bytes(),
        };
        self.write_secret(tx, endpoint, secret, now).await
    }
}

async fn retire(
    tx: &mut Tx,
    current: &SealedSecret,
    overlap_ms: i64,
    now: i64,
) -> Result<(), Error> {
    if overlap_ms == 0 {
        tx.secret_delete(current.id, current.version).await?;
    } else {
        tx.secret_retire(current.id, current.version, now + overlap_ms)
            .await?;
    }
    Ok(())
}
