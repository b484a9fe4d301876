//! A request as it was received: what the schemes read.
//!
//! Nothing here is interpreted. Bytes stay as they came, the order of headers and their repeats too.

use std::borrow::Cow;

use crate::Refusal;

/// The method of what brings its values in the query.
pub(crate) const GET: &str = "GET";

/// An inbound request, borrowed from whoever received it.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The method, in upper case as HTTP has it.
    pub method: &'a str,
    /// Path and query as received, such as `/in/src_1?a=b`.
    pub path_query: &'a str,
    /// The public URL that is registered at the provider. Configuration, never put together from the request.
    pub url: &'a str,
    /// The headers as received.
    pub headers: &'a Headers,
    /// The body as received, with the transfer coding undone and nothing else.
    pub body: &'a [u8],
}

impl<'a> Request<'a> {
    /// The path without the query.
    pub fn path(&self) -> &'a str {
        self.path_query
            .split_once('?')
            .map_or(self.path_query, |(path, _)| path)
    }

    /// The URL that was called: as registered, and for a `GET` with the query as received, which is what it brings.
    pub(crate) fn called_url(&self) -> Cow<'a, str> {
        if self.method != GET {
            return Cow::Borrowed(self.url);
        }
        let registered = self.url.split('?').next().unwrap_or(self.url);
        match self.query() {
            "" => Cow::Borrowed(registered),
            query => Cow::Owned(format!("{registered}?{query}")),
        }
    }

    /// The query as received, without the `?`; empty when there is none.
    pub fn query(&self) -> &'a str {
        self.path_query
            .split_once('?')
            .map_or("", |(_, query)| query)
    }
}

/// An ordered list of headers: names in lower case, values as bytes, repeats kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, Vec<u8>)>);

impl Headers {
    /// An empty list.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds a header at the end.
    pub fn push(&mut self, name: &str, value: impl Into<Vec<u8>>) {
        self.0.push((name.to_ascii_lowercase(), value.into()));
    }

    /// Every value of a header, in the order received. `name` is in lower case.
    pub fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.0
            .iter()
            .filter(move |(known, _)| known == name)
            .map(|(_, value)| value.as_slice())
    }

    /// The one value of a header. Repeats with the same value count as one.
    ///
    /// # Errors
    /// `AmbiguousHeader` when the values differ, `MalformedHeader` when the value is not UTF-8.
    pub fn one<'a>(&'a self, name: &'a str) -> Result<Option<&'a str>, Refusal> {
        let mut values = self.get_all(name);
        let Some(first) = values.next() else {
            return Ok(None);
        };
        if values.any(|other| other != first) {
            return Err(Refusal::AmbiguousHeader);
        }
        match std::str::from_utf8(first) {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(Refusal::MalformedHeader),
        }
    }

    /// All headers in the order received.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_slice()))
    }
}

impl<N: AsRef<str>, V: Into<Vec<u8>>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let mut headers = Self::new();
        for (name, value) in pairs {
            headers.push(name.as_ref(), value);
        }
        headers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_any_case_and_values_stay_as_they_are() {
        let headers: Headers = [("X-A", " b "), ("x-B", "")].into_iter().collect();
        assert_eq!(headers.one("x-a"), Ok(Some(" b ")));
        assert_eq!(headers.one("x-b"), Ok(Some("")));
        assert_eq!(headers.one("x-c"), Ok(None));
    }

    #[test]
    fn repeats_that_differ_are_refused_and_equal_ones_are_one() {
        let headers: Headers = [("a", "1"), ("A", "1"), ("b", "1"), ("b", "2")]
            .into_iter()
            .collect();
        assert_eq!(headers.one("a"), Ok(Some("1")));
        assert_eq!(headers.one("b"), Err(Refusal::AmbiguousHeader));
        assert_eq!(headers.get_all("b").count(), 2);
    }

    #[test]
    fn a_value_that_is_no_text_is_refused() {
        let headers: Headers = [("a", vec![0xff])].into_iter().collect();
        assert_eq!(headers.one("a"), Err(Refusal::MalformedHeader));
    }

    #[test]
    fn path_and_query_part_at_the_first_question_mark() {
        let headers = Headers::new();
        let mut request = Request {
            method: "GET",
            path_query: "/a?b=c?d",
            url: "",
            headers: &headers,
            body: b"",
        };
        assert_eq!((request.path(), request.query()), ("/a", "b=c?d"));
        request.path_query = "/a";
        assert_eq!((request.path(), request.query()), ("/a", ""));
    }
}
