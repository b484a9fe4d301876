//! Requests of a provider that ask for an answer and are no events: challenges, pings, confirmations.
//!
//! What is echoed is bounded, printable, and sent as plain text or inside a JSON string, so that a source's URL reflects
//! nothing that a browser would run. Nothing is called and nothing kept here; the outcome says what the caller has to do.

use url::Url;

use self::reply::{AnswerPlan, DigestPlan};
use crate::{
    Answer, Context, Refusal, Request, SchemeError, Secret, answer::check_status,
    compare::Comparison, reference::Reference, remote::pinned, scheme::HandshakeRule,
    values::Values, verifier::Verifier,
};

mod reply;

/// The longest secret that a provider hands over, in bytes.
const CAPTURED_BYTES_MAX: usize = 512;

/// A request that is a handshake, not yet answered.
#[derive(Debug, Clone, Copy)]
pub struct Handshake<'a> {
    plan: &'a HandshakePlan,
    verifier: &'a Verifier,
}

/// What comes of a handshake.
#[derive(Debug, Clone)]
pub struct Handshaken {
    /// What the provider is answered.
    pub answer: Answer,
    /// A secret that the provider handed over, to be kept as the source's. Nobody signed for it: accept it once, and
    /// only while the source waits for it.
    pub capture: Option<Secret>,
    /// A URL to call, on a host that the scheme allows, for the handshake to be complete.
    pub call_back: Option<Url>,
}

/// A compiled [`HandshakeRule`].
#[derive(Debug, Clone)]
pub(crate) struct HandshakePlan {
    name: String,
    /// The method.
    pub(crate) method: String,
    present: Vec<Reference>,
    equal: Vec<Comparison>,
    empty_body: bool,
    before_signature: bool,
    check: Vec<Comparison>,
    failed_status: u16,
    digest: Option<DigestPlan>,
    answer: AnswerPlan,
    capture: Option<Reference>,
    call_back: Option<Reference>,
    call_back_hosts: Vec<String>,
}

impl<'a> Handshake<'a> {
    /// The handshake of a request among those of a scheme.
    pub(crate) fn find(verifier: &'a Verifier, request: &Request<'_>) -> Option<Self> {
        let mut values = verifier.values(request);
        // For handshakes whose mark is in the signature header there is none: they are unsigned.
        values.sig = Vec::new();
        verifier
            .handshakes()
            .iter()
            .find(|plan| plan.is(&values))
            .map(|plan| Self { plan, verifier })
    }

    /// A short name for logs and metrics.
    pub fn name(&self) -> &'a str {
        &self.plan.name
    }

    /// Whether it is answered without a look at the signature. Otherwise [`Verifier::verify`] must have accepted the
    /// request first.
    pub fn before_signature(&self) -> bool {
        self.plan.before_signature
    }

    /// Works the answer out.
    ///
    /// # Errors
    /// `MalformedChallenge` when what the answer needs is not in the request, or must not be echoed.
    pub fn answer(&self, context: &Context<'_>) -> Result<Handshaken, Refusal> {
        let plan = self.plan;
        let mut values = self.verifier.values(context.request);
        for check in &plan.check {
            if !check.holds(&values, context.secrets)? {
                return Ok(failed(plan.failed_status));
            }
        }
        if let Some(digest) = &plan.digest {
            let text = digest.text(&values, context.secrets);
            values.digest = Some(text.map_err(unfit)?);
        }
        let capture = plan
            .capture
            .as_ref()
            .map(|reference| captured(&values, reference));
        let call_back = plan.call_back.as_ref().map(|reference| {
            let text = values.text(reference)?.ok_or(Refusal::MissingValue)?;
            pinned(&text, &plan.call_back_hosts).ok_or(Refusal::ForbiddenKeyAddress)
        });
        Ok(Handshaken {
            answer: plan.answer.fill(&values).map_err(unfit)?,
            capture: capture.transpose()?,
            call_back: call_back.transpose()?,
        })
    }
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
    fn is(&self, values: &Values<'_>) -> bool {
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

/// A challenge that cannot be answered is the request's fault and says nothing of its signature.
fn unfit(refusal: Refusal) -> Refusal {
    match refusal {
        Refusal::NoSecret => refusal,
        _ => Refusal::MalformedChallenge,
    }
}

fn captured(values: &Values<'_>, reference: &Reference) -> Result<Secret, Refusal> {
    let text = values.text(reference)?.ok_or(Refusal::MissingValue)?;
    let printable = text.bytes().all(|byte| byte.is_ascii_graphic());
    if !printable || text.len() > CAPTURED_BYTES_MAX {
        return Err(Refusal::MalformedValue);
    }
    Secret::new(text).map_err(|_| Refusal::MissingValue)
}

fn failed(status: u16) -> Handshaken {
    Handshaken {
        answer: Answer {
            status,
            ..Answer::default()
        },
        capture: None,
        call_back: None,
    }
}

fn reference(field: &str, text: &str) -> Result<Reference, SchemeError> {
    Reference::parse(text)
        .ok_or_else(|| SchemeError::new(field, format!("`{text}` is no reference")))
}

fn optional(field: &str, text: Option<&str>) -> Result<Option<Reference>, SchemeError> {
    text.map(|text| reference(field, text)).transpose()
}
