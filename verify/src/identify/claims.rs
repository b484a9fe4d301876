//! What an event claims by its own values, as the record says.

use super::templates;
use crate::{
    Claim, SchemeError, reference::Reference, scheme::IdRule, template::Template, values::Values,
};

/// What can be claimed.
#[derive(Debug, Clone)]
pub(super) struct ClaimPlan {
    /// Values that are unique together, the first that are all there count.
    values: Vec<Template>,
    /// Whether the id alone is unique.
    by_id: bool,
}

impl ClaimPlan {
    /// Reads a rule, and refuses one by which different events would claim the same.
    pub(super) fn compile(
        field: &str,
        rule: &IdRule,
        ids: &[Template],
    ) -> Result<Self, SchemeError> {
        let values = templates(field, &rule.claim)?;
        let of_webhook = rule.is_of_webhook();
        for value in &values {
            if !value.needed().any(tells_apart) {
                return Err(SchemeError::new(
                    field,
                    "holds nothing that tells events apart",
                ));
            }
            if !of_webhook && !holds_more(value, ids) {
                return Err(SchemeError::new(
                    field,
                    "must hold more than `event_id`, which is not that of a webhook",
                ));
            }
        }
        Ok(Self {
            by_id: of_webhook && values.is_empty(),
            values,
        })
    }

    /// The templates of a claim.
    pub(super) fn templates(&self) -> impl Iterator<Item = &Template> {
        self.values.iter()
    }

    /// The claim of an event with this id and type.
    pub(super) fn claim(
        &self,
        id: Option<&str>,
        event_type: &str,
        values: &Values<'_>,
    ) -> Option<Claim> {
        if self.by_id {
            return id.map(Claim::of_id);
        }
        let mut whole = self
            .values
            .iter()
            .filter_map(|value| value.present(values).ok());
        let pieces = whole.next()?;
        let values = pieces.iter().map(|piece| piece.bytes(&[]));
        Some(Claim::of_values(event_type, values))
    }
}

/// Whether a value must be there that is not in the id.
fn holds_more(value: &Template, ids: &[Template]) -> bool {
    let is_of_id = |reference: &Reference| {
        let mut held = ids.iter().flat_map(Template::references);
        held.any(|held| held == reference)
    };
    value
        .needed()
        .any(|reference| !is_constant(reference) && !is_of_id(reference))
}

/// Whether a value differs from event to event. That of the body alone does not: a sender can say the same twice.
fn tells_apart(reference: &Reference) -> bool {
    !is_constant(reference) && !reference.covers_body() && *reference != Reference::ItemSha256
}

fn is_constant(reference: &Reference) -> bool {
    matches!(
        reference,
        Reference::Literal(_)
            | Reference::Param(_)
            | Reference::Url
            | Reference::Method
            | Reference::Path
            | Reference::PathQuery
            | Reference::Secret
            | Reference::Role(_)
            | Reference::Digest
    )
}
