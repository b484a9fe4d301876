//! Reading records: what a record is `like`, then its own fields over it.

use serde_json::{Map, Value};

use super::{Kind, Scheme, SchemeError};

/// How many records may be stacked by `like`.
const LIKE_MAX: usize = 4;

/// Resolves `like` and reads the fields.
pub(crate) fn from_record<'a>(
    mut record: Map<String, Value>,
    find: impl Fn(&str) -> Option<&'a Map<String, Value>>,
) -> Result<Scheme, SchemeError> {
    for _ in 0..LIKE_MAX {
        let Some(like) = record.remove("like") else {
            break;
        };
        let base = like.as_str().and_then(&find);
        let base = base.ok_or_else(|| SchemeError::new("like", "is not a known provider"))?;
        let mut merged = base.clone();
        merge(&mut merged, record);
        record = merged;
    }
    if record.contains_key("like") {
        return Err(SchemeError::new(
            "like",
            "too many records on top of each other",
        ));
    }
    if !record.contains_key("kind") {
        return Err(SchemeError::new("kind", "must be given"));
    }
    let scheme: Scheme = serde_json::from_value(Value::Object(record))
        .map_err(|error| SchemeError::new("", error.to_string()))?;
    if (scheme.kind == Kind::Special) == scheme.special.is_empty() {
        return Err(SchemeError::new("special", "goes with the kind `special`"));
    }
    Ok(scheme)
}

fn merge(base: &mut Map<String, Value>, over: Map<String, Value>) {
    for (name, value) in over {
        match (base.get_mut(&name), value) {
            (Some(Value::Object(old)), Value::Object(new)) => merge(old, new),
            (_, value) => {
                base.insert(name, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(text: &str) -> Map<String, Value> {
        serde_json::from_str(text).expect("a JSON object")
    }

    #[test]
    fn a_record_takes_what_it_does_not_say_from_the_one_it_is_like() {
        let base = record(r#"{"kind":"hmac","alg":"sha1","sig":{"at":"header:a","prefix":"x="}}"#);
        let own = record(r#"{"like":"base","alg":"sha256","sig":{"at":["header:b"]}}"#);
        let scheme = from_record(own, |name| (name == "base").then_some(&base)).expect("a scheme");
        assert_eq!(scheme.kind, Kind::Hmac);
        assert_eq!(scheme.alg, Some(crate::scheme::Algorithm::Sha256));
        assert_eq!(scheme.sig.at.0, ["header:b"]);
        assert_eq!(scheme.sig.prefix, "x=");
    }

    #[test]
    fn records_that_are_none_are_refused_with_the_field() {
        for (text, field) in [
            (r#"{"like":"nobody"}"#, "like"),
            (r#"{"like":7}"#, "like"),
            ("{}", "kind"),
            (r#"{"kind":"special"}"#, "special"),
            (r#"{"kind":"hmac","special":"sns"}"#, "special"),
            (r#"{"kind":"magic"}"#, ""),
            (r#"{"kind":"hmac","colour":"red"}"#, ""),
            (r#"{"kind":"hmac","alg":"none"}"#, ""),
        ] {
            let error = from_record(record(text), |_| None).expect_err(text);
            assert_eq!(error.field, field, "{text}");
        }
        let base = record(r#"{"like":"base"}"#);
        let own = record(r#"{"like":"base"}"#);
        assert!(from_record(own, |_| Some(&base)).is_err());
    }
}
