//! Signatures as they are written in a request: where they are, how they are listed and encoded.

use std::borrow::Cow;

use crate::{
    Refusal, SchemeError,
    crypto::encoding::decode,
    reference::Reference,
    scheme::{Encoding, Many, Repeat, SignatureRule},
    template::Template,
    values::Values,
};

/// The longest value that signatures are looked for in, in bytes.
const VALUE_BYTES_MAX: usize = 8 * 1024;
/// The most entries of all values together.
const ENTRIES_MAX: usize = 16;
/// The most places that a scheme may name.
const PLACES_MAX: usize = 128;

/// A compiled [`SignatureRule`].
#[derive(Debug, Clone)]
pub(crate) struct SignaturePlan {
    places: Vec<Reference>,
    prefix: String,
    list: String,
    kv: String,
    pick: Template,
    enc: Encoding,
    /// Whether the n-th place belongs to the n-th secret alone.
    pub(crate) paired: bool,
    any: bool,
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// The entries that are signatures: the number of their place, and their text without the prefix.
    pub entries: Vec<(usize, String)>,
    /// The other entries of a list of keys and values.
    pub others: Vec<(String, String)>,
}

impl SignaturePlan {
    /// Checks a rule.
    pub(crate) fn compile(rule: &SignatureRule) -> Result<Self, SchemeError> {
        let Many(at) = &rule.at;
        if at.is_empty() || at.len() > PLACES_MAX {
            return Err(SchemeError::new("sig.at", "must name 1 to 128 places"));
        }
        let places = at
            .iter()
            .map(|text| Reference::parse(text).filter(is_place))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| {
                SchemeError::new(
                    "sig.at",
                    "must be header:, query:, form: or json: references",
                )
            })?;
        if rule.kv.is_empty() != rule.pick.is_empty() {
            return Err(SchemeError::new("sig.pick", "goes with sig.kv"));
        }
        let pick =
            Template::parse(&rule.pick).map_err(|what| SchemeError::new("sig.pick", what))?;
        if !pick
            .references()
            .all(|reference| matches!(reference, Reference::Param(_)))
        {
            return Err(SchemeError::new(
                "sig.pick",
                "must be fixed text or a setting, not what the request says",
            ));
        }
        Ok(Self {
            places,
            prefix: rule.prefix.clone(),
            list: rule.list.clone(),
            kv: rule.kv.clone(),
            pick,
            enc: rule.enc,
            paired: rule.paired,
            any: rule.repeat == Repeat::Any,
        })
    }

    /// The header names that are read and may not be repeated.
    pub(crate) fn references(&self) -> impl Iterator<Item = &Reference> {
        self.places.iter().filter(|_| !self.any)
    }

    /// Finds the entries.
    ///
    /// # Errors
    /// `MissingSignature` when there is none, `MalformedSignature` when there are too many or none is of the right form.
    pub(crate) fn read(&self, values: &Values<'_>) -> Result<Written, Refusal> {
        let pick = self.pick.text(values)?;
        let mut written = Written::default();
        let (mut seen, mut entries) = (false, 0);
        for (place, reference) in self.places.iter().enumerate() {
            for value in self.values(reference, values)? {
                if value.len() > VALUE_BYTES_MAX {
                    return Err(Refusal::MalformedSignature);
                }
                let text = std::str::from_utf8(&value).map_err(|_| Refusal::MalformedSignature)?;
                seen |= !text.is_empty();
                for entry in self.split(text) {
                    entries += 1;
                    if entries > ENTRIES_MAX {
                        return Err(Refusal::MalformedSignature);
                    }
                    self.sort(place, entry, &pick, &mut written);
                }
            }
        }
        match (seen, written.entries.is_empty()) {
            (false, _) => Err(Refusal::MissingSignature),
            (true, true) => Err(Refusal::MalformedSignature),
            (true, false) => Ok(written),
        }
    }

    /// The entries' bytes, of those that can be decoded.
    ///
    /// # Errors
    /// `MalformedSignature` when none can.
    pub(crate) fn decode(&self, written: &Written) -> Result<Vec<(usize, Vec<u8>)>, Refusal> {
        let decoded: Vec<_> = written
            .entries
            .iter()
            .filter_map(|(place, text)| Some((*place, decode(self.enc, text)?)))
            .filter(|(_, bytes)| !bytes.is_empty())
            .collect();
        if decoded.is_empty() {
            return Err(Refusal::MalformedSignature);
        }
        Ok(decoded)
    }

    /// How signatures are written.
    #[cfg(test)]
    pub(crate) fn encoding(&self) -> Encoding {
        self.enc
    }

    fn values<'v>(
        &self,
        reference: &'v Reference,
        values: &'v Values<'_>,
    ) -> Result<Vec<Cow<'v, [u8]>>, Refusal> {
        match reference {
            Reference::Header(name) if self.any => Ok(values
                .header_values(name)
                .into_iter()
                .map(Cow::Borrowed)
                .collect()),
            _ => Ok(values.get(reference)?.into_iter().collect()),
        }
    }

    fn split<'t>(&self, text: &'t str) -> impl Iterator<Item = &'t str> {
        let (list, whole) = match self.list.as_str() {
            "" => (None, Some(text)),
            separator => (
                Some(text.split(separator).map(str::trim).collect::<Vec<_>>()),
                None,
            ),
        };
        whole.into_iter().chain(list.into_iter().flatten())
    }

    fn sort(&self, place: usize, entry: &str, pick: &str, written: &mut Written) {
        let text = if self.kv.is_empty() {
            entry
        } else {
            match entry.split_once(&self.kv) {
                None => return,
                Some((key, value)) if key == pick => value,
                Some((key, value)) => {
                    written.others.push((key.to_owned(), value.to_owned()));
                    return;
                }
            }
        };
        if let Some(text) = self.without_prefix(place, text)
            && !text.is_empty()
        {
            written.entries.push((place, text.to_owned()));
        }
    }

    /// A prefix that ends with a blank names an authentication scheme, whose case is free, and which only headers have.
    fn without_prefix<'t>(&self, place: usize, text: &'t str) -> Option<&'t str> {
        if !self.prefix.ends_with(' ') {
            return text.strip_prefix(&self.prefix);
        }
        if !matches!(self.places.get(place), Some(Reference::Header(_))) {
            return Some(text);
        }
        let (prefix, rest) = text.split_at_checked(self.prefix.len())?;
        prefix
            .eq_ignore_ascii_case(&self.prefix)
            .then(|| rest.trim_start_matches(' '))
    }
}

fn is_place(reference: &Reference) -> bool {
    matches!(
        reference,
        Reference::Header(_)
            | Reference::Query(_)
            | Reference::Form(_)
            | Reference::Json(_)
            | Reference::Body
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Headers, Request, Settings, values::Names};

    fn read(
        rule: &SignatureRule,
        headers: &[(&str, &str)],
    ) -> Result<Vec<(usize, Vec<u8>)>, Refusal> {
        let headers: Headers = headers.iter().copied().collect();
        let request = Request {
            method: "POST",
            path_query: "/",
            url: "https://x.test/",
            headers: &headers,
            body: b"",
        };
        let (settings, names) = (Settings::new(), Names::default());
        let values = Values::new(&request, &settings, &names);
        let plan = SignaturePlan::compile(rule).expect("a rule");
        plan.decode(&plan.read(&values)?)
    }

    fn rule(prefix: &str, list: &str, kv: &str, pick: &str) -> SignatureRule {
        SignatureRule {
            at: Many(vec!["header:s".into()]),
            prefix: prefix.into(),
            list: list.into(),
            kv: kv.into(),
            pick: pick.into(),
            ..SignatureRule::default()
        }
    }

    #[test]
    fn entries_are_found_in_every_form() {
        let one = Ok(vec![(0, vec![0xab])]);
        for (rule, value) in [
            (rule("", "", "", ""), "ab"),
            (rule("sha256=", "", "", ""), "sha256=AB"),
            (rule("Bearer ", "", "", ""), "bearer  ab"),
            (rule("", ",", "=", "v1"), "t=1, v1=ab,v0=cd,,x"),
            (rule("", " ", ",", "v1"), "v1a,cd v1,ab"),
            (rule("p-", ";", "=", "v1"), "v1=p-ab;v1=ab"),
            (rule("", ",", "", ""), "zz,ab"),
        ] {
            assert_eq!(read(&rule, &[("s", value)]), one, "{value}");
        }
        let two = read(&rule("", ",", "=", "v1"), &[("s", "v1=ab,v1=cd")]);
        assert_eq!(two, Ok(vec![(0, vec![0xab]), (0, vec![0xcd])]));
    }

    #[test]
    fn what_is_no_signature_is_refused() {
        let stripe = rule("", ",", "=", "v1");
        assert_eq!(read(&stripe, &[]), Err(Refusal::MissingSignature));
        assert_eq!(read(&stripe, &[("s", "")]), Err(Refusal::MissingSignature));
        let long = format!("v1={}", "ab".repeat(5000));
        let many = vec!["v1=ab"; 200].join(",");
        for value in [
            "v1=", "v1", "v1=,,x", ",", "v0=ab", "V1=ab", "v1=a", "v1=zz", &long, &many,
        ] {
            assert_eq!(
                read(&stripe, &[("s", value)]),
                Err(Refusal::MalformedSignature),
                "{value}"
            );
        }
        let github = rule("sha256=", "", "", "");
        for value in [
            "sha1=ab",
            "ab",
            "SHA256=ab",
            "sha256=",
            "sha256",
            " sha256=ab",
        ] {
            assert_eq!(
                read(&github, &[("s", value)]),
                Err(Refusal::MalformedSignature),
                "{value}"
            );
        }
    }

    #[test]
    fn a_repeated_header_is_refused_unless_the_provider_repeats_it() {
        let mut rule = rule("", "", "", "");
        let twice = [("s", "ab"), ("s", "cd")];
        assert_eq!(read(&rule, &twice), Err(Refusal::AmbiguousHeader));
        rule.repeat = Repeat::Any;
        assert_eq!(
            read(&rule, &twice),
            Ok(vec![(0, vec![0xab]), (0, vec![0xcd])])
        );
    }

    #[test]
    fn rules_that_cannot_be_are_refused() {
        for bad in [
            SignatureRule::default(),
            rule("", ",", "=", ""),
            rule("", ",", "", "v1"),
            SignatureRule {
                at: Many(vec!["url".into()]),
                ..SignatureRule::default()
            },
        ] {
            assert!(SignaturePlan::compile(&bad).is_err());
        }
    }
}
