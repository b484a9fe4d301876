//! Which event a request is: the provider's id and type, brought into a form that can be stored.
//!
//! Only a verified request may claim anything. What is missing stays missing.

pub(crate) use self::fit::fit_id;
use self::{claims::ClaimPlan, fit::type_name, items::ItemsPlan};
use crate::{
    Claim, Scheme, SchemeError,
    reference::Reference,
    scheme::{IdRule, Many},
    template::Template,
    values::Values,
};

mod claims;
mod fit;
mod items;

/// The most items of a batch that are looked at.
const ITEMS_MAX: usize = 1000;
/// The most alternatives for an id, a type or a claim.
const ALTERNATIVES_MAX: usize = 8;
/// The type of a batch with items.
const BATCH: &str = "batch";

/// Which event a request is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// The provider's id, for people: 1 to 256 printable ASCII characters. Ids of another form are replaced by their
    /// SHA-256 in hex. Whether it is that of this event alone is the scheme's to know: what can be relied on is `claim`.
    pub event_id: Option<String>,
    /// The type in Posthorn's grammar, below the provider's name: `stripe.charge.succeeded`. That of a batch with items
    /// is `batch`: `sendgrid.batch`.
    pub event_type: String,
    /// What no other event of the source has. None: a repeat cannot be told from a new event, so there are no repeats.
    pub claim: Option<Claim>,
    /// Whether a member that was looked at was in its JSON object several times.
    pub duplicate_keys: bool,
    /// The events of a batch; empty when the scheme has none. At most 1,000.
    pub items: Vec<Item>,
    /// Whether the batch has more events than `items` holds, so that it has to be kept as a whole.
    pub more_items: bool,
}

/// One event of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// As in [`Identity`].
    pub event_id: Option<String>,
    /// As in [`Identity`].
    pub event_type: String,
    /// As in [`Identity`]. An item without a claim of its own has that of its place in a batch that has one.
    pub claim: Option<Claim>,
    /// The item's JSON text, byte by byte as it is in the body (or in the form's field, or in the unpacked body).
    pub json: String,
}

/// How events are recognised.
#[derive(Debug, Clone)]
pub(crate) struct IdentityPlan {
    provider: String,
    whole: EventPlan,
    /// Where the signed time is, when the body is signed with it.
    times: Vec<Reference>,
    items: Option<ItemsPlan>,
}

/// How one event is recognised.
#[derive(Debug, Clone)]
struct EventPlan {
    ids: Vec<Template>,
    types: Vec<Template>,
    claims: ClaimPlan,
}

impl IdentityPlan {
    /// Reads the references and templates.
    pub(crate) fn compile(
        provider: &str,
        scheme: &Scheme,
        times: Vec<Reference>,
    ) -> Result<Self, SchemeError> {
        let (id, kind) = (&scheme.event_id, &scheme.event_type);
        Ok(Self {
            provider: type_name("", provider),
            whole: EventPlan::compile("", id, kind, &scheme.id)?,
            times,
            items: scheme.items.as_ref().map(ItemsPlan::compile).transpose()?,
        })
    }

    /// All references to the request.
    pub(crate) fn references(&self) -> impl Iterator<Item = &Reference> {
        self.whole.references()
    }

    /// Recognises a request.
    pub(crate) fn identify(&self, values: &mut Values<'_>) -> Identity {
        let event_id = self.whole.id(values);
        let kind = self.whole.kind(values);
        let claim = self.whole.claims.claim(event_id.as_deref(), &kind, values);
        let claim = claim.or_else(|| self.claim_of_time(&kind, values));
        let mut items = self.items(claim, values);
        let more_items = items.len() > ITEMS_MAX;
        items.truncate(ITEMS_MAX);
        Identity {
            event_id,
            event_type: if items.is_empty() {
                self.type_below(&kind)
            } else {
                self.type_below(BATCH)
            },
            claim,
            duplicate_keys: values.saw_duplicates(),
            items,
            more_items,
        }
    }

    /// A type's text in Posthorn's grammar, below the provider's name.
    pub(crate) fn type_below(&self, text: &str) -> String {
        type_name(&self.provider, text)
    }

    fn claim_of_time(&self, kind: &str, values: &Values<'_>) -> Option<Claim> {
        let texts = self.times.iter().filter_map(|at| values.text(at).ok()?);
        let time = texts.into_iter().find(|time| !time.trim().is_empty())?;
        Some(Claim::of_time(&time, kind, values.request().body))
    }

    fn items(&self, batch: Option<Claim>, values: &mut Values<'_>) -> Vec<Item> {
        let Some(plan) = &self.items else {
            return Vec::new();
        };
        let texts = plan.texts(values);
        let mut items = Vec::with_capacity(texts.len());
        for (place, json) in texts.into_iter().enumerate() {
            values.item = Some(json);
            let event_id = plan.event.id(values);
            let kind = plan.event.kind(values);
            let claim = plan.event.claims.claim(event_id.as_deref(), &kind, values);
            items.push(Item {
                claim: claim.or_else(|| Some(Claim::of_place(&batch?, place))),
                event_id,
                event_type: self.type_below(&kind),
                json: values.item.take().unwrap_or_default(),
            });
        }
        items
    }
}

impl EventPlan {
    fn compile(
        below: &str,
        event_id: &Many,
        event_type: &Many,
        rule: &IdRule,
    ) -> Result<Self, SchemeError> {
        let ids = templates(&format!("{below}event_id"), event_id)?;
        Ok(Self {
            types: templates(&format!("{below}event_type"), event_type)?,
            claims: ClaimPlan::compile(&format!("{below}id.claim"), rule, &ids)?,
            ids,
        })
    }

    fn references(&self) -> impl Iterator<Item = &Reference> {
        let templates = self.ids.iter().chain(&self.types);
        templates
            .chain(self.claims.templates())
            .flat_map(Template::references)
    }

    fn id(&self, values: &Values<'_>) -> Option<String> {
        first(&self.ids, values).map(fit_id)
    }

    fn kind(&self, values: &Values<'_>) -> String {
        first(&self.types, values).unwrap_or_default()
    }
}

fn templates(field: &str, many: &Many) -> Result<Vec<Template>, SchemeError> {
    if many.0.len() > ALTERNATIVES_MAX {
        return Err(SchemeError::new(
            field,
            "must not have more than eight alternatives",
        ));
    }
    many.0
        .iter()
        .map(|text| Template::parse_lenient(text).map_err(|what| SchemeError::new(field, what)))
        .collect()
}

/// Which event something is that came another way than by a request, from the id and the type as the provider has
/// them; an empty id is none. The id is taken for that of the event alone.
pub fn identity(provider: &str, id: &str, event_type: &str) -> Identity {
    let event_id = (!id.trim().is_empty()).then(|| fit_id(id.to_owned()));
    Identity {
        claim: event_id.as_deref().map(Claim::of_id),
        event_id,
        event_type: type_name(&type_name("", provider), event_type),
        ..Identity::default()
    }
}

/// The first template that is whole, without an empty value.
fn first(templates: &[Template], values: &Values<'_>) -> Option<String> {
    templates
        .iter()
        .filter_map(|template| template.present_text(values).ok())
        .find(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_polled_is_identified_as_what_is_posted() {
        let polled = identity("stripe", "evt_1", "Charge.Succeeded");
        assert_eq!(polled.event_id.as_deref(), Some("evt_1"));
        assert_eq!(polled.event_type, "stripe.charge.succeeded");
        assert_eq!(polled.claim, Some(Claim::of_id("evt_1")));
        for empty in ["", " "] {
            let nameless = identity("stripe", empty, "");
            assert_eq!((nameless.event_id, nameless.claim), (None, None));
        }
    }
}
