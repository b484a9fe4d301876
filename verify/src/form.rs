//! Forms: `application/x-www-form-urlencoded` bodies and query strings, and `multipart/form-data`.

pub(crate) mod multipart;

use percent_encoding::percent_decode;
use url::form_urlencoded;

use crate::Refusal;

/// The most fields of a form or query.
pub(crate) const FIELDS_MAX: usize = 1000;

/// The fields of a form in the order received: names and values decoded, repeats and empty ones kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Form(Vec<(String, String)>);

impl Form {
    /// Reads a body or query.
    ///
    /// # Errors
    /// `MalformedBody` when there are more than [`FIELDS_MAX`] fields, or a name or value is no UTF-8.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        let separators = bytes.iter().filter(|&&byte| byte == b'&').take(FIELDS_MAX);
        if separators.count() >= FIELDS_MAX {
            return Err(Refusal::MalformedBody);
        }
        // The parser puts U+FFFD for what is no UTF-8, which must not be mistaken for the sender's own.
        if bytes.contains(&0) || !decodes_to_utf8(bytes) {
            return Err(Refusal::MalformedBody);
        }
        Ok(Self(form_urlencoded::parse(bytes).into_owned().collect()))
    }

    /// The one value of a field. Repeats with the same value count as one.
    ///
    /// # Errors
    /// `AmbiguousValue` when the values differ.
    pub(crate) fn one(&self, name: &str) -> Result<Option<&str>, Refusal> {
        let mut values = self.0.iter().filter(|(known, _)| known == name);
        let Some((_, first)) = values.next() else {
            return Ok(None);
        };
        if values.any(|(_, other)| other != first) {
            return Err(Refusal::AmbiguousValue);
        }
        Ok(Some(first))
    }

    /// All fields.
    pub(crate) fn fields(&self) -> &[(String, String)] {
        &self.0
    }

    /// Names and values strung together, sorted bytewise by name and then by value.
    pub(crate) fn sorted_text(&self) -> String {
        let mut fields: Vec<_> = self.0.iter().collect();
        fields.sort_unstable();
        fields
            .into_iter()
            .flat_map(|(name, value)| [name.as_str(), value.as_str()])
            .collect()
    }
}

fn decodes_to_utf8(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok() && {
        // Valid UTF-8 stays valid or not however fields are cut at ASCII bytes.
        percent_decode(bytes).decode_utf8().is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_their_order_repeats_and_blanks() {
        let form = Form::parse(b"b=1&a=x+y%26&b=1&c=&d").expect("a form");
        let fields: Vec<_> = form
            .fields()
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_str()))
            .collect();
        assert_eq!(
            fields,
            [("b", "1"), ("a", "x y&"), ("b", "1"), ("c", ""), ("d", "")]
        );
        assert_eq!(form.one("b"), Ok(Some("1")));
        assert_eq!(form.one("e"), Ok(None));
        assert_eq!(form.sorted_text(), "ax y&b1b1cd");
    }

    #[test]
    fn a_field_with_two_values_is_ambiguous() {
        let form = Form::parse(b"a=1&a=2").expect("a form");
        assert_eq!(form.one("a"), Err(Refusal::AmbiguousValue));
    }

    #[test]
    fn forms_that_are_too_wide_or_no_text_are_refused() {
        let wide = |fields: usize| vec!["a=b"; fields].join("&").into_bytes();
        assert!(Form::parse(&wide(1000)).is_ok());
        for bad in [
            wide(1001),
            wide(10_000),
            b"a=%ff".to_vec(),
            b"a=\xff".to_vec(),
            b"a=%c3&b=%a9".to_vec(),
            b"a\0=1".to_vec(),
        ] {
            assert_eq!(Form::parse(&bad), Err(Refusal::MalformedBody));
        }
        assert_eq!(
            Form::parse(b"a=%zz%"),
            Ok(Form(vec![("a".into(), "%zz%".into())]))
        );
    }
}
