//! The head of a request, as either version of HTTP gives it, and what the edge demands of it. Pure.
//!
//! Stricter than HTTP where leniency has been used to smuggle requests past a proxy, and blind to everything that only
//! the control plane can judge.

use bytes::Bytes;
use http::Method;
use posthorn::node::v1::Header;

use super::{host, host::Hosts, refusal::Refusal, target};
use crate::inbound::forward::SourceId;

/// A request's head.
#[derive(Debug)]
pub(crate) struct Head {
    /// The method.
    pub(crate) method: Method,
    /// The target as received.
    pub(crate) target: Bytes,
    /// The fields in the order received, names in lower case.
    pub(crate) fields: Vec<Header>,
}

/// How long the body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    /// So many bytes.
    Known(u64),
    /// Known when it has come.
    Unknown,
}

/// What a head that is accepted says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Accepted {
    /// Whom it is for.
    pub(super) source: SourceId,
    /// Path and query.
    pub(super) path_query: String,
}

impl Head {
    /// The values of a field.
    pub(super) fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let fields = self.fields.iter();
        let named = fields.filter(move |field| field.name == name);
        named.map(|field| field.value.as_ref())
    }

    /// Says whom the request is for, or why it is refused.
    pub(super) fn accept(&self, length: Length, hosts: &Hosts) -> Result<Accepted, Refusal> {
        if matches!(self.method, Method::CONNECT | Method::TRACE) || self.target == "*" {
            return Err(Refusal::Method);
        }
        let host = self.host()?;
        if !hosts.serve(host) {
            return Err(Refusal::OtherHost);
        }
        let path_query = target::path_query(&self.target, host)?;
        let source = target::source(path_query).ok_or(Refusal::Path)?;
        self.check_method(length)?;
        self.check_expectation()?;
        self.check_coding()?;
        Ok(Accepted {
            source,
            path_query: path_query.to_owned(),
        })
    }

    fn host(&self) -> Result<&str, Refusal> {
        let mut hosts = self.values("host");
        match (hosts.next(), hosts.next()) {
            (Some(host), None) => host::check(host).ok_or(Refusal::Host),
            _ => Err(Refusal::Host),
        }
    }

    fn check_method(&self, length: Length) -> Result<(), Refusal> {
        match self.method {
            Method::POST => Ok(()),
            Method::GET | Method::HEAD | Method::OPTIONS if length == Length::Known(0) => Ok(()),
            Method::GET | Method::HEAD | Method::OPTIONS => Err(Refusal::BodyUnexpected),
            _ => Err(Refusal::Method),
        }
    }

    fn check_expectation(&self) -> Result<(), Refusal> {
        let known = |value: &[u8]| value.eq_ignore_ascii_case(b"100-continue");
        if self.values("expect").all(known) {
            Ok(())
        } else {
            Err(Refusal::Expectation)
        }
    }

    /// No coding, or gzip once: whether the source takes it is the control plane's to say.
    fn check_coding(&self) -> Result<(), Refusal> {
        let mut codings = self.values("content-encoding");
        let known = |coding: &[u8]| {
            ["", "identity", "gzip", "x-gzip"]
                .iter()
                .any(|known| coding.eq_ignore_ascii_case(known.as_bytes()))
        };
        match (codings.next(), codings.next()) {
            (None, _) => Ok(()),
            (Some(coding), None) if known(coding) => Ok(()),
            _ => Err(Refusal::Coding),
        }
    }
}

#[cfg(test)]
mod tests;
