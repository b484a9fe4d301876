//! Templates: text with references, parts of which may be missing.

use std::borrow::Cow;

use self::filter::Filter;
use crate::{Refusal, Settings, reference::Reference, values::Values};

mod filter;
mod parse;

/// The longest template, in bytes.
const TEMPLATE_BYTES_MAX: usize = 2048;
/// The most references of a template.
const REFERENCES_MAX: usize = 64;

/// A template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Value(Reference, Filter),
    Optional(Vec<Part>),
}

/// A piece of a filled-in template.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// Bytes.
    Bytes(Cow<'a, [u8]>),
    /// The place of the secret that is tried.
    Secret,
}

impl<'a> Piece<'a> {
    /// The bytes, where the secret is this one.
    pub(crate) fn bytes(&'a self, secret: &'a [u8]) -> &'a [u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Secret => secret,
        }
    }
}

impl Template {
    /// Reads a template; the error says what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > TEMPLATE_BYTES_MAX {
            return Err("is longer than 2,048 bytes".to_owned());
        }
        let mut characters = text.chars().peekable();
        let parts = parse::parts(&mut characters, false)?;
        let template = Self(parts);
        if template.references().count() > REFERENCES_MAX {
            return Err("has more than 64 references".to_owned());
        }
        Ok(template)
    }

    /// Reads a reference or, when there are braces, a template.
    pub(crate) fn parse_lenient(text: &str) -> Result<Self, String> {
        if text.contains('{') {
            return Self::parse(text);
        }
        match Reference::parse(text) {
            Some(reference) => Ok(Self(vec![Part::Value(reference, Filter::None)])),
            None => Err(format!("`{text}` is neither a reference nor a template")),
        }
    }

    /// All references.
    pub(crate) fn references(&self) -> impl Iterator<Item = &Reference> {
        self.0.iter().flat_map(|part| match part {
            Part::Literal(_) => Vec::new(),
            Part::Value(reference, _) => vec![reference],
            Part::Optional(parts) => inner(parts).collect(),
        })
    }

    /// The references that must be there.
    pub(crate) fn needed(&self) -> impl Iterator<Item = &Reference> {
        inner(&self.0)
    }

    /// All references, as a list.
    pub(crate) fn references_of(&self) -> Vec<&Reference> {
        self.references().collect()
    }

    /// The references that must be there, as a list.
    pub(crate) fn needed_of(&self) -> Vec<&Reference> {
        self.needed().collect()
    }

    /// Whether it is a single value and nothing else.
    pub(crate) fn is_one_value(&self) -> bool {
        matches!(self.0.as_slice(), [Part::Value(..)])
    }

    /// The text with the settings in it, and `x` for what only a request can say. Optional parts are left out.
    pub(crate) fn example(&self, settings: &Settings) -> String {
        let text_of = |part: &Part| match part {
            Part::Literal(text) | Part::Value(Reference::Literal(text), _) => text.clone(),
            Part::Value(Reference::Param(name), _) => settings
                .get(name)
                .cloned()
                .unwrap_or_else(|| "x".to_owned()),
            Part::Value(..) => "x".to_owned(),
            Part::Optional(_) => String::new(),
        };
        self.0.iter().map(text_of).collect()
    }

    /// Whether whoever sends the request can put nothing but a word into it: every value of the request has a filter
    /// that lets no JSON object through.
    pub(crate) fn holds_words_only(&self) -> bool {
        let is_word = |part: &Part| match part {
            Part::Literal(_)
            | Part::Value(Reference::Secret | Reference::Url | Reference::Param(_), _) => true,
            Part::Value(_, filter) => {
                matches!(
                    filter,
                    Filter::Word | Filter::Id | Filter::Hex | Filter::Digits
                )
            }
            Part::Optional(_) => false,
        };
        self.0.iter().all(is_word)
    }

    /// Fills the template in.
    ///
    /// # Errors
    /// `MissingValue` when a reference outside of brackets is missing, and what the values say.
    pub(crate) fn pieces<'a>(&'a self, values: &'a Values<'_>) -> Result<Vec<Piece<'a>>, Refusal> {
        self.filled(values, piece)
    }

    /// Fills the template in, where an empty or blank value is a missing one: for what tells one thing from another.
    ///
    /// # Errors
    /// As [`Self::pieces`].
    pub(crate) fn present<'a>(&'a self, values: &'a Values<'_>) -> Result<Vec<Piece<'a>>, Refusal> {
        self.filled(values, present_piece)
    }

    fn filled<'a>(
        &'a self,
        values: &'a Values<'_>,
        piece: fn(&'a Part, &'a Values<'_>) -> Result<Piece<'a>, Refusal>,
    ) -> Result<Vec<Piece<'a>>, Refusal> {
        let mut pieces = Vec::with_capacity(self.0.len());
        for part in &self.0 {
            let Part::Optional(parts) = part else {
                pieces.push(piece(part, values)?);
                continue;
            };
            let optional: Result<Vec<_>, _> =
                parts.iter().map(|part| piece(part, values)).collect();
            match optional {
                Ok(optional) => pieces.extend(optional),
                Err(Refusal::MissingValue) => {}
                Err(refusal) => return Err(refusal),
            }
        }
        Ok(pieces)
    }

    /// Fills the template in, as text.
    ///
    /// # Errors
    /// As [`Self::pieces`], and `MalformedValue` when it is no UTF-8.
    pub(crate) fn text(&self, values: &Values<'_>) -> Result<String, Refusal> {
        text(&self.pieces(values)?)
    }

    /// Fills the template in as [`Self::present`] does, as text.
    ///
    /// # Errors
    /// As [`Self::present`], and `MalformedValue` when it is no UTF-8.
    pub(crate) fn present_text(&self, values: &Values<'_>) -> Result<String, Refusal> {
        text(&self.present(values)?)
    }
}

fn text(pieces: &[Piece<'_>]) -> Result<String, Refusal> {
    let bytes: Vec<u8> = pieces
        .iter()
        .flat_map(|piece| piece.bytes(&[]))
        .copied()
        .collect();
    String::from_utf8(bytes).map_err(|_| Refusal::MalformedValue)
}

fn inner(parts: &[Part]) -> impl Iterator<Item = &Reference> {
    parts.iter().filter_map(|part| match part {
        Part::Value(reference, _) => Some(reference),
        Part::Literal(_) | Part::Optional(_) => None,
    })
}

fn piece<'a>(part: &'a Part, values: &'a Values<'_>) -> Result<Piece<'a>, Refusal> {
    match part {
        Part::Literal(text) => Ok(Piece::Bytes(Cow::Borrowed(text.as_bytes()))),
        Part::Value(Reference::Secret, _) => Ok(Piece::Secret),
        Part::Value(reference, filter) => {
            let value = values.get(reference)?.ok_or(Refusal::MissingValue)?;
            filter.apply(value).map(Piece::Bytes)
        }
        Part::Optional(_) => Err(Refusal::MissingValue),
    }
}

fn present_piece<'a>(part: &'a Part, values: &'a Values<'_>) -> Result<Piece<'a>, Refusal> {
    let piece = piece(part, values)?;
    match (part, &piece) {
        (Part::Value(..), Piece::Bytes(bytes)) if bytes.trim_ascii().is_empty() => {
            Err(Refusal::MissingValue)
        }
        _ => Ok(piece),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Headers, Request, Settings, values::Names};

    fn fill(template: &str) -> Result<String, Refusal> {
        with_values(|values| Template::parse(template).expect(template).text(values))
    }

    fn with_values<T>(run: impl FnOnce(&Values<'_>) -> T) -> T {
        let pairs = [
            ("id", "a.b"),
            ("n", " 12 "),
            ("empty", ""),
            ("blank", " \t"),
        ];
        let headers: Headers = pairs.into_iter().collect();
        let request = Request {
            method: "POST",
            path_query: "/p?q=QuEry",
            url: "https://x.test/p",
            headers: &headers,
            body: br#"{"a":{"b":7}}"#,
        };
        let settings = Settings::new();
        let names = Names::default();
        run(&Values::new(&request, &settings, &names))
    }

    #[test]
    fn references_are_filled_in_and_missing_parts_left_out() {
        for (template, expected) in [
            ("plain", "plain"),
            ("{header:id}:{json:/a/b}", "a.b:7"),
            (
                "{query:q|lower}{query:q|upper}{header:n|trim}",
                "queryQUERY12",
            ),
            ("a[-{header:none}-]b[-{header:id}-]", "ab-a.b-"),
            (r"\{\[{method}\]\}\\", r"{[POST]}\"),
            (
                "{path} {path_query} {url}",
                "/p /p?q=QuEry https://x.test/p",
            ),
            ("{=x}", "x"),
            ("{body}", r#"{"a":{"b":7}}"#),
            ("", ""),
        ] {
            assert_eq!(fill(template).as_deref(), Ok(expected), "{template}");
        }
    }

    #[test]
    fn an_empty_value_is_missing_where_values_tell_things_apart() {
        for (template, expected) in [
            ("{header:id}.{header:empty}", Err(Refusal::MissingValue)),
            ("{header:blank}", Err(Refusal::MissingValue)),
            ("{header:id}[.{header:empty}]", Ok("a.b")),
            ("{header:n}", Ok(" 12 ")),
            ("=", Err(Refusal::MissingValue)),
        ] {
            let template = Template::parse_lenient(template).expect(template);
            with_values(|values| {
                assert_eq!(
                    template.present_text(values).as_deref(),
                    expected.as_deref()
                );
            });
        }
        assert_eq!(fill("{header:id}.{header:empty}").as_deref(), Ok("a.b."));
    }

    #[test]
    fn what_is_missing_or_malformed_is_refused() {
        for (template, refusal) in [
            ("{header:none}", Refusal::MissingValue),
            ("{header:id|token}", Refusal::MalformedValue),
            ("[{header:id|token}]", Refusal::MalformedValue),
            ("{body|word}", Refusal::MalformedValue),
            ("{path|id}", Refusal::MalformedValue),
            ("{path|hex}", Refusal::MalformedValue),
            ("{header:n|digits}", Refusal::MalformedValue),
            ("{json:/a}", Refusal::MissingValue),
        ] {
            assert_eq!(fill(template), Err(refusal), "{template}");
        }
    }

    #[test]
    fn templates_that_are_none_are_refused() {
        let long = "x".repeat(2049);
        let wide = "{body}".repeat(65);
        for bad in [
            "{",
            "}",
            "[",
            "]",
            "{body",
            "[a",
            "[[a]]",
            "{nope}",
            "{body|nope}",
            r"\x",
            r"\",
            &long,
            &wide,
        ] {
            assert!(Template::parse(bad).is_err(), "{bad}");
        }
        assert!(Template::parse_lenient("json:/id").is_ok());
        assert!(Template::parse_lenient("id").is_err());
    }
}
