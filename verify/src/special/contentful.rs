//! Contentful: HMAC-SHA256 over method, path, a list of headers that the request names, and the body.
//!
//! The query is escaped twice in the signed text, once as a whole value and once with the path, as Contentful's own
//! tools do it. The list of headers always covers itself and the timestamp.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{
    Special, SpecialPlan,
    input::{any_secret, check_time, header, is_hmac, lower_hex, signature, time},
};
use crate::{
    Context, Refusal, Request,
    scheme::{Algorithm, TimeUnit},
};

const SIGNATURE: &str = "x-contentful-signature";
const SIGNED_HEADERS: &str = "x-contentful-signed-headers";
const TIMESTAMP: &str = "x-contentful-timestamp";

/// The most headers that are signed.
const HEADERS_MAX: usize = 64;

/// Contentful gives a request thirty seconds.
const TOLERANCE_S: u32 = 30;

/// Contentful. The secret is the 64 characters of the app's signing secret.
pub(super) static SPECIAL: Special = Special {
    headers: &[SIGNATURE, SIGNED_HEADERS, TIMESTAMP],
    ..Special::new("contentful", verify)
};

fn verify(context: &Context<'_>, plan: &SpecialPlan) -> Result<(), Refusal> {
    let request = context.request;
    let signature = lower_hex(signature(request, SIGNATURE)?)?;
    let time = time(request, TIMESTAMP)?;
    let head = signed_head(request)?;
    let signed = [head.as_bytes(), request.body];
    any_secret(context.secrets, |secret| {
        is_hmac(Algorithm::Sha256, secret, &signed, &signature)
    })?;
    check_time(context, plan, (TimeUnit::Ms, time), TOLERANCE_S)
}

/// The signed text up to the body.
fn signed_head(request: &Request<'_>) -> Result<String, Refusal> {
    let path = escaped_path(request)?;
    let names = signed_names(header(request, SIGNED_HEADERS)?)?;
    let list = names.join(",");
    let mut lines = Vec::with_capacity(names.len());
    for name in &names {
        let value = match *name {
            SIGNED_HEADERS => list.as_str(),
            name => header(request, name)?.trim(),
        };
        lines.push(format!("{name}:{value}"));
    }
    Ok(format!("{}\n{path}\n{}\n", request.method, lines.join(";")))
}

/// The names that are signed, sorted, each once.
fn signed_names(list: &str) -> Result<Vec<&str>, Refusal> {
    let mut names: Vec<&str> = list.split(',').take(HEADERS_MAX + 1).collect();
    if names.len() > HEADERS_MAX {
        return Err(Refusal::MalformedValue);
    }
    names.extend([SIGNED_HEADERS, TIMESTAMP]);
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

/// What is escaped in a part of a URL, as ECMAScript does it: <https://tc39.es/ecma262/#sec-encodeuricomponent-uricomponent>.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');
/// What is escaped in a whole URL.
const URI: &AsciiSet = &COMPONENT
    .remove(b';')
    .remove(b',')
    .remove(b'/')
    .remove(b'?')
    .remove(b':')
    .remove(b'@')
    .remove(b'&')
    .remove(b'=')
    .remove(b'+')
    .remove(b'$')
    .remove(b'#');

fn escape(text: &str, escaped: &'static AsciiSet) -> String {
    utf8_percent_encode(text, escaped).to_string()
}

fn escaped_path(request: &Request<'_>) -> Result<String, Refusal> {
    let (path, query) = (request.path(), request.query());
    // What follows a second question mark is not signed.
    if query.contains('?') {
        return Err(Refusal::MalformedValue);
    }
    let mut escaped = escape(path, URI);
    if !query.is_empty() {
        escaped.push('?');
        escaped.push_str(&escape(&escape(query, COMPONENT), URI));
    }
    Ok(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_is_escaped_twice_and_the_path_once() {
        let headers = crate::Headers::new();
        let request = Request {
            method: "POST",
            path_query: "/a b/ü?x=1&y=%20",
            url: "",
            headers: &headers,
            body: b"",
        };
        assert_eq!(
            escaped_path(&request).as_deref(),
            Ok("/a%20b/%C3%BC?x%253D1%2526y%253D%252520")
        );
    }

    #[test]
    fn a_second_question_mark_is_refused_since_what_follows_is_not_signed() {
        let headers = crate::Headers::new();
        let request = Request {
            method: "POST",
            path_query: "/a?x=1?y=2",
            url: "",
            headers: &headers,
            body: b"",
        };
        assert_eq!(escaped_path(&request), Err(Refusal::MalformedValue));
    }

    #[test]
    fn the_list_always_covers_itself_and_the_timestamp() {
        assert_eq!(
            signed_names("x-b,x-a,x-a"),
            Ok(vec!["x-a", "x-b", SIGNED_HEADERS, TIMESTAMP])
        );
        let long = vec!["a"; HEADERS_MAX + 1].join(",");
        assert_eq!(signed_names(&long), Err(Refusal::MalformedValue));
    }
}
