//! Between the contract's values and the model's: what the services share.
//!
//! Everything that comes from outside is checked here or in the file of its noun, and is a model value from then on.

mod header;
mod json;
mod mask;
mod retry;
mod text;
mod time;
mod words;

pub(super) use header::{field_name, header_name, is_header_value, looks_secret};
pub(super) use json::{json_object, json_object_proto, json_value};
pub(super) use mask::{Field, check_mask, fields};
pub(super) use retry::{retry_policy, retry_policy_proto};
pub(super) use text::{long_text, printable, visible_name};
pub(super) use time::{
    duration_ms, duration_proto, duration_within, instant_ms, micros_proto, overlap_ms, timestamp,
};
pub(super) use words::{any_or, one_of};

use crate::error::{Error, Violation};

/// How many violations one answer names: they travel in a header, which clients limit.
const VIOLATIONS_MAX: usize = 10;

/// Collects what is wrong with a request, so that the caller learns of everything at once.
#[derive(Debug, Default)]
pub(super) struct Violations(Vec<Violation>);

impl Violations {
    /// Takes the value, or notes why there is none. An error that is not about fields ends the matter.
    pub(super) fn take<T>(&mut self, result: Result<T, Error>) -> Result<Option<T>, Error> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(Error::Invalid(violations)) => {
                self.0.extend(violations);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Notes one violation.
    pub(super) fn add(&mut self, field: impl Into<String>, description: impl Into<String>) {
        self.0.push(Violation {
            field: field.into(),
            description: description.into(),
        });
    }

    /// Fails if anything was noted.
    pub(super) fn finish(mut self) -> Result<(), Error> {
        if self.0.is_empty() {
            return Ok(());
        }
        self.0.truncate(VIOLATIONS_MAX);
        Err(Error::Invalid(self.0))
    }
}

/// Reads an id in a request's field.
pub(super) fn id<T>(field: &str, text: &str) -> Result<T, Error>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    text.parse()
        .map_err(|error| Error::invalid(field, format!("{error}")))
}

/// The etag of a version.
pub(super) fn etag(version: i64) -> String {
    format!("{version:x}")
}

/// Compares a request's etag with the current version.
pub(super) fn check_etag(text: &str, version: i64) -> Result<(), Error> {
    match text {
        "" => Err(Error::invalid(
            "etag",
            "is required: the `etag` of the object as it was read",
        )),
        _ if text == etag(version) => Ok(()),
        _ => Err(Error::StaleEtag),
    }
}

#[cfg(test)]
pub(super) use mask::{described, names};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_violation_is_named_up_to_a_limit() {
        let mut violations = Violations::default();
        for index in 0..20 {
            let taken = violations.take::<()>(Err(Error::invalid(format!("f[{index}]"), "no")));
            assert!(matches!(taken, Ok(None)));
        }
        let Err(Error::Invalid(named)) = violations.finish() else {
            panic!("nothing was named");
        };
        assert_eq!(named.len(), VIOLATIONS_MAX);
        assert!(Violations::default().finish().is_ok());
    }

    #[test]
    fn an_etag_is_required_and_current() {
        assert!(check_etag(&etag(17), 17).is_ok());
        assert!(matches!(check_etag("", 17), Err(Error::Invalid(_))));
        for text in ["17", "12", "0x11", "x"] {
            assert!(
                matches!(check_etag(text, 17), Err(Error::StaleEtag)),
                "{text}"
            );
        }
    }
}
