//! The target of a request: whom it is for. Pure.
//!
//! Nothing is decoded and nothing is normalised: a path is the path of a source as it stands, or none.

use super::refusal::Refusal;
use crate::inbound::forward::{SOURCE_ID_BYTES, SourceId};

const PREFIX: &str = "/in/";

/// Path and query of a target in origin form, or in absolute form for the same host.
pub(super) fn path_query<'a>(target: &'a [u8], host: &str) -> Result<&'a str, Refusal> {
    let visible = |byte: &u8| byte.is_ascii_graphic() && *byte != b'#';
    if !target.iter().all(visible) {
        return Err(Refusal::Malformed);
    }
    let target = std::str::from_utf8(target).map_err(|_| Refusal::Malformed)?;
    if target.starts_with('/') {
        return Ok(target);
    }
    let (scheme, rest) = target.split_once("://").ok_or(Refusal::Malformed)?;
    if !["http", "https"]
        .iter()
        .any(|known| scheme.eq_ignore_ascii_case(known))
    {
        return Err(Refusal::Malformed);
    }
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path_query) = rest.split_at(end);
    if !authority.eq_ignore_ascii_case(host) {
        return Err(Refusal::Authority);
    }
    Ok(path_query)
}

/// The source that a path is of: `/in/`, a source's id, and nothing more but a slash, which some people's forms add to every
/// URL, and a query.
pub(super) fn source(path_query: &str) -> Option<SourceId> {
    let path = path_query.split('?').next()?;
    let id = path.strip_prefix(PREFIX)?;
    SourceId::parse(id.strip_suffix('/').unwrap_or(id).as_bytes())
}

/// The text of the source's id in a path that [`source`] has accepted.
pub(super) fn source_text(path_query: &str) -> &str {
    let start = PREFIX.len();
    path_query
        .get(start..start + SOURCE_ID_BYTES)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "src_01hzy3v7gq8ye9p0abcdefghjk";

    #[test]
    fn a_path_is_that_of_a_source_as_it_stands_or_none() {
        for (path, good) in [
            (format!("/in/{ID}"), true),
            (format!("/in/{ID}?"), true),
            (format!("/in/{ID}?a=/../b&c=%00"), true),
            (format!("/in/{ID}/"), true),
            (format!("/in/{ID}/?a"), true),
            (format!("/in/{ID}//"), false),
            (format!("/in/{ID}/more"), false),
            (format!("/in/{ID}%2f"), false),
            (format!("/in/{ID};a"), false),
            (format!("//in/{ID}"), false),
            (format!("/in//{ID}"), false),
            (format!("/in/%2e%2e/in/{ID}"), false),
            (format!("/in/../in/{ID}"), false),
            (format!("/IN/{ID}"), false),
            (format!("/in/{}", ID.to_uppercase()), false),
            (format!("/in/{ID}%00"), false),
            (format!("/in%2f{ID}"), false),
            ("/in/evt_01hzy3v7gq8ye9p0abcdefghjk".to_owned(), false),
            ("/in/".to_owned(), false),
            ("/".to_owned(), false),
            (String::new(), false),
        ] {
            assert_eq!(source(&path).is_some(), good, "{path}");
            assert!(!good || source_text(&path) == ID, "{path}");
        }
    }

    #[test]
    fn a_target_in_absolute_form_is_for_the_same_host() {
        for (target, expected) in [
            ("/in/x?y", Ok("/in/x?y")),
            ("http://a.example/in/x?y", Ok("/in/x?y")),
            ("HTTPS://A.example/in/x", Ok("/in/x")),
            ("http://a.example", Ok("")),
            ("http://a.example?b", Ok("?b")),
            ("http://b.example/in/x", Err(Refusal::Authority)),
            ("http://a.example:80/in/x", Err(Refusal::Authority)),
            ("http://u@a.example/in/x", Err(Refusal::Authority)),
            ("ftp://a.example/in/x", Err(Refusal::Malformed)),
            ("a.example:443", Err(Refusal::Malformed)),
            ("in/x", Err(Refusal::Malformed)),
            ("", Err(Refusal::Malformed)),
            ("/in/x#y", Err(Refusal::Malformed)),
            ("/in/\u{ff}", Err(Refusal::Malformed)),
            ("/in/\u{7f}", Err(Refusal::Malformed)),
            ("/in/ x", Err(Refusal::Malformed)),
        ] {
            assert_eq!(
                path_query(target.as_bytes(), "a.example"),
                expected,
                "{target}"
            );
        }
    }
}
