//! Handshakes as their scheme says them, compiled.

use super::reply::{AnswerPlan, DigestPlan};
use crate::{
    Refusal, SchemeError, answer::check_status, crypto::compare::Comparison, reference::Reference,
    remote::check_hosts, scheme::HandshakeRule, values::Values,
};

/// A compiled [`HandshakeRule`].
#[derive(Debug, Clone)]
pub(crate) struct HandshakePlan {
    pub(super) name: String,
    /// The method.
    pub(crate) method: String,
    pub(super) present: Vec<Reference>,
    pub(super) equal: Vec<Comparison>,
    pub(super) empty_body: bool,
    pub(super) before_signature: bool,
    pub(super) check: Vec<Comparison>,
    pub(super) failed_status: u16,
    pub(super) digest: Option<DigestPlan>,
    pub(super) answer: AnswerPlan,
    pub(super) capture: Option<Reference>,
    pub(super) call_back: Option<Reference>,
    pub(super) call_back_hosts: Vec<String>,
}

impl HandshakePlan {
    /// Checks a rule.
    pub(crate) fn compile(rule: &HandshakeRule) -> Result<Self, SchemeError> {
        let when = &rule.when;
        let method = when.method.clone().unwrap_or_else(|| "POST".to_owned());
        if !matches!(method.as_str(), "GET" | "HEAD" | "OPTIONS" | "POST" | "PUT") {
            return Err(SchemeError::new("handshake.when.method", "is not taken"));
        }
        if method == "POST" && when.present.is_empty() && when.equal.is_empty() && !when.empty_body
        {
            return Err(SchemeError::new("handshake.when", "would take every event"));
        }
        if rule.call_back.is_some() && rule.before_signature {
            return Err(SchemeError::new("handshake.call_back", "must be signed"));
        }
        if rule.call_back.is_some() == rule.call_back_hosts.is_empty() {
            return Err(SchemeError::new(
                "handshake.call_back_hosts",
                "goes with call_back",
            ));
        }
        let hosts = check_hosts(&rule.call_back_hosts);
        hosts.map_err(|what| SchemeError::new("handshake.call_back_hosts", what))?;
        let digest = rule.digest.as_ref().map(DigestPlan::compile).transpose()?;
        // Otherwise anybody could have the source's secret sign a body of their choice.
        if rule.before_signature
            && digest
                .as_ref()
                .is_some_and(|digest| !digest.content.holds_words_only())
        {
            return Err(SchemeError::new(
                "handshake.digest.content",
                "is not signed: its values need the filter `word`, `id`, `hex` or `digits`",
            ));
        }
        let failed_status = rule.failed_status.unwrap_or(403);
        check_status("handshake.failed_status", failed_status)?;
        Ok(Self {
            name: rule.name.clone(),
            method,
            present: when
                .present
                .iter()
                .map(|text| reference("handshake.when.present", text))
                .collect::<Result<_, _>>()?,
            equal: Comparison::compile_all("handshake.when.equal", &when.equal)?,
            empty_body: when.empty_body,
            before_signature: rule.before_signature,
            check: Comparison::compile_all("handshake.check", &rule.check)?,
            failed_status,
            digest,
            answer: AnswerPlan::compile(&rule.answer)?,
            capture: optional("handshake.capture", rule.capture.as_deref())?,
            call_back: optional("handshake.call_back", rule.call_back.as_deref())?,
            call_back_hosts: rule.call_back_hosts.clone(),
        })
    }

    /// The pairs that must be equal.
    pub(crate) fn checks(&self) -> &[Comparison] {
        &self.check
    }

    /// Whether a request is this handshake. Values that cannot be read make it none.
    pub(super) fn is(&self, values: &Values<'_>) -> bool {
        let request = values.request();
        request.method == self.method
            && (!self.empty_body || request.body.is_empty())
            && self.present.iter().all(|reference| {
                // Twice is there too: it is then no challenge that is answered.
                matches!(
                    values.get(reference),
                    Ok(Some(_)) | Err(Refusal::AmbiguousValue)
                )
            })
            && self
                .equal
                .iter()
                .all(|pair| pair.holds(values, &[]) == Ok(true))
    }
}

fn reference(field: &str, text: &str) -> Result<Reference, SchemeError> {
    Reference::parse(text)
        .ok_or_else(|| SchemeError::new(field, format!("`{text}` is no reference")))
}

fn optional(field: &str, text: Option<&str>) -> Result<Option<Reference>, SchemeError> {
    text.map(|text| reference(field, text)).transpose()
}
