//! Requests of a provider that ask for an answer and are no events: challenges, pings, confirmations.
//!
//! What is echoed is bounded, printable, and sent as plain text or inside a JSON string, so that a source's URL reflects
//! nothing that a browser would run. Nothing is called and nothing kept here; the outcome says what the caller has to do.

use url::Url;

use self::plan::HandshakePlan;
use crate::{
    Answer, Context, Refusal, Request, Secret, reference::Reference, remote::pinned,
    values::Values, verifier::Verifier,
};

pub(crate) mod plan;
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

impl Verifier {
    /// The handshake that a request is, if it is one.
    pub fn handshake<'a>(&'a self, request: &Request<'_>) -> Option<Handshake<'a>> {
        Handshake::find(self, request)
    }
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
