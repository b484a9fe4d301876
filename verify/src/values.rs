//! What references stand for in one request. Body and query are read at most once, and only when a reference asks.

use std::{borrow::Cow, cell::OnceCell, collections::BTreeMap};

use crate::{
    Refusal, Request, Settings,
    crypto::digest,
    crypto::inflate::inflated,
    crypto::jwt,
    form::{Form, multipart},
    json::{self, Found, Kind, Pointer},
    reference::Reference,
    request::GET,
};

/// How a scheme's references are to be looked up.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names {
    /// Other names of headers, in the order they are looked for.
    pub header_alias: BTreeMap<String, Vec<String>>,
    /// The form field that holds the JSON.
    pub json_in_form: Option<String>,
    /// Whether the body may be JSON lines.
    pub json_lines: bool,
    /// Whether the body is either JSON or a form: what is one has no values of the other.
    pub json_or_form: bool,
    /// Whether a form may be `multipart/form-data`.
    pub multipart: bool,
}

/// The values of one request.
pub(crate) struct Values<'a> {
    request: &'a Request<'a>,
    settings: &'a Settings,
    names: &'a Names,
    form: OnceCell<Result<Form, Refusal>>,
    query: OnceCell<Result<Form, Refusal>>,
    inflated: OnceCell<Result<Cow<'a, [u8]>, Refusal>>,
    json: OnceCell<Result<Cow<'a, str>, Refusal>>,
    duplicate: std::cell::Cell<bool>,
    /// The other entries of the signature header.
    pub(crate) sig: Vec<(String, String)>,
    /// The item of a batch that is looked at.
    pub(crate) item: Option<String>,
    /// The payload of a JWT.
    pub(crate) claims: Option<String>,
    /// The digest of a handshake's answer.
    pub(crate) digest: Option<String>,
}

impl<'a> Values<'a> {
    /// Nothing is read yet.
    pub(crate) fn new(request: &'a Request<'a>, settings: &'a Settings, names: &'a Names) -> Self {
        Self {
            request,
            settings,
            names,
            form: OnceCell::new(),
            query: OnceCell::new(),
            inflated: OnceCell::new(),
            json: OnceCell::new(),
            duplicate: std::cell::Cell::new(false),
            sig: Vec::new(),
            item: None,
            claims: None,
            digest: None,
        }
    }

    /// A value; `None` when it is not there.
    ///
    /// # Errors
    /// When it is there several times, or where it should be cannot be read.
    pub(crate) fn get<'v>(
        &'v self,
        reference: &'v Reference,
    ) -> Result<Option<Cow<'v, [u8]>>, Refusal> {
        let request = self.request;
        let bytes = |bytes| Ok(Some(Cow::Borrowed(bytes)));
        match reference {
            Reference::Header(name) => Ok(self.header(name)?.map(borrowed)),
            Reference::Query(name) => Ok(self.query()?.one(name)?.map(borrowed)),
            Reference::Form(_) if self.is_other(false) => Ok(None),
            Reference::Json(_) | Reference::LastKey(_) if self.is_other(true) => Ok(None),
            Reference::Form(name) => Ok(self.form()?.one(name)?.map(borrowed)),
            Reference::Json(pointer) => {
                Ok(self.found(pointer)?.and_then(|found| found.text()).map(cow))
            }
            Reference::LastKey(pointer) => Ok(self.found(pointer)?.and_then(last_key).map(cow)),
            Reference::Item(pointer) => {
                Ok(self.item(pointer).and_then(|found| found.text()).map(cow))
            }
            Reference::ItemLastKey(pointer) => Ok(self.item(pointer).and_then(last_key).map(cow)),
            Reference::ItemSha256 => Ok(self.item.as_deref().map(sha256_hex)),
            Reference::Claim(pointer) => {
                let found = self.within(self.claims.as_deref(), pointer);
                Ok(found.and_then(|found| found.text()).map(cow))
            }
            Reference::Sig(name) => Ok(self.sig(name)?.map(borrowed)),
            Reference::Param(name) => Ok(self.settings.get(name).map(|text| borrowed(text))),
            Reference::Literal(text) => bytes(text.as_bytes()),
            Reference::Body => bytes(request.body),
            Reference::BodyInflated => Ok(Some(Cow::Borrowed(self.inflated()?))),
            Reference::BodySha256 => Ok(Some(sha256_hex(request.body))),
            Reference::BodyCrc32 => Ok(Some(owned(crc32fast::hash(request.body).to_string()))),
            Reference::Method => bytes(request.method.as_bytes()),
            Reference::Path => bytes(request.path().as_bytes()),
            Reference::PathQuery => bytes(request.path_query.as_bytes()),
            Reference::Url => bytes(request.url.as_bytes()),
            Reference::FormSorted => Ok(Some(owned(self.form()?.sorted_text()))),
            Reference::Digest => Ok(self.digest.as_deref().map(borrowed)),
            // The secret is put in where it is used: see `Piece::Secret`.
            Reference::Secret | Reference::Role(_) => Ok(None),
        }
    }

    /// A value as text.
    ///
    /// # Errors
    /// As [`Self::get`], and `MalformedValue` when it is no UTF-8.
    pub(crate) fn text(&self, reference: &Reference) -> Result<Option<String>, Refusal> {
        match self.get(reference)? {
            None => Ok(None),
            Some(bytes) => String::from_utf8(bytes.into_owned())
                .map(Some)
                .map_err(|_| Refusal::MalformedValue),
        }
    }

    /// Every value of a header with whatever alias is there; repeats kept.
    pub(crate) fn header_values<'v>(&'v self, name: &'v str) -> Vec<&'v [u8]> {
        self.aliases(name)
            .map(|name| self.request.headers.get_all(name).collect::<Vec<_>>())
            .find(|values| !values.is_empty())
            .unwrap_or_default()
    }

    /// The JSON text: the body, inflated where it is gzip, or the form field that holds it.
    pub(crate) fn json(&self) -> Result<&str, Refusal> {
        match self.json.get_or_init(|| self.read_json()) {
            Ok(text) => Ok(text),
            Err(refusal) => Err(*refusal),
        }
    }

    /// The JSON texts: the one text, or those of the lines where the scheme has such.
    ///
    /// # Errors
    /// When they cannot be read.
    pub(crate) fn json_texts(&self) -> Result<Vec<&str>, Refusal> {
        match self.json() {
            Ok(text) => Ok(vec![text]),
            Err(Refusal::MalformedBody) if self.names.json_lines => {
                let lines = self.inflated()?.split(|&byte| byte == b'\n');
                let lines = lines.filter(|line| !line.trim_ascii().is_empty());
                lines.map(json::document).collect()
            }
            Err(refusal) => Err(refusal),
        }
    }

    /// The form of the body.
    pub(crate) fn form(&self) -> Result<&Form, Refusal> {
        let form = self.form.get_or_init(|| self.read_form());
        form.as_ref().map_err(|refusal| *refusal)
    }

    /// Whether the body is the other of JSON and a form than what is asked for. Otherwise what was signed in one could be
    /// read in the other.
    fn is_other(&self, wants_json: bool) -> bool {
        if !self.names.json_or_form {
            return false;
        }
        let is_json = self.is_like_json();
        is_json != wants_json && (is_json || self.names.json_in_form.is_none())
    }

    /// Whether the body, unpacked, begins as JSON objects and arrays do.
    pub(crate) fn is_like_json(&self) -> bool {
        self.inflated().is_ok_and(|body| {
            let text = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body);
            matches!(text.trim_ascii_start().first(), Some(b'{' | b'['))
        })
    }

    fn read_form(&self) -> Result<Form, Refusal> {
        let request = self.request;
        if request.method == GET {
            return Form::parse(request.query().as_bytes());
        }
        let label = request.headers.one("content-type").ok().flatten();
        match label.and_then(multipart::boundary) {
            Some(boundary) if self.names.multipart => multipart::parse(self.inflated()?, boundary),
            _ => Form::parse(self.inflated()?),
        }
    }

    /// A value of the JSON text.
    pub(crate) fn found(&self, pointer: &Pointer) -> Result<Option<Found<'_>>, Refusal> {
        let found = json::find(self.json()?, pointer);
        self.note(found.as_ref());
        Ok(found)
    }

    /// Whether a looked-up value was there under its name several times.
    pub(crate) fn saw_duplicates(&self) -> bool {
        self.duplicate.get()
    }

    /// The request.
    pub(crate) fn request(&self) -> &'a Request<'a> {
        self.request
    }

    fn item(&self, pointer: &Pointer) -> Option<Found<'_>> {
        self.within(self.item.as_deref(), pointer)
    }

    fn within<'t>(&self, text: Option<&'t str>, pointer: &Pointer) -> Option<Found<'t>> {
        let found = json::find(text?, pointer);
        self.note(found.as_ref());
        found
    }

    /// Notes that a value which is looked at was there under its name several times.
    pub(crate) fn note(&self, found: Option<&Found<'_>>) {
        if found.is_some_and(|found| found.duplicate) {
            self.duplicate.set(true);
        }
    }

    fn header<'v>(&'v self, name: &'v str) -> Result<Option<&'v str>, Refusal> {
        for name in self.aliases(name) {
            if let Some(value) = self.request.headers.one(name)? {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    fn aliases<'n>(&'n self, name: &'n str) -> impl Iterator<Item = &'n str> {
        let alias = self.names.header_alias.get(name);
        let own = alias.is_none().then_some(name);
        alias.into_iter().flatten().map(String::as_str).chain(own)
    }

    fn sig(&self, name: &str) -> Result<Option<&str>, Refusal> {
        let mut values = self.sig.iter().filter(|(known, _)| known == name);
        let Some((_, first)) = values.next() else {
            return Ok(None);
        };
        if values.any(|(_, other)| other != first) {
            return Err(Refusal::AmbiguousValue);
        }
        Ok(Some(first))
    }

    fn query(&self) -> Result<&Form, Refusal> {
        let query = self.query.get_or_init(|| {
            Form::parse(self.request.query().as_bytes()).map_err(|_| Refusal::MalformedValue)
        });
        query.as_ref().map_err(|refusal| *refusal)
    }

    fn inflated(&self) -> Result<&Cow<'a, [u8]>, Refusal> {
        let inflated = self.inflated.get_or_init(|| inflated(self.request.body));
        inflated.as_ref().map_err(|refusal| *refusal)
    }

    fn read_json(&self) -> Result<Cow<'a, str>, Refusal> {
        if let Some(field) = self.names.json_in_form.as_deref()
            && !self.is_like_json()
        {
            let text = self.form()?.one(field)?.ok_or(Refusal::MalformedBody)?;
            return json::document(text.as_bytes()).map(|text| Cow::Owned(text.to_owned()));
        }
        match self.inflated()? {
            Cow::Borrowed(body) => json::document(body).map(Cow::Borrowed),
            Cow::Owned(body) => json::document(body).map(|text| Cow::Owned(text.to_owned())),
        }
    }
}

impl Values<'_> {
    /// Reads the payload of a JWT, without verifying it, so that `claim:` references have something to look at.
    pub(crate) fn read_claims(&mut self, token: &str) {
        self.claims = jwt::payload(token);
    }
}

fn last_key(found: Found<'_>) -> Option<Cow<'_, str>> {
    (found.kind == Kind::Object)
        .then(|| found.members().last().map(|(name, _)| name))
        .flatten()
}

fn borrowed(text: &str) -> Cow<'_, [u8]> {
    Cow::Borrowed(text.as_bytes())
}

fn owned<'t>(text: String) -> Cow<'t, [u8]> {
    Cow::Owned(text.into_bytes())
}

fn sha256_hex<'t>(bytes: impl AsRef<[u8]>) -> Cow<'t, [u8]> {
    owned(hex::encode(digest::sha256(bytes.as_ref())))
}

fn cow(text: Cow<'_, str>) -> Cow<'_, [u8]> {
    match text {
        Cow::Borrowed(text) => borrowed(text),
        Cow::Owned(text) => owned(text),
    }
}
