//! What every vector claims: nothing that another webhook of its provider could claim too.

use super::{ExpectedItem, Trial, checks::each};
use crate::{Claim, ClaimedBy, Identity, catalogue, scheme::IdOf};

/// The name of a claim in a vector.
fn name(claim: Option<Claim>) -> &'static str {
    match claim.map(|claim| claim.by()) {
        None => "none",
        Some(ClaimedBy::Id) => "id",
        Some(ClaimedBy::Values) => "values",
        Some(ClaimedBy::TimeAndBody) => "time_and_body",
        Some(ClaimedBy::PlaceInBatch) => "place_in_batch",
    }
}

fn identity(trial: &Trial) -> Identity {
    trial.with_request(|request| trial.verifier.identify(request))
}

/// The request with each letter or digit of its body and headers changed, one at a time.
fn others(trial: &Trial) -> impl Iterator<Item = Trial> {
    let with = |change: &dyn Fn(&mut Trial)| {
        let mut changed = trial.clone();
        change(&mut changed);
        changed
    };
    let bodies = (0..trial.body.len()).filter(|&at| trial.body[at].is_ascii_alphanumeric());
    let bodies = bodies.map(move |at| with(&|trial| trial.body[at] = other(trial.body[at])));
    let places = trial
        .headers
        .iter()
        .enumerate()
        .flat_map(|(number, (_, value))| {
            let places = (0..value.len()).filter(|&at| value[at].is_ascii_alphanumeric());
            places.map(move |at| (number, at))
        });
    let headers = places.map(move |(number, at)| {
        with(&|trial| {
            let value = &mut trial.headers[number].1;
            value[at] = other(value[at]);
        })
    });
    bodies.chain(headers)
}

/// Another character of the same kind.
const fn other(byte: u8) -> u8 {
    match byte {
        b'9' => b'8',
        b'z' => b'y',
        b'Z' => b'Y',
        _ => byte + 1,
    }
}

fn same(one: Option<Claim>, another: Option<Claim>) -> bool {
    one.is_some_and(|one| another.is_some_and(|another| one.key() == another.key()))
}

#[test]
fn every_vector_claims_what_it_says() {
    each(|vector, trial| {
        let identity = identity(trial);
        let items: Vec<_> = identity
            .items
            .iter()
            .map(|item| ExpectedItem {
                event_id: item.event_id.clone(),
                event_type: item.event_type.clone(),
                claim: name(item.claim).to_owned(),
                json: item.json.clone(),
            })
            .collect();
        let claim = name(identity.claim);
        let mut faults = Vec::new();
        if vector.claim.as_deref().is_some_and(|said| said != claim) {
            faults.push(format!("claims {claim}, not {:?}", vector.claim));
        }
        if vector.items.as_ref().is_some_and(|said| *said != items) {
            faults.push(format!("items {items:?}"));
        }
        faults
    });
}

#[test]
fn webhooks_of_different_types_never_share_a_claim() {
    each(|vector, trial| {
        let rule = &catalogue().get(&vector.provider).expect("a record").scheme;
        let of_webhook = |of: Option<IdOf>| of == Some(IdOf::Webhook);
        let whole_is = of_webhook(rule.id.of);
        let item_is = rule
            .items
            .as_ref()
            .is_none_or(|items| of_webhook(items.id.of));
        let before = identity(trial);
        let mut faults = Vec::new();
        for changed in others(trial) {
            let after = identity(&changed);
            if !whole_is && before.event_type != after.event_type && same(before.claim, after.claim)
            {
                faults.push(format!(
                    "{} claims as {}",
                    after.event_type, before.event_type
                ));
            }
            for (before, after) in before.items.iter().zip(&after.items) {
                if !item_is
                    && before.event_type != after.event_type
                    && same(before.claim, after.claim)
                {
                    faults.push(format!(
                        "{} claims as {}",
                        after.event_type, before.event_type
                    ));
                }
            }
        }
        faults
    });
}

#[test]
fn webhooks_with_different_ids_never_share_a_claim() {
    each(|_, trial| {
        let before = identity(trial);
        let mut faults = Vec::new();
        for changed in others(trial) {
            let after = identity(&changed);
            if before.event_id != after.event_id && same(before.claim, after.claim) {
                faults.push(format!(
                    "{:?} claims as {:?}",
                    after.event_id, before.event_id
                ));
            }
            for (before, after) in before.items.iter().zip(&after.items) {
                if before.event_id != after.event_id && same(before.claim, after.claim) {
                    faults.push(format!(
                        "{:?} claims as {:?}",
                        after.event_id, before.event_id
                    ));
                }
            }
        }
        faults
    });
}

#[test]
fn a_webhook_without_an_id_never_claims_by_one() {
    each(|_, trial| {
        let identity = identity(trial);
        let by_id = |claim: Option<Claim>| claim.is_some_and(|claim| claim.by() == ClaimedBy::Id);
        let nameless = |id: &Option<String>, claim| id.is_none() && by_id(claim);
        let items = identity.items.iter();
        let fault = nameless(&identity.event_id, identity.claim)
            || items
                .into_iter()
                .any(|item| nameless(&item.event_id, item.claim));
        fault
            .then(|| "claims by no id".to_owned())
            .into_iter()
            .collect()
    });
}

#[test]
fn the_items_of_a_batch_stand_in_it_and_claim_apart() {
    each(|_, trial| {
        let identity = identity(trial);
        let mut faults = Vec::new();
        for (number, item) in identity.items.iter().enumerate() {
            let others = &identity.items[number + 1..];
            if others.iter().any(|other| same(item.claim, other.claim)) {
                faults.push(format!("item {number} shares its claim"));
            }
            let is_form = trial.body.starts_with(b"mandrill_events=");
            let found = trial
                .body
                .windows(item.json.len().max(1))
                .any(|window| window == item.json.as_bytes());
            if !is_form && !found {
                faults.push(format!("item {number} is not in the body"));
            }
        }
        faults
    });
}
