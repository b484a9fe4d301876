//! Which event a request is: the provider's id and type, brought into a form that can be stored.
//!
//! Only a verified request may claim an id. What is missing stays missing: the caller then uses a digest of the body.

use crate::{
    SchemeError, digest,
    json::Pointer,
    reference::Reference,
    scheme::{ItemsRule, Many},
    template::Template,
    values::Values,
};

/// The longest id that is kept as it is, in characters.
const ID_CHARS_MAX: usize = 256;
/// The longest event type, in characters.
const TYPE_CHARS_MAX: usize = 128;
/// The most items of a batch that are looked at.
const ITEMS_MAX: usize = 1000;
/// The most alternatives for an id or a type.
const ALTERNATIVES_MAX: usize = 8;

/// Which event a request is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// The provider's id: 1 to 256 printable ASCII characters. Ids of another form are replaced by their SHA-256 in hex.
    pub event_id: Option<String>,
    /// The type in Posthorn's grammar, below the provider's name: `stripe.charge.succeeded`.
    pub event_type: String,
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
    /// The item's JSON text as it is in the body.
    pub json: String,
}

/// How events are recognised.
#[derive(Debug, Clone)]
pub(crate) struct IdentityPlan {
    provider: String,
    ids: Vec<Template>,
    types: Vec<Template>,
    items: Option<ItemsPlan>,
}

#[derive(Debug, Clone)]
struct ItemsPlan {
    at: Pointer,
    ids: Vec<Template>,
    types: Vec<Template>,
}

impl IdentityPlan {
    /// Reads the references and templates.
    pub(crate) fn compile(
        provider: &str,
        event_id: &Many,
        event_type: &Many,
        items: Option<&ItemsRule>,
    ) -> Result<Self, SchemeError> {
        let items = items
            .map(|rule| {
                let at = Pointer::parse(&rule.at)
                    .ok_or_else(|| SchemeError::new("items.at", "is no JSON pointer"))?;
                Ok(ItemsPlan {
                    at,
                    ids: templates("items.event_id", &rule.event_id)?,
                    types: templates("items.event_type", &rule.event_type)?,
                })
            })
            .transpose()?;
        Ok(Self {
            provider: type_name("", provider),
            ids: templates("event_id", event_id)?,
            types: templates("event_type", event_type)?,
            items,
        })
    }

    /// All references.
    pub(crate) fn references(&self) -> impl Iterator<Item = &Reference> {
        self.ids
            .iter()
            .chain(&self.types)
            .flat_map(Template::references)
    }

    /// Recognises a request.
    pub(crate) fn identify(&self, values: &mut Values<'_>) -> Identity {
        let mut items = self
            .items
            .as_ref()
            .map_or_else(Vec::new, |plan| self.items(plan, values));
        let more_items = items.len() > ITEMS_MAX;
        items.truncate(ITEMS_MAX);
        Identity {
            event_id: first(&self.ids, values).map(fit_id),
            event_type: self.type_of(&self.types, values),
            duplicate_keys: values.saw_duplicates(),
            items,
            more_items,
        }
    }

    /// A type's text in Posthorn's grammar, below the provider's name.
    pub(crate) fn type_below(&self, text: &str) -> String {
        type_name(&self.provider, text)
    }

    fn items(&self, plan: &ItemsPlan, values: &mut Values<'_>) -> Vec<Item> {
        let texts: Vec<String> = match values.found(&plan.at) {
            Ok(Some(array)) => array
                .elements()
                .take(ITEMS_MAX + 1)
                .map(|item| item.raw.to_owned())
                .collect(),
            _ => Vec::new(),
        };
        let mut items = Vec::with_capacity(texts.len());
        for json in texts {
            values.item = Some(json.clone());
            items.push(Item {
                event_id: first(&plan.ids, values).map(fit_id),
                event_type: self.type_of(&plan.types, values),
                json,
            });
        }
        values.item = None;
        items
    }

    fn type_of(&self, templates: &[Template], values: &Values<'_>) -> String {
        let text = first(templates, values).unwrap_or_default();
        type_name(&self.provider, &text)
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
/// them; an empty id is none.
pub fn identity(provider: &str, id: &str, event_type: &str) -> Identity {
    Identity {
        event_id: (!id.is_empty()).then(|| fit_id(id.to_owned())),
        event_type: type_name(&type_name("", provider), event_type),
        ..Identity::default()
    }
}

/// The first template that is whole and not empty.
fn first(templates: &[Template], values: &Values<'_>) -> Option<String> {
    templates
        .iter()
        .filter_map(|template| template.text(values).ok())
        .find(|text| !text.is_empty())
}

/// An id that can be stored.
pub(crate) fn fit_id(id: String) -> String {
    let printable = id.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if printable && id.len() <= ID_CHARS_MAX {
        id
    } else {
        hex::encode(digest::sha256(id.as_bytes()))
    }
}

/// A type in lower case, of labels of letters, digits, `_` and `-` joined by single dots; `event` when nothing is left.
fn type_name(provider: &str, text: &str) -> String {
    let mut name = provider.to_owned();
    for label in text.split('.') {
        let label: String = label
            .chars()
            .take(TYPE_CHARS_MAX)
            .map(|character| match character {
                'A'..='Z' | 'a'..='z' | '0'..='9' | '_' | '-' => character.to_ascii_lowercase(),
                _ => '_',
            })
            .collect();
        if label.is_empty() || name.len() + 1 + label.len() > TYPE_CHARS_MAX {
            continue;
        }
        if !name.is_empty() {
            name.push('.');
        }
        name.push_str(&label);
    }
    if name == provider {
        name.push_str(if provider.is_empty() {
            "event"
        } else {
            ".event"
        });
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_fit_the_grammar() {
        let long = "x".repeat(200);
        for (text, expected) in [
            ("charge.succeeded", "p.charge.succeeded"),
            ("PAYMENT_COMPLETED", "p.payment_completed"),
            ("orders/create", "p.orders_create"),
            ("a..b.", "p.a.b"),
            ("", "p.event"),
            ("...", "p.event"),
            ("a b\u{e9}\0", "p.a_b__"),
            (&long, "p.event"),
        ] {
            assert_eq!(type_name("p", text), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_polled_is_identified_as_what_is_posted() {
        let polled = identity("stripe", "evt_1", "Charge.Succeeded");
        assert_eq!(polled.event_id.as_deref(), Some("evt_1"));
        assert_eq!(polled.event_type, "stripe.charge.succeeded");
        assert_eq!(identity("stripe", "", "").event_id, None);
    }

    #[test]
    fn ids_fit_the_store() {
        assert_eq!(fit_id("evt_1".into()), "evt_1");
        assert_eq!(fit_id("x".repeat(256)).len(), 256);
        for id in ["x".repeat(257), "a\0".into(), "\u{e9}".into(), "a\n".into()] {
            assert_eq!(
                fit_id(id.clone()),
                hex::encode(digest::sha256(id.as_bytes()))
            );
        }
    }
}
