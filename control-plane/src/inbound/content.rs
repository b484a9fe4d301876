//! Whether a genuine request holds what its source takes, and which event it is: a pure step.
//!
//! The body is kept and passed on as it was received. What is packed is unpacked to be looked at, within limits; JSON is
//! checked, not built.

use std::{borrow::Cow, io::Read as _};

use bytes::Bytes;
use flate2::bufread::GzDecoder;
use posthorn_verify::{Claim, Item, Verifier};

use super::{judge::Refused, posted::Posted};
use crate::cdn_loop::{CDN_LOOP, LoopMark};
use crate::model::{
    event::{
        CONTENT_TYPE_CHARS_MAX, JSON, PayloadError, check_payload, is_json, is_media_type,
        without_mark,
    },
    event_type::EventTypeName,
    source::{LiveSource, SourceSettings},
};

/// What a query is.
const FORM: &str = "application/x-www-form-urlencoded";
/// What a body is that says nothing about itself.
const BYTES: &str = "application/octet-stream";
/// How many times its own size a body may unpack to.
const RATIO_MAX: u64 = 100;
/// Small bodies may unpack to this much in any case: their ratio says nothing.
const UNPACKED_BYTES_FREE: u64 = 64 * 1_024;
/// How much is unpacked at a time, in bytes.
const STEP_BYTES: usize = 32 * 1_024;
/// The longest value that goes out with an event, in bytes.
const FORWARDED_BYTES_MAX: usize = 4 * 1_024;

/// The event that a genuine request is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Content {
    /// Its type.
    pub event_type: EventTypeName,
    /// The provider's id of it; empty when it has none.
    pub provider_event_id: String,
    /// What is unique about it. None: nothing.
    pub claim: Option<Claim>,
    /// What the body is.
    pub content_type: String,
    /// The headers that go out with it, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The events that it is instead, when it is a batch that is taken apart.
    pub items: Vec<ContentItem>,
}

impl Content {
    /// Whether everything that it is would be known when it came again.
    pub(super) fn is_claimed(&self) -> bool {
        match self.items.as_slice() {
            [] => self.claim.is_some(),
            items => items.iter().all(|item| item.claim.is_some()),
        }
    }
}

/// One event of a batch. It is JSON, whatever the batch is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ContentItem {
    /// Its type.
    pub event_type: EventTypeName,
    /// The provider's id of it; empty when it has none.
    pub provider_event_id: String,
    /// What is unique about it. None: nothing.
    pub claim: Option<Claim>,
    /// Its bytes as they are in the batch.
    pub body: Bytes,
}

/// Looks into a genuine request.
pub(crate) fn examine(
    (live, verifier): (&LiveSource, &Verifier),
    mark: &LoopMark,
    posted: &Posted,
) -> Result<Content, Refused> {
    let settings = &live.source.settings;
    let body = unpacked(settings, verifier, posted)?;
    let content_type = if posted.brings_query() {
        FORM
    } else {
        let content_type = posted.header("content-type").unwrap_or_default();
        check_content_type(settings, verifier, content_type)?;
        content_type
    };
    if is_json(content_type) && !verifier.takes_json_lines() {
        check_json(&body).map_err(Refused::quarantined)?;
    }
    let identity = verifier.identify(&posted.request_with(&live.url, &body));
    let splits = settings.split.unwrap_or_else(|| verifier.splits());
    let items = if splits && !identity.more_items {
        items(identity.items, content_type)?
    } else {
        Vec::new()
    };
    let fits = content_type.len() <= CONTENT_TYPE_CHARS_MAX && is_media_type(content_type);
    Ok(Content {
        event_type: event_type(&identity.event_type)?,
        provider_event_id: identity.event_id.unwrap_or_default(),
        claim: identity.claim,
        content_type: if fits { content_type } else { BYTES }.to_owned(),
        headers: forwarded(settings, mark, posted),
        items,
    })
}

fn event_type(name: &str) -> Result<EventTypeName, Refused> {
    EventTypeName::parse(name).map_err(|_| Refused::quarantined("event_type"))
}

/// The items of a batch of this media type: what stood in anything but JSON is still to be checked.
fn items(items: Vec<Item>, content_type: &str) -> Result<Vec<ContentItem>, Refused> {
    let is_checked = is_json(content_type);
    let item = |item: Item| {
        if !is_checked {
            check_json(item.json.as_bytes()).map_err(Refused::quarantined)?;
        }
        Ok(ContentItem {
            event_type: event_type(&item.event_type)?,
            provider_event_id: item.event_id.unwrap_or_default(),
            claim: item.claim,
            body: item.json.into(),
        })
    };
    items.into_iter().map(item).collect()
}

/// The headers of the request that go out with its event.
fn forwarded(settings: &SourceSettings, mark: &LoopMark, posted: &Posted) -> Vec<(String, String)> {
    // Whoever gets the bytes as they were received has to know how to read them.
    let packed = posted.headers.get_all("content-encoding").next();
    let encoding = packed.map(|_| ("content-encoding".to_owned(), "gzip".to_owned()));
    let encoding = encoding.filter(|_| is_packed(posted));
    let named = settings.forward_headers.iter().filter_map(|name| {
        let value = posted.header(name)?;
        (value.len() <= FORWARDED_BYTES_MAX).then(|| (name.clone(), value.to_owned()))
    });
    let marks = mark.carried(posted.headers.get_all(CDN_LOOP));
    let marks = marks.map(|value| (CDN_LOOP.to_owned(), value));
    encoding.into_iter().chain(named).chain(marks).collect()
}

/// The headers of a batch that go out with each of its items. Items do not go out packed, whatever the batch is.
pub(crate) fn forwarded_to_items(
    settings: &SourceSettings,
    mark: &LoopMark,
    posted: &Posted,
) -> Vec<(String, String)> {
    let mut headers = forwarded(settings, mark, posted);
    headers.retain(|(name, _)| name != "content-encoding");
    headers
}

fn is_packed(posted: &Posted) -> bool {
    posted
        .header("content-encoding")
        .is_some_and(|encoding| encoding.eq_ignore_ascii_case("gzip"))
}

/// The body as it is read, unpacked when the source takes that.
fn unpacked<'a>(
    settings: &SourceSettings,
    verifier: &Verifier,
    posted: &'a Posted,
) -> Result<Cow<'a, [u8]>, Refused> {
    let encodings = posted.headers.get_all("content-encoding").count();
    let encoding = posted.header("content-encoding").unwrap_or_default();
    match (encodings, encoding.to_ascii_lowercase().as_str()) {
        (0, _) | (1, "identity") => Ok(Cow::Borrowed(&posted.body)),
        (1, "gzip") if settings.accept_gzip || verifier.takes_gzip() => {
            let bytes_max = u64::from(settings.body_bytes_max);
            unpack(&posted.body, bytes_max).map(Cow::Owned)
        }
        _ => Err(Refused::unfit(415, "content_encoding")),
    }
}

/// Undoes gzip: one member, whole, with nothing behind it. It is measured before it is kept, so that a body that is too
/// long costs no memory.
fn unpack(body: &[u8], bytes_max: u64) -> Result<Vec<u8>, Refused> {
    let malformed = |_| Refused::quarantined("malformed_gzip");
    let packed = u64::try_from(body.len()).unwrap_or(u64::MAX);
    let limit = packed.saturating_mul(RATIO_MAX).max(UNPACKED_BYTES_FREE);
    let limit = limit.min(bytes_max);
    let mut decoder = GzDecoder::new(body);
    let mut step = vec![0; STEP_BYTES];
    let mut length = 0;
    loop {
        let read = decoder.read(&mut step).map_err(malformed)?;
        length += u64::try_from(read).unwrap_or(u64::MAX);
        if length > limit {
            return Err(Refused::unfit(413, "unpacked_too_long"));
        }
        if read == 0 {
            break;
        }
    }
    if !decoder.into_inner().is_empty() {
        return Err(Refused::quarantined("malformed_gzip"));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
    let whole = GzDecoder::new(body).read_to_end(&mut bytes);
    whole.map_err(malformed)?;
    Ok(bytes)
}

/// A media type that the source takes, whatever it says of the encoding; of a source that names none, what its provider sends.
fn check_content_type(
    settings: &SourceSettings,
    verifier: &Verifier,
    content_type: &str,
) -> Result<(), Refused> {
    let taken = &settings.content_types;
    let refused = Err(Refused::unfit(415, "content_type"));
    if taken.is_empty() {
        let named = Some(content_type).filter(|content_type| !content_type.is_empty());
        return if verifier.takes_content_type(named) {
            Ok(())
        } else {
            refused
        };
    }
    if content_type.len() > CONTENT_TYPE_CHARS_MAX || !is_media_type(content_type) {
        return refused;
    }
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let is_taken = taken
        .iter()
        .any(|taken| taken.eq_ignore_ascii_case(essence));
    if is_taken { Ok(()) } else { refused }
}

/// One JSON text in UTF-8, nested at most 64 deep, whatever its strings hold: they are only carried.
///
/// # Errors
/// Why it is not: a word of a fixed set.
pub(crate) fn check_json(body: &[u8]) -> Result<(), &'static str> {
    check_payload(without_mark(body), JSON, usize::MAX).map_err(|error| match error {
        PayloadError::Empty => "empty_body",
        PayloadError::NotText => "not_text",
        PayloadError::TooDeep => "too_deep",
        PayloadError::NotJson | PayloadError::TooLong(_) => "not_json",
    })
}

#[cfg(test)]
mod tests;
