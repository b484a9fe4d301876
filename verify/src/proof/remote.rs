//! Keys that a provider publishes, as records know them.

use crate::{
    Fetched, KeyForm, KeyRequest, Refusal, SchemeError,
    crypto::asym::PublicKey,
    crypto::encoding::lenient_base64,
    crypto::jwt::{NamedKey, google_certs, jwks},
    json::{self, Pointer},
    remote::{check_hosts, fetched, pinned},
    scheme::RemoteKey,
    template::Template,
    values::Values,
};

/// A compiled [`RemoteKey`].
#[derive(Debug, Clone)]
pub(super) struct RemotePlan {
    url: Template,
    hosts: Vec<String>,
    form: KeyForm,
    pointer: Pointer,
}

impl RemotePlan {
    /// Checks a rule.
    pub(super) fn compile(rule: &RemoteKey) -> Result<Self, SchemeError> {
        if rule.form == KeyForm::Certificate {
            return Err(SchemeError::new(
                "key.remote.form",
                "certificates need code of their own",
            ));
        }
        if rule.hosts.is_empty() {
            return Err(SchemeError::new("key.remote.hosts", "must name a host"));
        }
        let hosts = check_hosts(&rule.hosts);
        hosts.map_err(|what| SchemeError::new("key.remote.hosts", what))?;
        let url =
            Template::parse(&rule.url).map_err(|what| SchemeError::new("key.remote.url", what))?;
        if !url.is_one_value() && !url.holds_words_only() {
            return Err(SchemeError::new(
                "key.remote.url",
                "values of the request need the filter `id`, `hex` or `digits`, unless one is the whole address",
            ));
        }
        Ok(Self {
            url,
            hosts: rule.hosts.clone(),
            form: rule.form,
            pointer: Pointer::parse(&rule.pointer)
                .ok_or_else(|| SchemeError::new("key.remote.pointer", "is no JSON pointer"))?,
        })
    }

    /// The address of the key.
    pub(super) fn request(&self, values: &Values<'_>) -> Result<KeyRequest, Refusal> {
        let text = self.url.text(values)?;
        let url = pinned(&text, &self.hosts).ok_or(Refusal::ForbiddenKeyAddress)?;
        Ok(KeyRequest {
            url,
            form: self.form,
        })
    }

    /// The keys that were fetched.
    pub(super) fn keys(
        &self,
        values: &Values<'_>,
        known: &[Fetched],
    ) -> Result<Vec<NamedKey>, Refusal> {
        let request = self.request(values)?;
        let bytes = fetched(known, &request.url).ok_or(Refusal::KeyNotFetched)?;
        let keys = match self.form {
            KeyForm::Jwks => jwks(bytes),
            KeyForm::GoogleCerts => google_certs(bytes),
            KeyForm::Pem => PublicKey::from_pem(bytes).map(unnamed),
            KeyForm::ProviderJson => self.inside(bytes).map(unnamed),
            KeyForm::Certificate => None,
        };
        keys.filter(|keys| !keys.is_empty())
            .ok_or(Refusal::UnknownKey)
    }

    fn inside(&self, bytes: &[u8]) -> Option<PublicKey> {
        let text = json::find(json::document(bytes).ok()?, &self.pointer)?.text()?;
        PublicKey::from_pem(text.as_bytes())
            .or_else(|| PublicKey::from_bytes(&lenient_base64(text.trim())?))
    }
}

fn unnamed(key: PublicKey) -> Vec<NamedKey> {
    vec![NamedKey { id: None, key }]
}
