//! Entrances for the fuzz targets: each takes any bytes and must neither panic nor break what it asserts.

use crate::{
    Context, Headers, Options, Request, Scheme, Secret, Settings, Verifier, catalogue,
    crypto::signature::SignaturePlan,
    form::Form,
    json,
    scheme::{Encoding, Kind, Many, Repeat, SignatureRule},
    values::{Names, Values},
};

/// Signature headers in every list form: at most 16 entries come out, and none is empty.
pub fn signature_header(data: &[u8]) {
    let Some((&form, value)) = data.split_first() else {
        return;
    };
    let (list, kv, pick) = [
        ("", "", ""),
        (",", "=", "v1"),
        (" ", ",", "v1"),
        (";", "=", "h1"),
    ][usize::from(form & 3)];
    let enc = [
        Encoding::Hex,
        Encoding::Base64,
        Encoding::Base64url,
        Encoding::Base64hex,
    ][usize::from(form >> 2 & 3)];
    let rule = SignatureRule {
        at: Many(vec!["header:s".to_owned()]),
        prefix: ["", "sha256=", "Bearer "][usize::from(form >> 4) % 3].to_owned(),
        list: list.to_owned(),
        kv: kv.to_owned(),
        pick: pick.to_owned(),
        enc,
        repeat: if form & 0x80 == 0 {
            Repeat::Reject
        } else {
            Repeat::Any
        },
        ..SignatureRule::default()
    };
    let headers: Headers = value
        .split(|&byte| byte == b'\n')
        .map(|line| ("s", line))
        .collect();
    let (settings, names) = (Settings::new(), Names::default());
    let request = request(&headers, "/", b"");
    let values = Values::new(&request, &settings, &names);
    let Ok(plan) = SignaturePlan::compile(&rule) else {
        return;
    };
    if let Ok(written) = plan.read(&values) {
        assert!(
            (1..=16).contains(&written.entries.len()),
            "the list is bounded"
        );
        let decoded = plan.decode(&written).unwrap_or_default();
        assert!(
            decoded.iter().all(|(_, bytes)| !bytes.is_empty()),
            "no signature is empty"
        );
    }
}

/// A provider's record, or one of the input's own, against the input's request: no HMAC is right by chance.
///
/// The input is lines: the record or a provider's name, path and query, headers as `name: value`, an empty line, the body.
pub fn declarative_verifier(data: &[u8]) {
    let mut lines = data.splitn(2, |&byte| byte == b'\n');
    let record = lines.next().and_then(|line| std::str::from_utf8(line).ok());
    let Some(record) = record else { return };
    let own = Scheme::from_json(record).ok();
    let scheme = own
        .as_ref()
        .or_else(|| catalogue().get(record).map(|provider| &provider.scheme));
    let Some(scheme) = scheme else { return };
    let settings = scheme
        .setting_names()
        .into_iter()
        .map(|name| (name, "setting".to_owned()))
        .collect();
    let Ok(verifier) = Verifier::compile(scheme, &settings, &Options::named("fuzz")) else {
        return;
    };
    let Ok(secret) = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw") else {
        return;
    };
    let (path_query, headers, body) = parsed(lines.next().unwrap_or_default());
    let request = request(&headers, &path_query, &body);
    let context = Context {
        request: &request,
        secrets: &[secret],
        fetched: &[],
        now_ms: 1_700_000_000_000,
    };
    let verdict = verifier.verify(&context);
    assert!(
        scheme.kind != Kind::Hmac || verdict.is_err(),
        "a MAC was guessed"
    );
    let identity = verifier.identify(&request);
    assert!(
        identity.event_type.len() <= 128 && !identity.event_type.is_empty(),
        "a type fits"
    );
    assert!(
        identity
            .event_id
            .is_none_or(|id| (1..=256).contains(&id.len())),
        "an id fits"
    );
    for (place, item) in identity.items.iter().enumerate() {
        let json = serde_json::from_str::<serde::de::IgnoredAny>(&item.json);
        assert!(json.is_ok(), "item {place} is JSON");
    }
    assert!(identity.items.len() <= 1_000, "items are bounded");
    let _ = verifier.key_request(&request);
    if let Some(handshake) = verifier.handshake(&request)
        && let Ok(done) = handshake.answer(&context)
    {
        assert!(done.answer.body.len() <= 32 * 1024, "an answer is bounded");
    }
}

/// Forms, and JSON: the canonical text does not depend on the order, and what is found lies in the document.
pub fn form_canonicalisation(data: &[u8]) {
    if let Ok(form) = Form::parse(data) {
        let written = |fields: &mut dyn Iterator<Item = &(String, String)>| {
            let mut text = url::form_urlencoded::Serializer::new(String::new());
            for (name, value) in fields {
                text.append_pair(name, value);
            }
            text.finish()
        };
        let again = Form::parse(written(&mut form.fields().iter()).as_bytes());
        let turned = Form::parse(written(&mut form.fields().iter().rev()).as_bytes());
        if !form
            .fields()
            .iter()
            .any(|(name, value)| name.contains('\0') || value.contains('\0'))
        {
            assert_eq!(again.as_ref(), Ok(&form), "a form reads back");
            let turned = turned.map(|form| form.sorted_text());
            assert_eq!(turned, Ok(form.sorted_text()), "the order says nothing");
        }
    }
    if let Ok(text) = json::document(data) {
        assert!(
            serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok(),
            "JSON is JSON"
        );
        for pointer in ["", "/a", "/*", "/a/b/*", "/0/a"] {
            let _ = json::text_at(text, pointer);
        }
    }
}

fn request<'a>(headers: &'a Headers, path_query: &'a str, body: &'a [u8]) -> Request<'a> {
    Request {
        method: "POST",
        path_query,
        url: "https://x.test/in",
        headers,
        body,
    }
}

fn parsed(data: &[u8]) -> (String, Headers, Vec<u8>) {
    let mut headers = Headers::new();
    let mut rest = data;
    let mut path_query = None;
    while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
        let (line, after) = rest.split_at(end);
        rest = after.get(1..).unwrap_or_default();
        if line.is_empty() {
            break;
        }
        if path_query.is_none() {
            path_query = Some(String::from_utf8_lossy(line).into_owned());
        } else if let Some(colon) = line.iter().position(|&byte| byte == b':') {
            let (name, value) = line.split_at(colon);
            let value = value.get(1..).unwrap_or_default().trim_ascii();
            headers.push(&String::from_utf8_lossy(name), value);
        }
    }
    (path_query.unwrap_or_default(), headers, rest.to_vec())
}
