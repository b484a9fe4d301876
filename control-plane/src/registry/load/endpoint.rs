//! Endpoints with what they are signed with.

use secrecy::SecretString;

use super::{
    Loader,
    owner::{Opened, SealedReason, Served},
};
use crate::{
    model::{
        endpoint::{Endpoint, EndpointSettings, LiveEndpoint, LiveTarget, Posting, Target},
        secret::Purpose,
    },
    sign::SigningKey,
};

impl Served for EndpointSettings {
    type Live = LiveEndpoint;

    const SEALED: &str = "nothing can be signed for it, so its deliveries wait";

    fn live(
        endpoint: &Endpoint,
        _: &Loader,
        secrets: Vec<Opened>,
    ) -> Result<LiveEndpoint, SealedReason> {
        let target = match &endpoint.settings.target {
            Target::Url(url) => LiveTarget::Url(Box::new(posting(url, secrets)?)),
            Target::Consumer(handler) => LiveTarget::Consumer(handler.clone()),
        };
        Ok(LiveEndpoint {
            endpoint: endpoint.clone(),
            target,
        })
    }
}

fn posting(url: &str, secrets: Vec<Opened>) -> Result<Posting, SealedReason> {
    let mut signing_key = None;
    let mut former_signing_key = None;
    let mut secret_headers = Vec::new();
    for secret in secrets {
        let bytes = secret.value.as_slice();
        match (secret.purpose, secret.retires_at) {
            (Purpose::Signing, None) => signing_key = Some(key_of(bytes)?),
            (Purpose::Signing, Some(until)) => {
                former_signing_key = Some((key_of(bytes)?, until));
            }
            (Purpose::Header(name), _) => {
                let value = std::str::from_utf8(bytes).map_err(|_| SealedReason::Content)?;
                secret_headers.push((name, SecretString::from(value)));
            }
            (Purpose::Verification | Purpose::Polling, _) => return Err(SealedReason::Content),
        }
    }
    Ok(Posting {
        url: url.to_owned(),
        signing_key: signing_key.ok_or(SealedReason::NoSigningKey)?,
        former_signing_key,
        secret_headers,
    })
}

fn key_of(bytes: &[u8]) -> Result<SigningKey, SealedReason> {
    SigningKey::from_bytes(bytes.to_vec()).map_err(|_| SealedReason::Content)
}
