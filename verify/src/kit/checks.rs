//! The checks over all vectors.

use super::{Trial, Vector, vectors};
use crate::{Refusal, catalogue, scheme::Kind};

/// A year and more, in milliseconds.
const LONG_MS: i64 = 400 * 86_400_000;

/// Runs a check on every vector of a known provider and says which failed.
pub(super) fn each(check: impl Fn(&Vector, &Trial) -> Vec<String>) {
    let faults: Vec<String> = vectors()
        .iter()
        .filter(|(_, vector)| catalogue().get(&vector.provider).is_some())
        .flat_map(|(name, vector)| {
            check(vector, &Trial::new(vector))
                .into_iter()
                .take(5)
                .map(move |fault| format!("{name}: {fault}"))
        })
        .collect();
    assert!(
        faults.is_empty(),
        "{} faults\n{}",
        faults.len(),
        faults.join("\n")
    );
}

/// Those changes that were accepted though the scheme read something else.
fn accepted(trial: &Trial, changes: Vec<(String, Trial)>) -> Vec<String> {
    let before = trial.seen();
    changes
        .into_iter()
        .filter(|(_, changed)| changed.verify().is_ok())
        .filter(|(_, changed)| match (&before, changed.seen()) {
            (Some(before), Some(after)) => !after.is_as_good_as(before),
            _ => true,
        })
        .map(|(name, _)| format!("accepted with {name}"))
        .collect()
}

fn proves_nothing(vector: &Vector) -> bool {
    catalogue()
        .get(&vector.provider)
        .is_some_and(|provider| provider.scheme.kind == Kind::None)
}

#[test]
fn every_provider_has_a_vector() {
    let vectors = vectors();
    let missing: Vec<_> = catalogue()
        .names()
        .filter(|name| vectors.values().all(|vector| vector.provider != *name))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn every_vector_is_of_a_provider() {
    let strange: Vec<_> = vectors()
        .into_values()
        .map(|vector| vector.provider)
        .filter(|provider| catalogue().get(provider).is_none())
        .collect();
    assert!(strange.is_empty(), "{strange:?}");
}

#[test]
fn every_vector_says_where_it_is_from() {
    each(|vector, _| match vector.source.len() {
        0..10 => vec!["no source".to_owned()],
        _ => Vec::new(),
    });
}

#[test]
fn every_vector_is_accepted() {
    each(|_, trial| {
        trial
            .verify()
            .err()
            .map(|refusal| refusal.to_string())
            .into_iter()
            .collect()
    });
}

#[test]
fn every_vector_is_recognised() {
    each(|vector, trial| {
        let identity = trial.with_request(|request| trial.verifier.identify(request));
        let mut faults = Vec::new();
        if identity.event_id != vector.event_id {
            faults.push(format!(
                "id {:?} is not {:?}",
                identity.event_id, vector.event_id
            ));
        }
        if let Some(expected) = &vector.event_type
            && identity.event_type != *expected
        {
            faults.push(format!(
                "type {:?} is not {expected:?}",
                identity.event_type
            ));
        }
        faults
    });
}

#[test]
fn another_secret_is_refused() {
    each(|vector, trial| {
        let fault = !proves_nothing(vector) && trial.other_secrets().verify().is_ok();
        fault
            .then(|| "accepted with another secret".to_owned())
            .into_iter()
            .collect()
    });
}

/// Whatever is wrong with a time is told only of what was proved: it is kept as genuine.
#[test]
fn p5_only_what_was_proved_is_stale() {
    each(|vector, trial| {
        let mut trial = trial.other_secrets();
        trial.now_ms += 40 * 86_400_000;
        let fault = !proves_nothing(vector) && trial.verify() == Err(Refusal::Stale);
        let fault = fault.then(|| "stale with another secret".to_owned());
        fault.into_iter().collect()
    });
}

#[test]
fn no_secret_is_refused() {
    each(|vector, trial| {
        let mut trial = trial.clone();
        trial.secrets = Vec::new();
        trial.fetched = Vec::new();
        let fault = !proves_nothing(vector) && trial.verify().is_ok();
        fault
            .then(|| "accepted without a secret".to_owned())
            .into_iter()
            .collect()
    });
}

#[test]
fn an_old_or_early_request_is_refused() {
    each(|_, trial| {
        let at = |now_ms| {
            Trial {
                now_ms,
                ..trial.clone()
            }
            .verify()
        };
        let mut faults = Vec::new();
        let Some((from, to)) =
            trial.with_request(|request| trial.verifier.accepted_between(request))
        else {
            return faults;
        };
        for (now_ms, expected) in [
            (trial.now_ms + LONG_MS, Err(Refusal::Stale)),
            (trial.now_ms - LONG_MS, Err(Refusal::FromTheFuture)),
            (to, Ok(())),
            (to + 1, Err(Refusal::Stale)),
            (from, Ok(())),
            (from - 1, Err(Refusal::FromTheFuture)),
        ] {
            let verdict = at(now_ms);
            if verdict != expected {
                faults.push(format!("at {now_ms}: {verdict:?} and not {expected:?}"));
            }
        }
        faults
    });
}

#[test]
fn no_flipped_bit_of_a_signed_header_is_accepted() {
    each(|_, trial| accepted(trial, trial.header_flips()));
}

#[test]
fn no_flipped_bit_of_a_signed_path_is_accepted() {
    each(|_, trial| accepted(trial, trial.path_flips()));
}

#[test]
fn no_flipped_bit_of_a_covered_body_is_accepted() {
    each(|_, trial| {
        if trial.verifier.covers_body() || trial.seen().is_some() {
            accepted(trial, trial.body_flips())
        } else {
            Vec::new()
        }
    });
}

#[test]
fn no_cut_or_missing_signed_header_is_accepted() {
    each(|_, trial| accepted(trial, trial.cut_headers()));
}

#[test]
fn no_signature_of_another_length_is_accepted() {
    each(|_, trial| accepted(trial, trial.cut_signatures()));
}

#[test]
fn no_other_body_is_accepted_where_it_is_covered() {
    each(|_, trial| {
        if trial.verifier.covers_body() {
            accepted(trial, trial.other_bodies())
        } else {
            Vec::new()
        }
    });
}

#[test]
fn no_signed_header_may_be_there_twice() {
    each(|vector, trial| {
        let repeats = catalogue()
            .get(&vector.provider)
            .is_some_and(|provider| provider.scheme.sig.repeat == crate::scheme::Repeat::Any);
        if repeats {
            Vec::new()
        } else {
            accepted(trial, trial.repeated_headers())
        }
    });
}

#[test]
fn no_event_is_taken_for_a_handshake() {
    each(|vector, trial| {
        let found = trial.with_request(|request| {
            let handshake = trial.verifier.handshake(request)?;
            Some(handshake.name().to_owned())
        });
        let is_event = vector.event_type.is_some();
        found.filter(|_| is_event).into_iter().collect()
    });
}
