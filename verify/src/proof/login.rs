//! Schemes where the sender shows the secret itself: tokens, and HTTP Basic.
//!
//! Neither covers the body: who has seen one request can make others.

use zeroize::Zeroizing;

use super::usable;
use crate::{
    Context, Refusal, Scheme, SchemeError, Secret, SecretError, Settings,
    crypto::digest::same,
    crypto::encoding::base64,
    crypto::key,
    crypto::signature::SignaturePlan,
    scheme::{KeyRule, Many, SignatureRule},
    values::Values,
};

/// A compiled scheme of the kind `token`.
#[derive(Debug, Clone)]
pub(crate) struct TokenPlan {
    key: KeyRule,
    /// Where the token is.
    pub(super) sig: SignaturePlan,
}

/// A compiled scheme of the kind `basic`.
#[derive(Debug, Clone)]
pub(crate) struct BasicPlan {
    username: Option<String>,
    /// Where the credentials are.
    pub(super) sig: SignaturePlan,
}

impl TokenPlan {
    /// Checks what the scheme says.
    pub(super) fn compile(scheme: &Scheme) -> Result<Self, SchemeError> {
        Ok(Self {
            key: scheme.key.clone(),
            sig: SignaturePlan::compile(&scheme.sig)?,
        })
    }

    /// Whether the secret is there.
    pub(super) fn verify(&self, context: &Context<'_>, values: &Values<'_>) -> Result<(), Refusal> {
        let written = self.sig.read(values)?;
        let keys = usable(context.secrets, &self.key)?;
        let mut right = false;
        for (number, key) in &keys {
            for (place, token) in &written.entries {
                let meant = !self.sig.paired || place == number;
                right |= meant && same(token.as_bytes(), key);
            }
        }
        right.then_some(()).ok_or(Refusal::WrongSignature)
    }

    /// Whether a secret has the right form.
    pub(super) fn check_secret(&self, secret: &Secret) -> Result<(), SecretError> {
        key::bytes(&self.key, secret).map(drop)
    }
}

impl BasicPlan {
    /// Checks what the scheme says; the credentials are in `Authorization` when it says nothing.
    pub(super) fn compile(scheme: &Scheme, settings: &Settings) -> Result<Self, SchemeError> {
        let username = settings.get("username").cloned();
        if username.as_ref().is_some_and(|name| name.contains(':')) {
            return Err(SchemeError::new(
                "settings.username",
                "must not hold a colon",
            ));
        }
        let rule = if scheme.sig.at.0.is_empty() {
            SignatureRule {
                at: Many(vec!["header:authorization".to_owned()]),
                prefix: "Basic ".to_owned(),
                ..SignatureRule::default()
            }
        } else {
            scheme.sig.clone()
        };
        Ok(Self {
            username,
            sig: SignaturePlan::compile(&rule)?,
        })
    }

    /// Whether user and password are those of a secret.
    pub(super) fn verify(&self, context: &Context<'_>, values: &Values<'_>) -> Result<(), Refusal> {
        let written = self.sig.read(values)?;
        if context.secrets.is_empty() {
            return Err(Refusal::NoSecret);
        }
        let mut right = false;
        for (_, text) in &written.entries {
            let given = base64(text).ok_or(Refusal::MalformedSignature)?;
            if !given.contains(&b':') {
                return Err(Refusal::MalformedSignature);
            }
            for secret in context.secrets {
                right |= self
                    .expected(secret)
                    .is_some_and(|expected| same(&given, &expected));
            }
        }
        right.then_some(()).ok_or(Refusal::WrongSignature)
    }

    /// Whether a secret has the right form.
    pub(super) fn check_secret(&self, secret: &Secret) -> Result<(), SecretError> {
        self.expected(secret).map(drop).ok_or(SecretError::Form)
    }

    /// User, colon, password. Both sides part at the first colon, so comparing the whole compares each.
    fn expected(&self, secret: &Secret) -> Option<Zeroizing<Vec<u8>>> {
        let secret = secret.expose();
        let whole = Zeroizing::new(match &self.username {
            Some(username) => [username.as_bytes(), b":", secret].concat(),
            None => secret.to_vec(),
        });
        let colon = whole.iter().position(|&byte| byte == b':')?;
        (colon + 1 < whole.len()).then_some(whole)
    }
}
