//! JSON web tokens as proof: the token's own claims, and digests of body and URL in them.

use std::collections::BTreeMap;

use super::remote::RemotePlan;
use crate::{
    Context, KeyRequest, Refusal, Scheme, SchemeError, Secret, SecretError, Tolerance,
    crypto::jwt::{self, Keys, check_hash, check_times, claim_list, is_algorithm, is_shared},
    crypto::key,
    crypto::signature::SignaturePlan,
    json::{self, Found},
    scheme::{JwtRule, KeyRule, SignatureRule},
    template::Template,
    timestamp::Window,
    values::Values,
};

/// A compiled scheme of the kind `jwt`.
#[derive(Debug, Clone)]
pub(crate) struct JwtPlan {
    rule: JwtRule,
    key: KeyRule,
    remote: Option<RemotePlan>,
    /// Where the token is.
    pub(super) sig: SignaturePlan,
    claims: BTreeMap<String, Vec<Template>>,
    max_age: Option<Window>,
}

impl JwtPlan {
    /// Checks what the scheme says.
    pub(super) fn compile(scheme: &Scheme, tolerance: Tolerance) -> Result<Self, SchemeError> {
        let rule = &scheme.jwt;
        if rule.algs.is_empty() || !rule.algs.iter().all(|alg| is_algorithm(alg)) {
            return Err(SchemeError::new(
                "jwt.algs",
                "must be a list of known algorithms",
            ));
        }
        let shared = rule.algs.iter().filter(|alg| is_shared(alg)).count();
        if shared != 0 && shared != rule.algs.len() {
            return Err(SchemeError::new(
                "jwt.algs",
                "must not mix shared secrets and public keys: one would serve as the other",
            ));
        }
        if rule.leeway_s > 3600 {
            return Err(SchemeError::new(
                "jwt.leeway_s",
                "must not be more than an hour",
            ));
        }
        let leeway_ms = i64::from(rule.leeway_s) * 1000;
        let max_age = rule.max_age_s.and_then(|seconds| {
            tolerance.window(i64::from(seconds) * 1000 + leeway_ms, leeway_ms.max(60_000))
        });
        Ok(Self {
            rule: rule.clone(),
            key: scheme.key.clone(),
            remote: scheme
                .key
                .remote
                .as_ref()
                .map(RemotePlan::compile)
                .transpose()?,
            sig: SignaturePlan::compile(&SignatureRule {
                enc: crate::scheme::Encoding::Base64url,
                ..scheme.sig.clone()
            })?,
            claims: claims(rule)?,
            max_age,
        })
    }

    /// Whether the token was signed with one of the keys, and says what it must.
    pub(super) fn verify(
        &self,
        context: &Context<'_>,
        values: &mut Values<'_>,
    ) -> Result<(), Refusal> {
        let written = self.sig.read(values)?;
        let [(_, text)] = written.entries.as_slice() else {
            return Err(Refusal::MalformedSignature);
        };
        let token = jwt::parse(text, &self.rule.algs)?;
        token.verify(&self.keys(context, values, is_shared(token.alg))?)?;
        let payload = json::whole(&token.payload).ok_or(Refusal::MalformedToken)?;
        values.claims = Some(token.payload.clone());
        self.check_claims(&payload, values)?;
        let leeway_ms = i64::from(self.rule.leeway_s) * 1000;
        check_times(&payload, leeway_ms, self.max_age, context.now_ms)?;
        if let Some(rule) = &self.rule.body_hash {
            check_hash(&payload, rule, context.request.body)?;
        }
        match &self.rule.url_hash {
            Some(rule) => check_hash(&payload, rule, context.request.called_url().as_bytes()),
            None => Ok(()),
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
        if self.rule.algs.iter().any(|alg| is_shared(alg)) {
            key::bytes(&self.key, secret).map(drop)
        } else {
            key::public_keys(&self.key, secret).map(drop)
        }
    }

    /// Reads the claims of a token that was verified before.
    pub(super) fn read_claims(&self, values: &mut Values<'_>) {
        if let Ok(written) = self.sig.read(values)
            && let Some((_, token)) = written.entries.first()
        {
            values.read_claims(token);
        }
    }

    /// Whether a claim holds the body's digest.
    pub(super) fn covers_body(&self) -> bool {
        self.rule.body_hash.is_some()
    }

    fn keys(
        &self,
        context: &Context<'_>,
        values: &Values<'_>,
        shared: bool,
    ) -> Result<Keys, Refusal> {
        let mut keys = Keys::default();
        for secret in context.secrets {
            if shared {
                keys.shared.extend(key::bytes(&self.key, secret).ok());
            } else {
                let public = key::public_keys(&self.key, secret);
                keys.public.extend(public.ok().into_iter().flatten());
            }
        }
        if let Some(remote) = &self.remote {
            match remote.keys(values, context.fetched) {
                Ok(remote) => keys.public.extend(remote),
                Err(refusal) if keys.public.is_empty() => return Err(refusal),
                Err(_) => {}
            }
        }
        Ok(keys)
    }

    fn check_claims(&self, payload: &Found<'_>, values: &Values<'_>) -> Result<(), Refusal> {
        for name in &self.rule.need {
            if claim_list(payload, name)?.is_empty() {
                return Err(Refusal::Claim(label(name)));
            }
        }
        for (name, wanted) in &self.claims {
            let given = claim_list(payload, name)?;
            let fits = wanted.iter().any(|template| {
                template
                    .text(values)
                    .is_ok_and(|text| given.iter().any(|value| *value == text))
            });
            if !fits {
                return Err(Refusal::Claim(label(name)));
            }
        }
        Ok(())
    }
}

fn claims(rule: &JwtRule) -> Result<BTreeMap<String, Vec<Template>>, SchemeError> {
    rule.claims
        .iter()
        .map(|(name, texts)| {
            let field = format!("jwt.claims.{name}");
            let templates = texts
                .0
                .iter()
                .map(|text| Template::parse(text).map_err(|what| SchemeError::new(&field, what)))
                .collect::<Result<Vec<_>, _>>()?;
            if templates.is_empty() {
                return Err(SchemeError::new(field, "must have a value"));
            }
            Ok((name.clone(), templates))
        })
        .collect()
}

/// A claim's name for metrics, of a fixed set.
fn label(name: &str) -> &'static str {
    ["iss", "aud", "sub", "exp", "nbf", "iat", "jti", "email"]
        .into_iter()
        .find(|known| *known == name)
        .unwrap_or("other")
}
