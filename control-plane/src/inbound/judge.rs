//! Whether a request is genuine: a pure step, in the order that gives nothing away.
//!
//! First what holds for everybody, so that it tells nobody which sources exist; then who may post; then handshakes that
//! nobody signs; then the signature. Nothing is read of the body's meaning before that.

use std::{collections::HashSet, sync::LazyLock};

use hmac::{Hmac, KeyInit as _, Mac as _, digest::Key};
use posthorn_verify::{
    Context, Fetched, Handshake, Handshaken, KeyRequest, Refusal, Secret, Verifier, catalogue,
};
use sha2::Sha256;

use super::posted::Posted;
use crate::model::{inbound::Verdict, source::LiveSource};

/// The headers that no request may have twice with different values, or with bytes that are no ASCII.
static SINGLE_VALUED: LazyLock<HashSet<&'static str>> =
    LazyLock::new(|| catalogue().single_valued_headers().collect());

/// Why a request is refused whose address may not post.
pub(super) const ADDRESS: &str = "address";

/// What became of the proof.
#[derive(Debug)]
pub(crate) enum Proof {
    /// It was signed with one of the source's secrets.
    Genuine,
    /// The same, longer ago than the source usually takes, and not too long for what can be told from a repeat.
    Late,
    /// It is a handshake, and is no event.
    Handshake(Handshaken),
    /// A key has to be fetched first.
    NeedsKey(KeyRequest),
    /// The key that it names is not among those that were fetched.
    UnknownKey(KeyRequest),
    /// It is refused.
    Refused(Refused),
}

/// A request that is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused {
    /// The status that it is answered with.
    pub status: u16,
    /// Why: a word of a fixed set.
    pub reason: &'static str,
    /// As what it is kept. None: it is only counted.
    pub kept: Option<Verdict>,
}

impl Refused {
    /// A refusal that is only counted.
    pub(super) const fn counted(status: u16, reason: &'static str) -> Self {
        Self {
            status,
            reason,
            kept: None,
        }
    }

    /// A refusal of what is genuine but not fit.
    pub(super) const fn quarantined(reason: &'static str) -> Self {
        Self::unfit(400, reason)
    }

    /// The same with another status than 400.
    pub(super) const fn unfit(status: u16, reason: &'static str) -> Self {
        Self {
            status,
            reason,
            kept: Some(Verdict::Quarantined),
        }
    }

    /// Whether the sender did not prove who it is.
    pub(super) fn is_mismatch(&self) -> bool {
        self.kept == Some(Verdict::Rejected)
    }
}

/// Judges who sent a request to a source that has a verifier.
pub(crate) fn prove(
    live: &LiveSource,
    verifier: &Verifier,
    posted: &Posted,
    fetched: &[Fetched],
) -> Proof {
    if let Err(refused) = check_head(posted) {
        return Proof::Refused(refused);
    }
    if !may_post(live, posted) {
        return Proof::Refused(Refused::counted(403, ADDRESS));
    }
    let secrets = secrets(live, posted.received_at);
    let request = posted.request(&live.url);
    let context = Context {
        request: &request,
        secrets: &secrets,
        fetched,
        now_ms: posted.received_at,
    };
    let handshake = verifier.handshake(&request);
    match handshake {
        Some(handshake) if handshake.before_signature() => {
            return answer(verifier, handshake, &context);
        }
        None if !verifier.takes_method(&posted.method) => {
            return Proof::Refused(Refused::counted(405, "method"));
        }
        _ => {}
    }
    let key = match verifier.key_request(&request) {
        Ok(Some(key)) if !fetched.iter().any(|known| known.url == key.url) => {
            return Proof::NeedsKey(key);
        }
        Ok(key) => key,
        Err(refusal) => return refuse(verifier, unproved(refusal)),
    };
    match (verifier.verify(&context), key) {
        (Ok(()), _) => handshake.map_or(Proof::Genuine, |handshake| {
            answer(verifier, handshake, &context)
        }),
        (Err(Refusal::UnknownKey), Some(key)) => Proof::UnknownKey(key),
        (Err(Refusal::Stale), _) if handshake.is_none() && is_late(live, &context) => Proof::Late,
        (Err(refusal), _) => refuse(verifier, refusal),
    }
}

/// Whether what is too old otherwise is taken, and genuine in every other way.
fn is_late(live: &LiveSource, context: &Context<'_>) -> bool {
    let verifier = live.late_verifier.as_ref();
    verifier.is_some_and(|verifier| verifier.verify(context).is_ok())
}

/// What a request to no source is answered: the same, at the same cost, as one whose signature is wrong.
pub(crate) fn refuse_stranger(posted: &Posted) -> Refused {
    if let Err(refused) = check_head(posted) {
        return refused;
    }
    if posted.method != "POST" {
        return Refused::counted(405, "method");
    }
    let mut mac = Hmac::<Sha256>::new(&Key::<Hmac<Sha256>>::default());
    mac.update(&posted.body);
    // Whatever comes of it, there is no source. It is looked at, so that it is worked out.
    let is_zero = mac.verify_slice(&[0; 32]).is_ok();
    Refused::counted(
        401,
        if is_zero {
            "unknown_key"
        } else {
            "unknown_source"
        },
    )
}

/// Why a verifier's refusal is answered as it is.
pub(super) fn refused(verifier: &Verifier, refusal: Refusal) -> Refused {
    let status = verifier.answers().refused(refusal);
    let kept = match refusal {
        Refusal::NoSecret | Refusal::KeyNotFetched | Refusal::Method => None,
        // A verifier says these only after the proof.
        Refusal::MalformedBody | Refusal::Stale => Some(Verdict::Quarantined),
        _ => Some(Verdict::Rejected),
    };
    Refused {
        status,
        reason: refusal.reason(),
        kept,
    }
}

/// A refusal before the proof, where nothing may be said of the body.
fn unproved(refusal: Refusal) -> Refusal {
    match refusal {
        Refusal::MalformedBody => Refusal::MalformedSignature,
        other => other,
    }
}

fn refuse(verifier: &Verifier, refusal: Refusal) -> Proof {
    Proof::Refused(refused(verifier, refusal))
}

fn answer(verifier: &Verifier, handshake: Handshake<'_>, context: &Context<'_>) -> Proof {
    match handshake.answer(context) {
        Ok(handshaken) => Proof::Handshake(handshaken),
        // Nothing is kept: it is no event.
        Err(refusal) => Proof::Refused(Refused {
            kept: None,
            ..refused(verifier, refusal)
        }),
    }
}

/// Headers that some scheme reads come once and are ASCII, for every source alike. Nor is there a body of two types.
fn check_head(posted: &Posted) -> Result<(), Refused> {
    let mut types = posted.headers.get_all("content-type");
    if let Some(first) = types.next()
        && types.any(|other| other != first)
    {
        return Err(Refused::counted(400, "ambiguous_header"));
    }
    let single = posted
        .headers
        .iter()
        .filter(|(name, _)| SINGLE_VALUED.contains(name));
    for (name, value) in single {
        if !value.is_ascii() {
            return Err(Refused::counted(400, "malformed_header"));
        }
        if posted.headers.get_all(name).any(|other| other != value) {
            return Err(Refused::counted(400, "ambiguous_header"));
        }
    }
    Ok(())
}

fn may_post(live: &LiveSource, posted: &Posted) -> bool {
    let allowed = &live.source.settings.allowed_addresses;
    allowed.is_empty()
        || posted
            .remote_ip()
            .is_some_and(|address| allowed.iter().any(|block| block.contains(&address)))
}

/// The secrets that are accepted at `now_ms`, the newest first.
pub(super) fn secrets(live: &LiveSource, now_ms: i64) -> Vec<Secret> {
    let accepted = live
        .secrets
        .iter()
        .filter(|(_, retires_at)| retires_at.is_none_or(|until| now_ms < until));
    accepted.map(|(secret, _)| secret.clone()).collect()
}

#[cfg(test)]
mod tests;
