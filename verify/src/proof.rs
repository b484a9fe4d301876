//! What proves the sender, by kind of scheme.

use zeroize::Zeroizing;

use self::{
    jwt::JwtPlan,
    login::{BasicPlan, TokenPlan},
    signed::SignedPlan,
};
use crate::{
    Answer, Context, Identity, KeyRequest, Refusal, Request, Scheme, SchemeError, Secret,
    SecretError, Settings, Tolerance,
    crypto::key,
    identify::IdentityPlan,
    reference::Reference,
    scheme::{KeyRule, Kind},
    special::{self, Special, SpecialPlan},
    values::Values,
};

mod jwt;
mod login;
mod remote;
#[cfg(test)]
mod seen;
mod signed;

#[cfg(test)]
pub(crate) use self::seen::Seen;

/// A compiled proof.
#[derive(Debug, Clone)]
pub(crate) enum Proof {
    /// Nothing is proved.
    None,
    /// A digest, keyed digest or public-key signature.
    Signed(SignedPlan),
    /// A JSON web token.
    Jwt(JwtPlan),
    /// The secret itself.
    Token(TokenPlan),
    /// User and password.
    Basic(BasicPlan),
    /// Code.
    Special(&'static Special, SpecialPlan),
}

impl Proof {
    /// Compiles the proof of a scheme.
    pub(crate) fn compile(
        scheme: &Scheme,
        settings: &Settings,
        tolerance: Tolerance,
    ) -> Result<Self, SchemeError> {
        Ok(match scheme.kind {
            Kind::None => Self::None,
            Kind::Hmac | Kind::Hash | Kind::Asym => Self::Signed(SignedPlan::compile(scheme)?),
            Kind::Jwt => Self::Jwt(JwtPlan::compile(scheme, tolerance)?),
            Kind::Token => Self::Token(TokenPlan::compile(scheme)?),
            Kind::Basic => Self::Basic(BasicPlan::compile(scheme, settings)?),
            Kind::Special => {
                let special = special::find(&scheme.special)
                    .ok_or_else(|| SchemeError::new("special", "is not known"))?;
                if let Some(check) = special.check {
                    check(settings)?;
                }
                let plan = SpecialPlan {
                    settings: settings.clone(),
                    tolerance,
                };
                Self::Special(special, plan)
            }
        })
    }

    /// Whether the request is from who it says. Leaves what it read of the signature in the values.
    pub(crate) fn verify(
        &self,
        context: &Context<'_>,
        values: &mut Values<'_>,
    ) -> Result<(), Refusal> {
        match self {
            Self::None => Ok(()),
            Self::Signed(plan) => plan.verify(context, values),
            Self::Jwt(plan) => plan.verify(context, values),
            Self::Token(plan) => plan.verify(context, values),
            Self::Basic(plan) => plan.verify(context, values),
            Self::Special(special, plan) => (special.verify)(context, plan),
        }
    }

    /// Which remote key is needed.
    pub(crate) fn key_request(&self, values: &Values<'_>) -> Result<Option<KeyRequest>, Refusal> {
        match self {
            Self::Signed(plan) => plan.key_request(values),
            Self::Jwt(plan) => plan.key_request(values),
            Self::Special(special, plan) => special
                .key_request
                .map_or(Ok(None), |ask| ask(values.request(), plan)),
            Self::None | Self::Token(_) | Self::Basic(_) => Ok(None),
        }
    }

    /// Whether a secret has the right form.
    pub(crate) fn check_secret(&self, secret: &Secret) -> Result<(), SecretError> {
        match self {
            Self::Signed(plan) => plan.check_secret(secret),
            Self::Jwt(plan) => plan.check_secret(secret),
            Self::Token(plan) => plan.check_secret(secret),
            Self::Basic(plan) => plan.check_secret(secret),
            Self::None | Self::Special(..) => Ok(()),
        }
    }

    /// Reads what `sig:` and `claim:` references look at, of a request that was verified before.
    pub(crate) fn read_others(&self, values: &mut Values<'_>) {
        match self {
            Self::Signed(plan) => plan.read_others(values),
            Self::Jwt(plan) => plan.read_claims(values),
            _ => {}
        }
    }

    /// The identity that code gives.
    pub(crate) fn identify(
        &self,
        request: &Request<'_>,
        identity: &IdentityPlan,
    ) -> Option<Identity> {
        let Self::Special(special, plan) = self else {
            return None;
        };
        let mut found = special.identify?(request, plan)?;
        found.event_type = identity.type_below(&found.event_type);
        for item in &mut found.items {
            item.event_type = identity.type_below(&item.event_type);
        }
        Some(found)
    }

    /// The type that code gives.
    pub(crate) fn event_type(&self, request: &Request<'_>) -> Option<String> {
        match self {
            Self::Special(special, _) => special.event_type?(request),
            _ => None,
        }
    }

    /// The answer that code gives.
    pub(crate) fn answer(&self, context: &Context<'_>) -> Option<Answer> {
        match self {
            Self::Special(special, plan) => special.answer?(context, plan),
            _ => None,
        }
    }

    /// Whether whichever of these values is read is covered by what is proved. Code checks its own times.
    pub(crate) fn signs(&self, references: &[Reference]) -> bool {
        match self {
            Self::Signed(plan) => plan.signs(references),
            Self::Jwt(_) => references
                .iter()
                .all(|reference| matches!(reference, Reference::Claim(_))),
            Self::None | Self::Token(_) | Self::Basic(_) | Self::Special(..) => false,
        }
    }

    /// The times that the proof itself covers, the first that is there counts.
    pub(crate) fn times(&self) -> Vec<Reference> {
        let names = match self {
            Self::Jwt(_) => ["claim:iat", "claim:nbf"].as_slice(),
            _ => &[],
        };
        names
            .iter()
            .filter_map(|name| Reference::parse(name))
            .collect()
    }

    /// Whether the body is covered; `None` when only the code knows.
    pub(crate) fn covers_body(&self) -> Option<bool> {
        match self {
            Self::Signed(plan) => Some(plan.covers_body()),
            Self::Jwt(plan) => Some(plan.covers_body()),
            Self::None | Self::Token(_) | Self::Basic(_) => Some(false),
            Self::Special(..) => None,
        }
    }

    /// Whether leaving the body out would be surprising.
    pub(crate) fn should_cover_body(&self) -> bool {
        matches!(self, Self::Signed(_))
    }

    /// The references that are read.
    pub(crate) fn references(&self) -> Box<dyn Iterator<Item = &Reference> + '_> {
        match self {
            Self::Signed(plan) => Box::new(plan.references()),
            Self::Jwt(plan) => Box::new(plan.sig.references()),
            Self::Token(plan) => Box::new(plan.sig.references()),
            Self::Basic(plan) => Box::new(plan.sig.references()),
            Self::None | Self::Special(..) => Box::new(std::iter::empty()),
        }
    }

    /// The references that read a credential: the secret itself, or a token that would pass with another body too.
    pub(crate) fn credentials(&self) -> Box<dyn Iterator<Item = &Reference> + '_> {
        match self {
            Self::Token(_) | Self::Basic(_) => self.references(),
            Self::Jwt(plan) if !plan.covers_body() => self.references(),
            _ => Box::new(std::iter::empty()),
        }
    }

    /// The headers that code reads.
    pub(crate) fn special_headers(&self) -> impl Iterator<Item = &'static str> {
        let headers = match self {
            Self::Special(special, _) => special.headers,
            _ => &[],
        };
        headers.iter().copied()
    }
}

/// A key and the place of its secret.
type PlacedKey = (usize, Zeroizing<Vec<u8>>);

/// The keys of those secrets that have the right form, in each way that they are read; the number is the secret's place.
fn usable(secrets: &[Secret], rule: &KeyRule) -> Result<Vec<PlacedKey>, Refusal> {
    let placed = secrets.iter().enumerate();
    let keys = placed.flat_map(|(place, secret)| {
        let keys = key::every(rule, secret).unwrap_or_default();
        keys.into_iter().map(move |key| (place, key))
    });
    let keys = keys.collect::<Vec<_>>();
    if keys.is_empty() {
        return Err(Refusal::NoSecret);
    }
    Ok(keys)
}
