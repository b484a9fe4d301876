//! Sources with their schemes compiled and what their requests are verified with.

use posthorn_verify::Secret;
use secrecy::SecretString;

use super::{
    Loader,
    owner::{Opened, SealedReason, Served},
};
use crate::model::{
    secret::Purpose,
    source::{LiveSource, Source, SourceSettings},
};

impl Served for SourceSettings {
    type Live = LiveSource;

    const SEALED: &str = "its requests cannot be verified, so providers are asked to try later";

    fn live(
        source: &Source,
        loader: &Loader,
        opened: Vec<Opened>,
    ) -> Result<LiveSource, SealedReason> {
        let mut secrets = Vec::new();
        let mut poll_secret = None;
        for secret in opened {
            let bytes = secret.value.as_slice();
            match secret.purpose {
                Purpose::Verification => secrets.push((Secret::new(bytes)?, secret.retires_at)),
                Purpose::Polling => {
                    let text = std::str::from_utf8(bytes).map_err(|_| SealedReason::Content)?;
                    poll_secret = Some(SecretString::from(text));
                }
                Purpose::Signing | Purpose::Header(_) => return Err(SealedReason::Content),
            }
        }
        let settings = &source.settings;
        let scheme = settings.scheme()?;
        let registered = settings.registered_url.clone();
        let verifier = settings.verifier()?;
        let mut secret_headers = scheme.map_or_else(Vec::new, |scheme| scheme.secret_headers());
        let (mut kept_headers, credentials) = match &verifier {
            Some(verifier) => (verifier.header_names(), verifier.credential_headers()),
            None => Default::default(),
        };
        secret_headers.extend(credentials.into_iter().map(str::to_owned));
        secret_headers.sort_unstable();
        secret_headers.dedup();
        kept_headers.extend(settings.forward_headers.iter().cloned());
        Ok(LiveSource {
            source: source.clone(),
            url: registered.unwrap_or_else(|| loader.public_url.of_source(source.id)),
            verifier,
            late_verifier: settings.late_verifier()?,
            secret_headers,
            kept_headers,
            secrets,
            poll_secret,
        })
    }
}
