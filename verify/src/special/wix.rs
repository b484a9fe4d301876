//! Wix: the whole body is a JWT, signed with RSA; the event is JSON text in JSON text in its payload.

use std::borrow::Cow;

use super::{Special, SpecialPlan, input::public_keys};
use crate::{
    Claim, Context, Identity, Refusal, Request, Tolerance,
    crypto::jwt::{self, Keys, NamedKey},
    identify::fit_id,
    json::{document, text_at, whole},
};

/// By how much clocks may differ.
const LEEWAY_MS: i64 = 60_000;

/// Wix. The secret is the app's public key in PEM.
pub(super) static SPECIAL: Special = Special {
    identify: Some(identify),
    ..Special::new("wix", verify)
};

fn verify(context: &Context<'_>, plan: &SpecialPlan) -> Result<(), Refusal> {
    let token = jwt::parse(text(context.request)?, &["RS256"])?;
    let named = |key| NamedKey { id: None, key };
    token.verify(&Keys {
        public: public_keys(context.secrets)
            .into_iter()
            .map(named)
            .collect(),
        ..Keys::default()
    })?;
    let claims = whole(&token.payload).ok_or(Refusal::MalformedToken)?;
    if !jwt::has(&claims, "exp") {
        return Err(Refusal::Claim("exp"));
    }
    match plan.tolerance {
        Tolerance::Off => Ok(()),
        Tolerance::Millis(leeway_ms) => jwt::check_times(&claims, leeway_ms, None, context.now_ms),
        Tolerance::Late(leeway_ms) => {
            jwt::check_times(&claims, leeway_ms.max(LEEWAY_MS), None, context.now_ms)
        }
        Tolerance::Scheme => jwt::check_times(&claims, LEEWAY_MS, None, context.now_ms),
    }
}

fn text<'a>(request: &Request<'a>) -> Result<&'a str, Refusal> {
    let text = std::str::from_utf8(request.body).map_err(|_| Refusal::MalformedBody)?;
    match text {
        "" => Err(Refusal::MissingSignature),
        text => Ok(text),
    }
}

/// The payload's `data` is the text of an object with the event's type and, in `data` again, the event.
fn identify(request: &Request<'_>, _plan: &SpecialPlan) -> Option<Identity> {
    let payload = jwt::payload(text(request).ok()?)?;
    let outer = text_at(&payload, "/data").map(Cow::into_owned)?;
    let outer = document(outer.as_bytes()).ok()?;
    let event = text_at(outer, "/data").map(Cow::into_owned);
    let event = event.unwrap_or_default();
    let id = document(event.as_bytes())
        .ok()
        .and_then(|event| text_at(event, "/id"))
        .filter(|id| !id.trim().is_empty());
    let event_id = id.map(|id| fit_id(id.into_owned()));
    let event_type = text_at(outer, "/eventType").unwrap_or_default();
    let signed = text_at(&payload, "/iat");
    Some(Identity {
        claim: match &event_id {
            Some(id) => Some(Claim::of_id(id)),
            None => signed.map(|time| Claim::of_time(&time, &event_type, request.body)),
        },
        event_id,
        event_type: event_type.into_owned(),
        ..Identity::default()
    })
}
