//! Digests, keyed digests and public-key signatures of a content.

use subtle::ConstantTimeEq as _;

use super::{remote::RemotePlan, usable};
use crate::{
    Context, KeyRequest, Refusal, Scheme, SchemeError, Secret, SecretError,
    crypto::digest,
    crypto::key,
    crypto::signature::SignaturePlan,
    reference::Reference,
    scheme::{Algorithm, KeyDecode, KeyRule, Kind},
    template::{Piece, Template},
    values::Values,
};

/// The most contents of which one must match.
const CONTENTS_MAX: usize = 4;
/// In how many further ways a secret is read.
const KEY_WAYS_MAX: usize = 3;

/// A compiled scheme of the kinds `hmac`, `hash` and `asym`.
#[derive(Debug, Clone)]
pub(crate) struct SignedPlan {
    kind: Kind,
    alg: Algorithm,
    key: KeyRule,
    remote: Option<RemotePlan>,
    /// Where the signatures are.
    pub(super) sig: SignaturePlan,
    /// What is signed; one must match.
    pub(super) contents: Vec<Template>,
}

impl SignedPlan {
    /// Checks what the scheme says.
    pub(super) fn compile(scheme: &Scheme) -> Result<Self, SchemeError> {
        let alg = scheme
            .alg
            .ok_or_else(|| SchemeError::new("alg", "must be given"))?;
        check_algorithm(scheme.kind, alg)?;
        check_key(scheme.kind, &scheme.key)?;
        let texts = &scheme.content.0;
        if texts.is_empty() || texts.len() > CONTENTS_MAX {
            return Err(SchemeError::new("content", "must be one to four templates"));
        }
        let contents = texts
            .iter()
            .map(|text| Template::parse(text).map_err(|what| SchemeError::new("content", what)))
            .collect::<Result<Vec<_>, _>>()?;
        let has_secret = |content: &Template| {
            content
                .needed()
                .any(|reference| *reference == Reference::Secret)
        };
        if scheme.kind == Kind::Hash && !contents.iter().all(has_secret) {
            return Err(SchemeError::new(
                "content",
                "must hold {secret}, or anybody could make the digest",
            ));
        }
        if contents
            .iter()
            .any(|content| content.needed().next().is_none())
        {
            return Err(SchemeError::new(
                "content",
                "must hold something of the request",
            ));
        }
        Ok(Self {
            kind: scheme.kind,
            alg,
            key: scheme.key.clone(),
            remote: scheme
                .key
                .remote
                .as_ref()
                .map(RemotePlan::compile)
                .transpose()?,
            sig: SignaturePlan::compile(&scheme.sig)?,
            contents,
        })
    }

    /// Whether one of the signatures is right, for one of the secrets and one of the contents.
    pub(super) fn verify(
        &self,
        context: &Context<'_>,
        values: &mut Values<'_>,
    ) -> Result<(), Refusal> {
        let written = self.sig.read(values)?;
        let given = self.sig.decode(&written)?;
        values.sig = written.others;
        let values = &*values;
        let mut right = false;
        let mut refusal = None;
        for content in &self.contents {
            match content.pieces(values) {
                Ok(pieces) => right |= self.matches(context, values, &pieces, &given)?,
                Err(reason) => refusal = refusal.or(Some(reason)),
            }
        }
        match (right, refusal) {
            (true, _) => Ok(()),
            (false, Some(reason)) if self.contents.len() == 1 => Err(reason),
            (false, _) => Err(Refusal::WrongSignature),
        }
    }

    /// Which remote key is needed.
    pub(super) fn key_request(&self, values: &Values<'_>) -> Result<Option<KeyRequest>, Refusal> {
        self.remote
            .as_ref()
            .map(|remote| remote.request(values))
            .transpose()
    }

    /// Whether a secret has the right form.
    pub(super) fn check_secret(&self, secret: &Secret) -> Result<(), SecretError> {
        match self.kind {
            Kind::Asym => key::public_keys(&self.key, secret).map(drop),
            _ => key::every(&self.key, secret).map(drop),
        }
    }

    /// Reads the other entries of the signature header.
    pub(super) fn read_others(&self, values: &mut Values<'_>) {
        if let Ok(written) = self.sig.read(values) {
            values.sig = written.others;
        }
    }

    /// Whether every content holds one of the values, or the body that they are in.
    pub(super) fn signs(&self, references: &[Reference]) -> bool {
        let in_body = |one: &Reference| matches!(one, Reference::Json(_) | Reference::Form(_));
        (references.iter().all(in_body) && self.covers_body())
            || self
                .contents
                .iter()
                .all(|content| content.references().any(|held| references.contains(held)))
    }

    /// Whether every content holds the body.
    pub(super) fn covers_body(&self) -> bool {
        self.contents
            .iter()
            .all(|content| content.needed().any(Reference::covers_body))
    }

    /// The references that are read.
    pub(super) fn references(&self) -> impl Iterator<Item = &Reference> {
        self.sig
            .references()
            .chain(self.contents.iter().flat_map(Template::references))
    }

    fn matches(
        &self,
        context: &Context<'_>,
        values: &Values<'_>,
        pieces: &[Piece<'_>],
        given: &[(usize, Vec<u8>)],
    ) -> Result<bool, Refusal> {
        match self.kind {
            Kind::Asym => self.matches_public(context, values, pieces, given),
            _ => self.matches_shared(context, pieces, given),
        }
    }

    fn matches_shared(
        &self,
        context: &Context<'_>,
        pieces: &[Piece<'_>],
        given: &[(usize, Vec<u8>)],
    ) -> Result<bool, Refusal> {
        let keys = usable(context.secrets, &self.key)?;
        let mut right = false;
        for (number, key) in &keys {
            let bytes = pieces.iter().map(|piece| piece.bytes(key));
            let expected = match self.kind {
                Kind::Hash => digest::plain(self.alg, bytes),
                _ => digest::keyed(self.alg, key, bytes),
            };
            let expected = expected.ok_or(Refusal::NoSecret)?;
            for (place, signature) in given {
                let meant = !self.sig.paired || place == number;
                right |= meant && bool::from(signature.as_slice().ct_eq(&expected));
            }
        }
        Ok(right)
    }

    fn matches_public(
        &self,
        context: &Context<'_>,
        values: &Values<'_>,
        pieces: &[Piece<'_>],
        given: &[(usize, Vec<u8>)],
    ) -> Result<bool, Refusal> {
        let mut keys: Vec<_> = context
            .secrets
            .iter()
            .filter_map(|secret| key::public_keys(&self.key, secret).ok())
            .flatten()
            .collect();
        if let Some(remote) = &self.remote {
            match remote.keys(values, context.fetched) {
                Ok(remote) => keys.extend(remote),
                Err(refusal) if keys.is_empty() => return Err(refusal),
                Err(_) => {}
            }
        }
        if keys.is_empty() {
            return Err(Refusal::NoSecret);
        }
        let whole: Vec<u8> = pieces
            .iter()
            .flat_map(|piece| piece.bytes(&[]))
            .copied()
            .collect();
        Ok(keys.iter().any(|named| {
            given
                .iter()
                .any(|(_, signature)| named.key.verify(self.alg, &whole, signature))
        }))
    }
}

fn check_algorithm(kind: Kind, alg: Algorithm) -> Result<(), SchemeError> {
    let fits = match kind {
        Kind::Asym => digest::length(alg).is_none(),
        Kind::Hmac => digest::length(alg).is_some() && alg != Algorithm::Md5,
        _ => digest::length(alg).is_some(),
    };
    fits.then_some(())
        .ok_or_else(|| SchemeError::new("alg", "does not go with the kind"))
}

fn check_key(kind: Kind, rule: &KeyRule) -> Result<(), SchemeError> {
    let public = matches!(
        rule.decode,
        KeyDecode::Pem | KeyDecode::Der | KeyDecode::Jwks
    );
    let others = &rule.or;
    let is_plain = |other: &KeyRule| other.or.is_empty() && other.remote.is_none();
    if others.len() > KEY_WAYS_MAX || !others.iter().all(is_plain) {
        return Err(SchemeError::new(
            "key.or",
            "must be at most three ways that have no others",
        ));
    }
    if kind == Kind::Asym && !others.is_empty() {
        return Err(SchemeError::new("key.or", "is for shared secrets"));
    }
    if kind != Kind::Asym && (public || rule.remote.is_some()) {
        return Err(SchemeError::new(
            "key",
            "a public key is no secret to sign with",
        ));
    }
    Ok(())
}
