//! JSON that comes as `google.protobuf.Value` or `Struct`.

use prost_types::{Struct, Value, value::Kind};

use crate::{error::Error, model::event::JSON_DEPTH_MAX};

/// Reads a value that nests at most 64 deep. `field` is what an error names.
pub(crate) fn json_value(field: &str, value: &Value) -> Result<serde_json::Value, Error> {
    at_depth(field, value, 0)
}

/// Reads an object, likewise.
pub(crate) fn json_object(
    field: &str,
    object: &Struct,
) -> Result<serde_json::Map<String, serde_json::Value>, Error> {
    members(field, object, 0)
}

/// Writes an object. What is none becomes an empty one.
pub(crate) fn json_object_proto(value: &serde_json::Value) -> Struct {
    let members = value.as_object().into_iter().flatten();
    let fields = members.map(|(name, member)| (name.clone(), proto(member)));
    Struct {
        fields: fields.collect(),
    }
}

fn at_depth(field: &str, value: &Value, depth: usize) -> Result<serde_json::Value, Error> {
    if depth > JSON_DEPTH_MAX {
        return Err(Error::invalid(
            field,
            format!("must nest at most {JSON_DEPTH_MAX} deep"),
        ));
    }
    Ok(match &value.kind {
        None => return Err(Error::invalid(field, "must hold a JSON value")),
        Some(Kind::NullValue(_)) => serde_json::Value::Null,
        Some(Kind::BoolValue(value)) => (*value).into(),
        Some(Kind::StringValue(value)) => value.as_str().into(),
        Some(Kind::NumberValue(value)) => number(field, *value)?,
        Some(Kind::ListValue(list)) => list
            .values
            .iter()
            .map(|item| at_depth(field, item, depth + 1))
            .collect::<Result<Vec<_>, _>>()?
            .into(),
        Some(Kind::StructValue(object)) => members(field, object, depth)?.into(),
    })
}

fn members(
    field: &str,
    object: &Struct,
    depth: usize,
) -> Result<serde_json::Map<String, serde_json::Value>, Error> {
    let members = object.fields.iter();
    members
        .map(|(name, member)| Ok((name.clone(), at_depth(field, member, depth + 1)?)))
        .collect()
}

/// Writes a whole number that a double holds exactly without a fraction.
fn number(field: &str, value: f64) -> Result<serde_json::Value, Error> {
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() <= EXACT_MAX {
        #[expect(clippy::cast_possible_truncation, reason = "whole and within 2^53")]
        return Ok((value as i64).into());
    }
    let number = serde_json::Number::from_f64(value);
    number
        .map(Into::into)
        .ok_or_else(|| Error::invalid(field, "must not hold a number that is not finite"))
}

fn proto(value: &serde_json::Value) -> Value {
    let kind = match value {
        serde_json::Value::Null => Kind::NullValue(0),
        serde_json::Value::Bool(value) => Kind::BoolValue(*value),
        serde_json::Value::Number(value) => Kind::NumberValue(value.as_f64().unwrap_or_default()),
        serde_json::Value::String(value) => Kind::StringValue(value.clone()),
        serde_json::Value::Array(items) => Kind::ListValue(prost_types::ListValue {
            values: items.iter().map(proto).collect(),
        }),
        serde_json::Value::Object(_) => Kind::StructValue(json_object_proto(value)),
    };
    Value { kind: Some(kind) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_survives_the_way_there_and_back() {
        let value = serde_json::json!({
            "a": [1, 2.5, null, true, "x", {}], "b": {"c": {"d": []}}
        });
        let read = json_object("scheme", &json_object_proto(&value)).unwrap();
        assert_eq!(serde_json::Value::Object(read), value);
    }
}
