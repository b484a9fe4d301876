//! Giving a source a new secret.

use posthorn::v1;

use super::{
    Sources, scheme,
    secret::{Chosen, SECRETS_MAX},
};
use crate::{
    audit::Record,
    error::{Error, Reason},
    model::{secret::Purpose, source::Source},
    registry::Changed,
    rpc::{Call, Caller, Made, blind, convert::overlap_ms},
    store::RegistryTx,
};

impl Sources {
    pub(super) async fn rotate(
        &self,
        caller: &Caller,
        request: v1::RotateSourceSecretRequest,
    ) -> Result<v1::RotateSourceSecretResponse, Error> {
        let now = self.core.clock.now_ms();
        let named = self.named(caller, &request.tenant_id, &request.source_id)?;
        let overlap_ms = overlap_ms(request.overlap.as_ref())?;
        let mut content = request.clone();
        blind(&self.core.vault, &mut content.secret);
        let call = Call::new(caller, &content, now)?;
        let change = async |tx: &mut RegistryTx| {
            // Held, so there are never more secrets than are tried.
            let source = named.hold(tx, now).await?;
            let compiled = scheme::compile(&source.settings)?;
            let chosen = Chosen::read_new(
                &request.secret,
                &source.settings,
                compiled.as_ref(),
                &mut self.core.rng(),
            )?;
            let before = self.described(tx, &source, now).await?;
            self.replace(tx, &source, &chosen, overlap_ms, now).await?;
            let after = self.described(tx, &source, now).await?;
            let record = Record::of(source.tenant_id, named.id);
            let record = record.changing(Some(&before), Some(&after));
            let response = v1::RotateSourceSecretResponse {
                source: Some(after),
                secret: String::new(),
            };
            let made = Made::new(response, record).of([Changed::Source(named.id)]);
            let shown = chosen.expose_shown();
            Ok(made.then(move |response| response.secret = shown))
        };
        self.mutations.make(call, change).await
    }

    /// Writes the new secret over all others, which are accepted until the overlap has passed, and none any longer.
    async fn replace(
        &self,
        tx: &mut RegistryTx,
        source: &Source,
        chosen: &Chosen,
        overlap_ms: i64,
        now: i64,
    ) -> Result<(), Error> {
        let (owner, purpose) = (source.id.into(), Purpose::Verification);
        tx.secret_prune(owner, now).await?;
        tx.secret_retire(owner, &purpose, now + overlap_ms).await?;
        // Without an overlap that was just now.
        tx.secret_prune(owner, now).await?;
        let valid = tx.secret_list(owner).await?;
        let valid = valid.iter();
        let valid = valid.filter(|secret| *secret.purpose() == purpose);
        if valid.count() >= SECRETS_MAX {
            let text = "10 secrets are valid at once: wait until one retires, or rotate with an `overlap` of 0s, \
                 which ends all older ones at once";
            return Err(Error::precondition(Reason::TooManySecrets, text));
        }
        self.write_secrets(tx, source, chosen, now).await
    }
}
