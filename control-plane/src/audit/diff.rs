//! What differs between two states of an object, field by field, as its message shows it.

use std::sync::LazyLock;

use posthorn::v1::FILE_DESCRIPTOR_SET;
use prost::{Message, Name};
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use serde_json::{Map, Value};

use super::{CHANGES_MAX, VALUE_CHARS_MAX};
use crate::model::audit::FieldChange;

/// Fields that change with every other one.
const SILENT: [&str; 2] = ["etag", "updated_at"];

/// The contract. A test sees that it can be read.
static POOL: LazyLock<Option<DescriptorPool>> =
    LazyLock::new(|| DescriptorPool::decode(FILE_DESCRIPTOR_SET).ok());

/// The fields that differ. A field of a message is named by its path; lists are compared as a whole.
pub(super) fn changes<M: Message + Name>(
    before: Option<&M>,
    after: Option<&M>,
) -> Vec<FieldChange> {
    let [before, after] = [before, after].map(|state| state.map(fields).unwrap_or_default());
    let mut changes = Vec::new();
    compare("", &before, &after, &mut changes);
    changes
}

/// A message as JSON, with the names of the contract and without what is not set.
fn fields<M: Message + Name>(message: &M) -> Map<String, Value> {
    let shape = POOL
        .as_ref()
        .and_then(|pool| pool.get_message_by_name(&M::full_name()));
    let bytes = message.encode_to_vec();
    let message = shape.and_then(|shape| DynamicMessage::decode(shape, bytes.as_slice()).ok());
    let options = SerializeOptions::new().use_proto_field_name(true);
    let value = message
        .map(|message| message.serialize_with_options(serde_json::value::Serializer, &options));
    match value {
        Some(Ok(Value::Object(mut fields))) => {
            for name in SILENT {
                fields.remove(name);
            }
            fields
        }
        _ => Map::new(),
    }
}

fn compare(
    within: &str,
    before: &Map<String, Value>,
    after: &Map<String, Value>,
    changes: &mut Vec<FieldChange>,
) {
    let added = after.keys().filter(|name| !before.contains_key(*name));
    for name in before.keys().chain(added) {
        if changes.len() == CHANGES_MAX {
            return;
        }
        let path = match within {
            "" => name.clone(),
            _ => format!("{within}.{name}"),
        };
        match (before.get(name), after.get(name)) {
            (old, new) if old == new => (),
            (Some(Value::Object(old)), Some(Value::Object(new))) => {
                compare(&path, old, new, changes);
            }
            (Some(Value::Object(old)), None) => compare(&path, old, &Map::new(), changes),
            (None, Some(Value::Object(new))) => compare(&path, &Map::new(), new, changes),
            (old, new) => changes.push(FieldChange {
                field: path,
                old: old.map(text),
                new: new.map(text),
            }),
        }
    }
}

/// A value for people: text as it is, everything else as JSON.
fn text(value: &Value) -> String {
    let whole = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match whole.char_indices().nth(VALUE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &whole[..end]),
        None => whole,
    }
}
