//! The items of a batch: where they are, as their bytes stand in the body.

use super::{EventPlan, ITEMS_MAX};
use crate::{
    SchemeError,
    json::{self, Found, Kind, Pointer},
    scheme::ItemsRule,
    values::Values,
};

/// The most places of arrays.
const PLACES_MAX: usize = 8;

/// How the events of a batch are found and recognised.
#[derive(Debug, Clone)]
pub(super) struct ItemsPlan {
    /// Each place as the pointers between its `*`.
    at: Vec<Vec<Pointer>>,
    /// How one is recognised.
    pub(super) event: EventPlan,
}

impl ItemsPlan {
    /// Reads the pointers, references and templates.
    pub(super) fn compile(rule: &ItemsRule) -> Result<Self, SchemeError> {
        if rule.at.0.is_empty() || rule.at.0.len() > PLACES_MAX {
            return Err(SchemeError::new(
                "items.at",
                "must be one to eight pointers",
            ));
        }
        let places = rule.at.0.iter().map(|text| Pointer::parse(text));
        let places: Option<Vec<_>> = places.map(|at| Some(at?.levels())).collect();
        Ok(Self {
            at: places.ok_or_else(|| SchemeError::new("items.at", "is no JSON pointer"))?,
            event: EventPlan::compile("items.", &rule.event_id, &rule.event_type, &rule.id)?,
        })
    }

    /// The items' texts in their order; one more than the most that are taken when there are more.
    pub(super) fn texts(&self, values: &Values<'_>) -> Vec<String> {
        let places: Vec<&[Pointer]> = self.at.iter().map(Vec::as_slice).collect();
        let texts = values.json_texts().unwrap_or_default();
        let mut items = Vec::new();
        for text in texts {
            if let Some(found) = json::whole(text) {
                collect(found, &places, values, &mut items);
            }
        }
        items.into_iter().map(|item| item.raw.to_owned()).collect()
    }
}

/// Adds what is in the arrays at the places within a value. The places have at most sixteen levels.
fn collect<'t>(
    value: Found<'t>,
    places: &[&[Pointer]],
    values: &Values<'_>,
    items: &mut Vec<Found<'t>>,
) {
    let start = items.len();
    for (number, place) in places.iter().enumerate() {
        let Some((head, _)) = place.split_first() else {
            continue;
        };
        let begins = |place: &&[Pointer]| place.first() == Some(head);
        if places[..number].iter().any(begins) {
            continue;
        }
        let found = json::find(value.raw, head);
        values.note(found.as_ref());
        let within: Vec<&[Pointer]> = places
            .iter()
            .filter(|place| begins(place))
            .filter_map(|place| place.get(1..))
            .collect();
        let is_first = items.len() == start;
        let elements = found
            .into_iter()
            .flat_map(|found| elements(found, is_first));
        for element in elements {
            let before = items.len();
            collect(element, &within, values, items);
            if items.len() == before {
                items.push(element);
            }
            if items.len() > ITEMS_MAX {
                return items.truncate(ITEMS_MAX + 1);
            }
        }
    }
}

/// The elements of an array. An object in its place is the one element, when nothing was found before.
fn elements(found: Found<'_>, is_first: bool) -> impl Iterator<Item = Found<'_>> {
    let alone = (is_first && found.kind == Kind::Object).then_some(found);
    found.elements().chain(alone)
}
