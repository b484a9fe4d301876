//! Giving an endpoint a new signing secret.

use posthorn::v1;
use prost_types::Duration;

use super::{
    Endpoints,
    change::{check, described},
    seal::{ChosenKey, NewSecret, blind},
};
use crate::{
    clock,
    error::Error,
    model::{
        endpoint::Endpoint,
        id::SecretId,
        secret::{Purpose, SealedSecret},
    },
    rpc::{Begun, Call, Caller, convert::duration_ms},
    store::Tx,
};

const HOUR_MS: i64 = 60 * 60 * 1_000;
/// How long the former secret signs too when the caller does not say.
const OVERLAP_DEFAULT_MS: i64 = 24 * HOUR_MS;
/// How long it can.
const OVERLAP_MAX_MS: i64 = 7 * 24 * HOUR_MS;

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
        let mut mutation = match call.begin::<v1::RotateSecretResponse>(&self.store).await? {
            Begun::Repeat(response) => return Ok(response),
            Begun::Fresh(mutation) => mutation,
        };
        let tx = mutation.tx();
        // The touch keeps other rotations away, so there is never a third secret.
        check(tx.endpoint_touch(named.id, now).await?)?;
        let endpoint = named.own(tx.endpoint_get(named.id).await?)?;
        self.replace(tx, &endpoint, &key, overlap_ms, now).await?;
        let mut response = v1::RotateSecretResponse {
            endpoint: Some(described(tx, &endpoint, now).await?),
            secret: String::new(),
        };
        mutation.commit(&response).await?;
        self.publish(named.id).await?;
        response.secret = key.expose_shown();
        Ok(response)
    }

    async fn replace(
        &self,
        tx: &mut Tx,
        endpoint: &Endpoint,
        key: &ChosenKey,
        overlap_ms: i64,
        now: i64,
    ) -> Result<(), Error> {
        tx.secret_prune(endpoint.id, now).await?;
        let mut secrets = tx.secret_list(endpoint.id).await?;
        secrets.retain(|secret| secret.purpose == Purpose::Signing);
        if secrets.iter().any(|secret| secret.retires_at.is_some()) {
            let text = "the former secret still signs: see `rotation_ends_at`";
            return Err(Error::FailedPrecondition(text.to_owned()));
        }
        let current = secrets.first();
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

fn overlap_ms(overlap: Option<&Duration>) -> Result<i64, Error> {
    let Some(overlap) = overlap else {
        return Ok(OVERLAP_DEFAULT_MS);
    };
    let refused = || Error::invalid("overlap", "must be from 0 s to 7 days");
    let ms = duration_ms("overlap", overlap).map_err(|_| refused())?;
    let ms = i64::try_from(ms).map_err(|_| refused())?;
    if ms > OVERLAP_MAX_MS {
        Err(refused())
    } else {
        Ok(ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overlap_is_at_most_a_week() {
        let seconds = |seconds| Duration { seconds, nanos: 0 };
        assert_eq!(overlap_ms(None).unwrap(), OVERLAP_DEFAULT_MS);
        for (overlap, ms) in [
            (seconds(0), 0),
            (seconds(3_600), HOUR_MS),
            (seconds(604_800), OVERLAP_MAX_MS),
        ] {
            assert_eq!(overlap_ms(Some(&overlap)).unwrap(), ms);
        }
        for overlap in [
            seconds(-1),
            seconds(604_801),
            seconds(i64::MAX),
            Duration {
                seconds: 1,
                nanos: -1,
            },
        ] {
            assert!(overlap_ms(Some(&overlap)).is_err(), "{overlap:?}");
        }
    }
}
