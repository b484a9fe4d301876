//! Twilio: HMAC over the registered URL and, for forms, the sorted fields.
//!
//! For any other body Twilio puts `bodySHA256` into the query of the URL that it calls, and signs that URL. The URL is
//! the registered one with the query as received, so that no part of a query is believed unsigned; the port is tried as registered, left out, and written out, since
//! Twilio is not of one mind about it. Which hash is used is configuration (the setting `algorithm`: `hmac_sha1`, the
//! default, or `hmac_sha256` for shared keys), never the header of the request. There is no signing time, and names and
//! values run together in what is signed: of a form that was signed once, others can be made that come to the same text.

use url::Url;

use super::{
    Special, SpecialPlan,
    input::{any_secret, base64, is_form, is_hmac, signature},
};
use crate::{
    Context, Refusal, Request, SchemeError, Settings,
    crypto::digest::{same, sha256},
    form::Form,
    scheme::Algorithm,
};

const SIGNATURE: &str = "x-twilio-signature";

/// Twilio. The secret is the auth token or the shared key.
pub(super) static SPECIAL: Special = Special {
    check: Some(check),
    headers: &[SIGNATURE],
    ..Special::new("twilio", verify)
};

fn check(settings: &Settings) -> Result<(), SchemeError> {
    algorithm(settings.get("algorithm").map(String::as_str))
        .map(|_| ())
        .ok_or_else(|| SchemeError::new("settings.algorithm", "must be hmac_sha1 or hmac_sha256"))
}

fn algorithm(setting: Option<&str>) -> Option<Algorithm> {
    match setting {
        None | Some("hmac_sha1") => Some(Algorithm::Sha1),
        Some("hmac_sha256") => Some(Algorithm::Sha256),
        Some(_) => None,
    }
}

fn verify(context: &Context<'_>, plan: &SpecialPlan) -> Result<(), Refusal> {
    let request = context.request;
    let signature = base64(signature(request, SIGNATURE)?)?;
    let alg = algorithm(plan.setting("algorithm")).ok_or(Refusal::Requirement)?;
    let fields = signed_fields(request)?;
    let urls = urls(request);
    any_secret(context.secrets, |secret| {
        urls.iter().fold(false, |right, url| {
            is_hmac(
                alg,
                secret,
                &[url.as_bytes(), fields.as_bytes()],
                &signature,
            ) | right
        })
    })
}

/// What is signed behind the URL: nothing when the body's hash is in the query, which then has to be right.
fn signed_fields(request: &Request<'_>) -> Result<String, Refusal> {
    let query = Form::parse(request.query().as_bytes()).map_err(|_| Refusal::MalformedValue)?;
    if let Some(claimed) = query.one("bodySHA256")? {
        let claimed = hex::decode(claimed).map_err(|_| Refusal::MalformedValue)?;
        return if same(&claimed, &sha256(request.body)) {
            Ok(String::new())
        } else {
            Err(Refusal::WrongSignature)
        };
    }
    if request.body.is_empty() {
        return Ok(String::new());
    }
    if !is_form(request) {
        return Err(Refusal::MissingValue);
    }
    Ok(sorted(Form::parse(request.body)?.fields().to_vec()))
}

/// Names with their values, sorted bytewise; a name that is repeated with the same value counts once.
fn sorted(mut fields: Vec<(String, String)>) -> String {
    fields.sort_unstable();
    fields.dedup();
    fields
        .into_iter()
        .flat_map(|(name, value)| [name, value])
        .collect()
}

/// The URLs that may have been signed.
fn urls(request: &Request<'_>) -> Vec<String> {
    let registered = request.url.split('?').next().unwrap_or(request.url);
    let base = match request.query() {
        "" => registered.to_owned(),
        query => format!("{registered}?{query}"),
    };
    let mut urls = vec![base.clone()];
    let (Ok(parsed), Some((scheme, rest))) = (Url::parse(&base), base.split_once("://")) else {
        return urls;
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let written = authority.rsplit_once(':').filter(|(_, port)| is_port(port));
    match (written, parsed.port_or_known_default()) {
        (Some((host, _)), _) => urls.push(format!("{scheme}://{host}{path}")),
        (None, Some(port)) => urls.push(format!("{scheme}://{authority}:{port}{path}")),
        (None, None) => {}
    }
    urls
}

fn is_port(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_tried_left_out_and_written_out() {
        let headers = crate::Headers::new();
        let of = |url: &'static str, path_query: &'static str| {
            urls(&Request {
                method: "POST",
                path_query,
                url,
                headers: &headers,
                body: b"",
            })
        };
        for (url, path_query, expected) in [
            (
                "https://a.example.com/x",
                "/x",
                ["https://a.example.com/x", "https://a.example.com:443/x"],
            ),
            (
                "http://a.example.com/x",
                "/x",
                ["http://a.example.com/x", "http://a.example.com:80/x"],
            ),
            (
                "https://a.example.com:8443/x",
                "/x?y=1",
                [
                    "https://a.example.com:8443/x?y=1",
                    "https://a.example.com/x?y=1",
                ],
            ),
            (
                "https://a.example.com?y=1",
                "/?y=2",
                ["https://a.example.com?y=2", "https://a.example.com:443?y=2"],
            ),
        ] {
            assert_eq!(of(url, path_query), expected, "{url}");
        }
    }

    /// The example of Twilio's documentation.
    #[test]
    fn the_published_example_is_verified() {
        let body = b"CallSid=CA1234567890ABCDE&Caller=%2B14158675309&Digits=1234&From=%2B14158675309&To=%2B18005551212";
        let signature = base64("RSOYDt4T1cUTdK1PDd93/VVr8B8=").expect("base64");
        let headers =
            crate::Headers::from_iter([("content-type", "application/x-www-form-urlencoded")]);
        let request = Request {
            method: "POST",
            path_query: "/myapp.php?foo=1&bar=2",
            url: "https://mycompany.com/myapp.php?foo=1&bar=2",
            headers: &headers,
            body,
        };
        let fields = signed_fields(&request).expect("fields");
        let signed = [request.url.as_bytes(), fields.as_bytes()];
        assert!(is_hmac(Algorithm::Sha1, b"12345", &signed, &signature));
    }

    #[test]
    fn fields_are_sorted_and_equal_repeats_count_once() {
        let fields = |body: &[u8]| Form::parse(body).map(|form| sorted(form.fields().to_vec()));
        assert_eq!(fields(b"b=2&a=1&b=1&b=2&A=").as_deref(), Ok("Aa1b1b2"));
    }

    /// The registered URL alone says nothing of a body: its hash must be in the query that was signed.
    #[test]
    fn the_hash_of_a_body_is_read_where_it_is_signed() {
        let headers = crate::Headers::new();
        let request = Request {
            method: "POST",
            path_query: "/x?bodySHA256=e3b0c442",
            url: "https://a.example.com/x?y=1",
            headers: &headers,
            body: b"",
        };
        let urls = urls(&request);
        assert!(
            urls.iter()
                .all(|url| url.ends_with("/x?bodySHA256=e3b0c442"))
        );
    }

    #[test]
    fn a_body_that_is_neither_form_nor_hashed_is_refused() {
        let headers = crate::Headers::from_iter([("content-type", "application/json")]);
        let mut request = Request {
            method: "POST",
            path_query: "/",
            url: "https://a.example.com/",
            headers: &headers,
            body: b"{}",
        };
        assert_eq!(signed_fields(&request), Err(Refusal::MissingValue));
        request.path_query = "/?bodySHA256=00";
        assert_eq!(signed_fields(&request), Err(Refusal::WrongSignature));
    }
}
