//! Which media types the requests of a scheme have.
//!
//! Only the label is looked at; whether the body is what it says is found out when it is read.

use crate::{Scheme, SchemeError, reference::is_token, scheme::BodyForm};

/// The longest label, in bytes.
const LABEL_BYTES_MAX: usize = 256;
/// The most further media types of a scheme.
const FURTHER_MAX: usize = 16;
const FORM: &str = "application/x-www-form-urlencoded";
const MULTIPART: &str = "multipart/form-data";

/// The media types of a scheme.
#[derive(Debug, Clone)]
pub(super) struct ContentTypes {
    body: BodyForm,
    json_in_form: bool,
    multipart: bool,
    further: Vec<String>,
}

impl ContentTypes {
    /// The usual ones of the scheme's body, and those that it names.
    pub(super) fn compile(scheme: &Scheme) -> Result<Self, SchemeError> {
        let further = &scheme.content_types;
        let is_type = |text: &String| {
            let parts = text.split_once('/');
            text.len() <= LABEL_BYTES_MAX
                && parts.is_some_and(|(kind, name)| is_token(kind) && is_token(name))
        };
        if further.len() > FURTHER_MAX || !further.iter().all(is_type) {
            return Err(SchemeError::new(
                "content_types",
                "must be at most 16 media types without parameters",
            ));
        }
        Ok(Self {
            body: scheme.body,
            json_in_form: scheme.json_in_form.is_some(),
            multipart: scheme.multipart,
            further: further.clone(),
        })
    }

    /// Whether a label is one of them. What it says of JSON's encoding says nothing: JSON is UTF-8, which is found out when it is
    /// read.
    pub(super) fn take(&self, label: Option<&str>) -> bool {
        if self.body == BodyForm::Any && self.further.is_empty() {
            return true;
        }
        let Some(label) = label.filter(|label| label.len() <= LABEL_BYTES_MAX) else {
            return false;
        };
        let essence = label.split(';').next().unwrap_or_default().trim();
        let essence = essence.to_ascii_lowercase();
        let takes_json = matches!(
            self.body,
            BodyForm::Json | BodyForm::JsonOrForm | BodyForm::JsonLines
        );
        let takes_form =
            self.json_in_form || matches!(self.body, BodyForm::Form | BodyForm::JsonOrForm);
        (takes_json && is_json(&essence))
            || (takes_form && essence == FORM)
            || (self.multipart && essence == MULTIPART)
            || self
                .further
                .iter()
                .any(|further| further.eq_ignore_ascii_case(&essence))
    }
}

fn is_json(essence: &str) -> bool {
    let Some((kind, name)) = essence.split_once('/') else {
        return false;
    };
    is_token(kind)
        && is_token(name)
        && (matches!(essence, "application/json" | "text/json") || name.ends_with("+json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_follow_the_body() {
        let long = format!("application/json; a={}", "x".repeat(8192));
        for (label, by_json, by_either) in [
            (Some("application/json"), true, true),
            (Some("Application/JSON; charset=\"UTF-8\""), true, true),
            (Some("application/cloudevents+json"), true, true),
            (Some("text/json"), true, true),
            (Some("application/json; charset=ISO-8859-1"), true, true),
            (Some("application/json; charset=utf-16"), true, true),
            (Some("application/x-www-form-urlencoded"), false, true),
            (Some("text/html"), false, false),
            (Some("a b+json"), false, false),
            (Some(long.as_str()), false, false),
            (Some(""), false, false),
            (None, false, false),
        ] {
            for (body, taken) in [
                (BodyForm::Any, true),
                (BodyForm::Json, by_json),
                (BodyForm::JsonOrForm, by_either),
            ] {
                let scheme = Scheme {
                    body,
                    ..Scheme::default()
                };
                let types = ContentTypes::compile(&scheme).expect("a scheme");
                assert_eq!(types.take(label), taken, "{body:?} {label:?}");
            }
        }
    }
}
