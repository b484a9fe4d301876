//! Single fields of a source's settings, each against its limits.

use std::collections::BTreeMap;

use ipnet::IpNet;
use posthorn::v1;
use posthorn_verify::catalogue;

use crate::{
    error::Error,
    model::{
        event::is_media_type,
        source::{BODY_BYTES_MAX, CUSTOM, OnConflict},
    },
    rpc::convert::{Violations, duration_within, header_name},
};

const PARAMETERS_MAX: usize = 32;
const PARAMETER_NAME_CHARS_MAX: usize = 64;
const PARAMETER_CHARS_MAX: usize = 1_024;
const ADDRESSES_MAX: usize = 64;
const CONTENT_TYPES_MAX: usize = 16;
const CONTENT_TYPE_CHARS_MAX: usize = 127;
const FORWARD_HEADERS_MAX: usize = 16;
const URL_BYTES_MAX: usize = 2_048;
const BODY_BYTES_MIN: u32 = 1_024;
const RATE_MAX: u32 = 100_000;
const SECOND_MS: u32 = 1_000;
const TOLERANCE_MAX_MS: u32 = 48 * 60 * 60 * SECOND_MS;
const WINDOW_MAX_MS: u32 = 30 * 24 * 60 * 60 * SECOND_MS;
const STALE_MAX_MS: u32 = 7 * 24 * 60 * 60 * SECOND_MS;
/// Headers that are secret whatever the scheme.
const SECRET_HEADERS: &[&str] = &[
    "api-key",
    "authorization",
    "cookie",
    "proxy-authorization",
    "set-cookie",
    "verif-hash",
    "x-api-key",
    "x-auth-token",
    "x-gitlab-token",
    "x-secret-token",
];

/// The provider. None: the source is only polled.
pub(super) fn provider(name: &str) -> Result<Option<String>, Error> {
    if name.is_empty() {
        return Ok(None);
    }
    if name != CUSTOM && catalogue().get(name).is_none() {
        let rule = "must be a name of ListProviders, or `custom` with a `scheme`";
        return Err(Error::invalid("settings.provider", rule));
    }
    Ok(Some(name.to_owned()))
}

/// What the scheme needs beside secrets.
pub(super) fn parameters(new: &v1::SourceSettings) -> Result<BTreeMap<String, String>, Error> {
    if new.parameters.len() > PARAMETERS_MAX {
        let rule = "must be at most 32 parameters";
        return Err(Error::invalid("settings.parameters", rule));
    }
    let mut parameters = BTreeMap::new();
    let mut violations = Violations::default();
    for (name, value) in new.parameters.iter().collect::<BTreeMap<_, _>>() {
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        if !(1..=PARAMETER_NAME_CHARS_MAX).contains(&name.len()) || !name.bytes().all(is_word) {
            let rule = "must have names of 1 to 64 letters, digits, `_`, `-` and `.`";
            violations.add("settings.parameters", rule);
            continue;
        }
        let is_text = !value.is_empty() && !value.chars().any(char::is_control);
        if !is_text || value.chars().count() > PARAMETER_CHARS_MAX {
            let rule = "must be 1 to 1024 characters without control characters";
            violations.add(format!("settings.parameters[{name}]"), rule);
        }
        parameters.insert(name.clone(), value.clone());
    }
    violations.finish()?;
    Ok(parameters)
}

/// How far the signed time may be off, in milliseconds. None: the provider's.
pub(super) fn tolerance_ms(new: &v1::SourceSettings) -> Result<Option<i64>, Error> {
    let limits = SECOND_MS..=TOLERANCE_MAX_MS;
    let read = new.tolerance.as_ref().map(|tolerance| {
        duration_within(
            "settings.tolerance",
            tolerance,
            limits,
            "must be from 1 s to 48 h",
        )
    });
    Ok(read.transpose()?.map(i64::from))
}

/// Who may post.
pub(super) fn allowed_addresses(texts: &[String]) -> Result<Vec<IpNet>, Error> {
    let field = "settings.allowed_addresses";
    let read = |text: &str| text.parse::<IpNet>().ok().filter(is_plain);
    let rule = "must be a CIDR block, such as `192.0.2.0/24` or `2001:db8::/32`";
    let nets = list(field, texts, ADDRESSES_MAX, |path, text| {
        read(text).ok_or_else(|| Error::invalid(path, rule))
    })?;
    Ok(nets.iter().map(IpNet::trunc).collect())
}

/// Whether a block is written as clients' addresses are: IPv4 not inside IPv6.
fn is_plain(net: &IpNet) -> bool {
    match net {
        IpNet::V4(_) => true,
        IpNet::V6(net) => net.addr().to_ipv4_mapped().is_none(),
    }
}

/// The longest body, in bytes; `usual` where the caller does not say.
pub(super) fn body_bytes_max(bytes: u32, usual: u32) -> Result<u32, Error> {
    match bytes {
        0 => Ok(usual),
        BODY_BYTES_MIN..=BODY_BYTES_MAX => Ok(bytes),
        _ => Err(Error::invalid(
            "settings.body_bytes_max",
            "must be from 1024 to 26214400, or 0 for what the provider sends",
        )),
    }
}

/// The media types that are taken, in lower case.
pub(super) fn content_types(texts: &[String]) -> Result<Vec<String>, Error> {
    let field = "settings.content_types";
    let rule = "must be a media type without parameters, such as `application/json`";
    list(field, texts, CONTENT_TYPES_MAX, |path, text| {
        let is_type =
            text.len() <= CONTENT_TYPE_CHARS_MAX && !text.contains(';') && is_media_type(text);
        let is_type = is_type && !text.contains(' ');
        let read = is_type.then(|| text.to_ascii_lowercase());
        read.ok_or_else(|| Error::invalid(path, rule))
    })
}

/// The headers that go out with events, in lower case.
pub(super) fn forward_headers(names: &[String]) -> Result<Vec<String>, Error> {
    let field = "settings.forward_headers";
    let mut seen = Vec::new();
    list(field, names, FORWARD_HEADERS_MAX, |path, text| {
        let name = header_name(path, text)?;
        if SECRET_HEADERS.contains(&name.as_str()) {
            return Err(Error::invalid(
                path,
                "must not be a header that carries a secret",
            ));
        }
        if seen.contains(&name) {
            return Err(Error::invalid(path, "must not be there twice"));
        }
        seen.push(name.clone());
        Ok(name)
    })
}

/// The URL as the provider has it, to the letter: it may be signed.
pub(super) fn registered_url(text: &str) -> Result<Option<String>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    let url = text.parse::<http::Uri>().ok();
    let is_http = url.is_some_and(|url| {
        matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some()
    });
    if !is_http || text.len() > URL_BYTES_MAX || text.contains('#') {
        let rule = "must be an http or https URL of at most 2048 bytes, without a fragment";
        return Err(Error::invalid("settings.registered_url", rule));
    }
    Ok(Some(text.to_owned()))
}

/// How many requests are taken a second. None: no limit.
pub(super) fn rate(per_second: u32) -> Result<Option<u32>, Error> {
    match per_second {
        0 => Ok(None),
        1..=RATE_MAX => Ok(Some(per_second)),
        _ => Err(Error::invalid(
            "settings.rate_per_second",
            "must be from 1 to 100000, or 0 for no limit",
        )),
    }
}

/// For how long equal bodies are one event, in milliseconds. None: each is an event.
pub(super) fn dedupe_window_ms(new: &v1::SourceSettings) -> Result<Option<i64>, Error> {
    let window = new.dedupe_window.as_ref();
    let window = window.filter(|window| (window.seconds, window.nanos) != (0, 0));
    let read = window.map(|window| {
        let rule = "must be from 1 s to 30 days, or 0 for none";
        let limits = SECOND_MS..=WINDOW_MAX_MS;
        duration_within("settings.dedupe_window", window, limits, rule)
    });
    Ok(read.transpose()?.map(i64::from))
}

/// How old what is genuine and can be told from a repeat may be.
pub(super) fn accept_stale_ms(new: &v1::SourceSettings) -> Result<Option<i64>, Error> {
    let within = new.accept_stale_for.as_ref();
    let within = within.filter(|within| (within.seconds, within.nanos) != (0, 0));
    let read = within.map(|within| {
        let rule = "must be from 1 s to 7 days, or 0 for not at all";
        let limits = SECOND_MS..=STALE_MAX_MS;
        duration_within("settings.accept_stale_for", within, limits, rule)
    });
    Ok(read.transpose()?.map(i64::from))
}

/// What becomes of other bytes under the same claim.
pub(super) fn on_conflict(number: i32) -> Result<OnConflict, Error> {
    match v1::OnConflict::try_from(number) {
        Ok(v1::OnConflict::Unspecified | v1::OnConflict::Record) => Ok(OnConflict::Record),
        Ok(v1::OnConflict::Emit) => Ok(OnConflict::Emit),
        Err(_) => Err(Error::invalid(
            "settings.on_conflict",
            "must be a known way to treat conflicts",
        )),
    }
}

/// The contract's form.
pub(super) fn on_conflict_proto(on_conflict: OnConflict) -> v1::OnConflict {
    match on_conflict {
        OnConflict::Record => v1::OnConflict::Record,
        OnConflict::Emit => v1::OnConflict::Emit,
    }
}

/// Reads every item of a list, and names each that is wrong.
fn list<T>(
    field: &str,
    texts: &[String],
    items_max: usize,
    mut read: impl FnMut(&str, &str) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    if texts.len() > items_max {
        let rule = format!("must have at most {items_max} items");
        return Err(Error::invalid(field, rule));
    }
    let mut violations = Violations::default();
    let mut items = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        items.extend(violations.take(read(&format!("{field}[{index}]"), text))?);
    }
    violations.finish()?;
    Ok(items)
}
