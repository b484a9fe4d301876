//! A source's secrets: read, made, and sealed on their way into the database.

use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use posthorn_verify::{
    Scheme, Secret,
    scheme::{KeyDecode, Kind},
};
use rand::CryptoRng;
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use super::{Sources, scheme::Compiled};
use crate::{
    error::{Error, Reason},
    model::{
        secret::{Binding, Purpose},
        source::{CUSTOM, Source, SourceSettings},
    },
    rpc::convert::{Violations, is_header_value},
    store::RegistryTx,
};

/// How many secrets of a source are valid at once.
pub(super) const SECRETS_MAX: usize = 10;
const SECRET_CHARS_MAX: usize = 8_192;
const MADE_BYTES: usize = 32;
/// What the text of a Standard Webhooks secret begins with.
const STANDARD_PREFIX: &str = "whsec_";
/// The providers that anybody can be, who then takes the secret that they are given.
const ANYBODY: [&str; 3] = [CUSTOM, "standard_webhooks", "generic_hmac"];
/// The setting that leaves the password to the secret.
const USERNAME: &str = "username";

/// The secrets of a new source, or of a rotation.
pub(super) struct Chosen {
    pub(super) secrets: Vec<Secret>,
    /// What to show: the secret that was made.
    shown: Option<SecretString>,
}

impl Chosen {
    /// Reads the secrets of a new source, or makes one where that is for Posthorn to do.
    pub(super) fn read(
        texts: &[String],
        settings: &SourceSettings,
        compiled: Option<&Compiled>,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, Error> {
        let Some(compiled) = compiled.filter(|compiled| compiled.scheme.takes_secret()) else {
            return none_of(texts);
        };
        if texts.is_empty() && compiled.scheme.captures_secret() {
            return none_of(texts);
        }
        if texts.is_empty() && !compiled.scheme.needs_secret(&settings.parameters) {
            return none_of(texts);
        }
        if texts.is_empty() {
            return Self::make("secrets", settings, compiled, rng);
        }
        if texts.len() > SECRETS_MAX {
            return Err(Error::invalid("secrets", "must be at most 10"));
        }
        let mut violations = Violations::default();
        let mut secrets = Vec::with_capacity(texts.len());
        for (index, text) in texts.iter().enumerate() {
            let field = format!("secrets[{index}]");
            if texts[..index].contains(text) {
                violations.add(field.clone(), "must not be there twice");
            }
            secrets.extend(violations.take(read_one(&field, text, compiled))?);
        }
        violations.finish()?;
        Ok(Self {
            secrets,
            shown: None,
        })
    }

    /// Reads the secret of a rotation, or makes it.
    pub(super) fn read_new(
        text: &str,
        settings: &SourceSettings,
        compiled: Option<&Compiled>,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, Error> {
        let Some(compiled) = compiled.filter(|compiled| compiled.scheme.takes_secret()) else {
            let text =
                "the source has no use for secrets: its scheme needs none, or it is only polled";
            return Err(Error::precondition(Reason::NoSecretNeeded, text));
        };
        if text.is_empty() {
            return Self::make("secret", settings, compiled, rng);
        }
        Ok(Self {
            secrets: vec![read_one("secret", text, compiled)?],
            shown: None,
        })
    }

    fn make(
        field: &str,
        settings: &SourceSettings,
        compiled: &Compiled,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, Error> {
        let made = made(settings, &compiled.scheme, rng);
        let Some(text) = made else {
            let rule = "is required: the secret that the provider shows";
            return Err(Error::invalid(field, rule));
        };
        let secret = read_one(field, text.expose_secret(), compiled)?;
        Ok(Self {
            secrets: vec![secret],
            shown: Some(text),
        })
    }

    /// The text that the answer shows.
    pub(super) fn expose_shown(&self) -> String {
        let shown = self.shown.as_ref();
        shown.map_or_else(String::new, |text| text.expose_secret().to_owned())
    }
}

impl Sources {
    /// Seals secrets that requests are verified with, and writes them. The first counts as the newest: they are a
    /// millisecond apart, so that their ids keep that order.
    pub(super) async fn write_secrets(
        &self,
        tx: &mut RegistryTx,
        source: &Source,
        chosen: &Chosen,
        now: i64,
    ) -> Result<(), Error> {
        for (secret, at) in chosen.secrets.iter().rev().zip(now..) {
            self.write_secret(tx, source, Purpose::Verification, secret.expose(), at)
                .await?;
        }
        Ok(())
    }

    /// Puts another secret in the place of the one that polling sends.
    pub(super) async fn write_poll_secret(
        &self,
        tx: &mut RegistryTx,
        source: &Source,
        secret: &SecretString,
        now: i64,
    ) -> Result<(), Error> {
        tx.secret_delete(source.id.into(), &Purpose::Polling)
            .await?;
        let value = secret.expose_secret().as_bytes();
        self.write_secret(tx, source, Purpose::Polling, value, now)
            .await
    }

    async fn write_secret(
        &self,
        tx: &mut RegistryTx,
        source: &Source,
        purpose: Purpose,
        value: &[u8],
        now: i64,
    ) -> Result<(), Error> {
        let mut rng = self.core.rng();
        let binding = Binding::new(source.tenant_id, source.id, purpose, now, &mut rng);
        let sealed = self.core.vault.seal(value, binding, now, &mut rng);
        let sealed = sealed.map_err(|error| Error::Internal(Box::new(error)))?;
        Ok(tx.secret_insert(&sealed).await?)
    }
}

/// Reads the secret that polling sends. None: none was given.
pub(super) fn poll_secret(text: &str) -> Result<Option<SecretString>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    if !is_header_value(text, SECRET_CHARS_MAX) {
        let rule = "must be at most 8192 characters of visible ASCII, blanks and tabs";
        return Err(Error::invalid("poll_secret", rule));
    }
    Ok(Some(text.into()))
}

fn none_of(texts: &[String]) -> Result<Chosen, Error> {
    if !texts.is_empty() {
        let rule = "must be empty: the source has no use for secrets";
        return Err(Error::invalid("secrets", rule));
    }
    Ok(Chosen {
        secrets: Vec::new(),
        shown: None,
    })
}

fn read_one(field: &str, text: &str, compiled: &Compiled) -> Result<Secret, Error> {
    // What is copied from a page brings blanks along that nobody sees.
    let text = text.trim_matches(is_blank);
    if !(1..=SECRET_CHARS_MAX).contains(&text.chars().count()) {
        return Err(Error::invalid(field, "must be 1 to 8192 characters"));
    }
    let secret = Secret::new(text);
    let secret = secret.and_then(|secret| compiled.verifier.check_secret(&secret).map(|()| secret));
    secret.map_err(|error| {
        let words = mistaken(text, &compiled.scheme).unwrap_or_else(|| error.to_string());
        Error::invalid(field, words)
    })
}

/// Whether a character shows nothing.
fn is_blank(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}')
}

/// What a text is that was taken for the secret, where its beginning tells.
fn mistaken(text: &str, scheme: &Scheme) -> Option<String> {
    if text.starts_with("v1,whsec_") {
        return Some(
            "begins before the secret: leave out `v1,`, the secret begins at `whsec_`".to_owned(),
        );
    }
    let mut others = scheme.key.not_prefix.iter();
    let other = others.find(|other| text.starts_with(other.as_str()))?;
    Some(format!(
        "begins with `{other}`, which is a key or an id of another kind: the provider shows the secret where the webhook is \
         set up"
    ))
}

/// A new secret in the form of the scheme, where its user is the one who chooses it.
fn made(
    settings: &SourceSettings,
    scheme: &Scheme,
    rng: &mut impl CryptoRng,
) -> Option<SecretString> {
    let is_ours = ANYBODY.contains(&settings.provider.as_deref().unwrap_or_default());
    let mut bytes = Zeroizing::new([0; MADE_BYTES]);
    rng.fill_bytes(bytes.as_mut_slice());
    let bytes = bytes.as_slice();
    match (scheme.kind, scheme.key.decode) {
        (Kind::Hmac, KeyDecode::Base64) if is_ours => {
            let is_standard = scheme.key.strip == STANDARD_PREFIX;
            let prefix = if is_standard { STANDARD_PREFIX } else { "" };
            Some(format!("{prefix}{}", BASE64_STANDARD.encode(bytes)).into())
        }
        (Kind::Hmac | Kind::Hash, KeyDecode::Utf8) if is_ours => Some(text(scheme, bytes)),
        (Kind::Token, KeyDecode::Utf8) => Some(text(scheme, bytes)),
        (Kind::Basic, _) if settings.parameters.contains_key(USERNAME) => Some(text(scheme, bytes)),
        _ => None,
    }
}

fn text(scheme: &Scheme, bytes: &[u8]) -> SecretString {
    format!(
        "{}{}",
        scheme.key.prefix,
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    )
    .into()
}

#[cfg(test)]
mod tests;
