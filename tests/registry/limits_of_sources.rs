//! What a source's settings may not be, and which field the refusal names.

use posthorn::v1::{
    CreateSourceRequest, Header, OnConflict, PollSettings, SourceAnswer, SourceSettings,
    SynchronousAnswer,
};
use posthorn_harness::{Deployment, StoreKind};
use prost_types::{Duration, ListValue, Struct, Value, value::Kind};
use tonic::Code;

use super::{
    sources::{create, made, standard, update},
    unprintable,
};
use crate::support::{
    refusal::{assert_invalid, assert_refused},
    time::millis,
};

on_both! {
    settings_out_of_their_limits_are_refused_with_the_field_at_fault,
    settings_at_their_limits_are_accepted,
    a_change_is_held_to_the_same_limits,
    a_scheme_of_ones_own_must_compile,
    g4_a_scheme_of_ones_own_may_not_fetch_from_inside,
    a_tenant_has_a_thousand_sources,
}

type Case = (String, &'static str, Box<dyn Fn(&mut SourceSettings)>);

fn case(what: &str, field: &'static str, change: impl Fn(&mut SourceSettings) + 'static) -> Case {
    (format!("{field} {what}"), field, Box::new(change))
}

async fn settings_out_of_their_limits_are_refused_with_the_field_at_fault(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let cases = bad_texts().into_iter().chain(bad_lists());
    let cases = cases.chain(bad_numbers()).chain(bad_answers());
    for (what, field, change) in cases.chain(bad_polls()) {
        let mut settings = standard();
        change(&mut settings);
        let request = create(&deployment.admin, settings);
        let result = deployment.admin.sources().create_source(request).await;
        assert_invalid(&what, result, &format!("settings.{field}"));
    }
}

fn bad_texts() -> Vec<Case> {
    let names = unprintable().into_iter();
    let mut cases = names
        .map(|name| {
            case(&format!("{name:?}"), "name", move |settings| {
                settings.name.clone_from(&name);
            })
        })
        .collect::<Vec<_>>();
    for provider in ["", "nobody", "Stripe", "standard_webhooks "] {
        cases.push(case(&format!("{provider:?}"), "provider", |settings| {
            provider.clone_into(&mut settings.provider);
        }));
    }
    for url in ["/in/a", "ftp://example.com/", "https://example.com/#a"] {
        cases.push(case(url, "registered_url", |settings| {
            url.clone_into(&mut settings.registered_url);
        }));
    }
    cases.push(case("too long", "registered_url", |settings| {
        settings.registered_url = format!("https://example.com/{}", "x".repeat(2_048));
    }));
    cases.push(case("without `custom`", "scheme", |settings| {
        settings.scheme = Some(Struct::default());
    }));
    cases.push(case("missing", "scheme", |settings| {
        "custom".clone_into(&mut settings.provider);
    }));
    cases
}

fn bad_lists() -> Vec<Case> {
    let mut cases = Vec::new();
    for address in ["", "192.0.2.1", "192.0.2.0/33", "::/129", "example.com/8"] {
        cases.push(case(address, "allowed_addresses[1]", |settings| {
            settings.allowed_addresses = vec!["192.0.2.0/24".to_owned(), address.to_owned()];
        }));
    }
    for kind in ["", "json", "*/*", "text/plain; charset=utf-8"] {
        cases.push(case(kind, "content_types[1]", |settings| {
            settings.content_types = vec!["text/plain".to_owned(), kind.to_owned()];
        }));
    }
    for name in [
        "",
        "x y",
        "Host",
        "webhook-id",
        "Authorization",
        "cookie",
        "X-A",
    ] {
        cases.push(case(name, "forward_headers[1]", |settings| {
            settings.forward_headers = vec!["x-a".to_owned(), name.to_owned()];
        }));
    }
    cases.push(case("65", "allowed_addresses", |settings| {
        settings.allowed_addresses = vec!["192.0.2.0/24".to_owned(); 65];
    }));
    cases.push(case("17", "content_types", |settings| {
        settings.content_types = vec!["text/plain".to_owned(); 17];
    }));
    cases.push(case("17", "forward_headers", |settings| {
        settings.forward_headers = (0..17).map(|n| format!("x-{n}")).collect();
    }));
    cases.push(case("33", "parameters", |settings| {
        settings.parameters = (0..33).map(|n| (format!("p{n}"), "x".to_owned())).collect();
    }));
    for value in [String::new(), "a\0".to_owned(), "x".repeat(1_025)] {
        cases.push(case(
            &format!("{value:.8?}"),
            "parameters[p]",
            move |settings| {
                settings.parameters = [("p".to_owned(), value.clone())].into();
            },
        ));
    }
    cases
}

fn bad_numbers() -> Vec<Case> {
    let mut cases = Vec::new();
    let negative = Duration {
        seconds: -1,
        nanos: 0,
    };
    for tolerance in [millis(0), millis(999), millis(172_800_001), negative] {
        cases.push(case(
            &format!("{tolerance:?}"),
            "tolerance",
            move |settings| {
                settings.tolerance = Some(tolerance);
            },
        ));
    }
    for bytes in [1, 1_023, 26_214_401, u32::MAX] {
        cases.push(case(
            &bytes.to_string(),
            "body_bytes_max",
            move |settings| {
                settings.body_bytes_max = bytes;
            },
        ));
    }
    for rate in [100_001, u32::MAX] {
        cases.push(case(
            &rate.to_string(),
            "rate_per_second",
            move |settings| {
                settings.rate_per_second = rate;
            },
        ));
    }
    for deadline in [None, Some(millis(99)), Some(millis(10_001))] {
        cases.push(case(
            &format!("{deadline:?}"),
            "synchronous.deadline",
            move |settings| {
                settings.synchronous = Some(SynchronousAnswer {
                    deadline,
                    fallback: None,
                });
            },
        ));
    }
    cases
}

fn answer(status: u32, body: Vec<u8>, headers: Vec<Header>) -> SourceAnswer {
    SourceAnswer {
        status,
        headers,
        body: body.into(),
    }
}

fn header(name: &str, value: &str) -> Header {
    Header {
        name: name.to_owned(),
        value: value.to_owned(),
    }
}

fn bad_answers() -> Vec<Case> {
    let many = vec![header("x", ""); 17];
    let long = "x".repeat(1_025);
    let answers = [
        ("answer.status", answer(0, Vec::new(), Vec::new())),
        ("answer.status", answer(199, Vec::new(), Vec::new())),
        ("answer.status", answer(302, Vec::new(), Vec::new())),
        ("answer.status", answer(u32::MAX, Vec::new(), Vec::new())),
        ("answer.body", answer(204, vec![b'x'], Vec::new())),
        ("answer.body", answer(200, vec![b'x'; 4_097], Vec::new())),
        ("answer.headers", answer(200, Vec::new(), many)),
        (
            "answer.headers[0].name",
            answer(200, Vec::new(), vec![header("", "")]),
        ),
        (
            "answer.headers[0].name",
            answer(200, Vec::new(), vec![header("Date", "")]),
        ),
        (
            "answer.headers[0].value",
            answer(200, Vec::new(), vec![header("a", "\r\nb: c")]),
        ),
        (
            "answer.headers[0].value",
            answer(200, Vec::new(), vec![header("a", &long)]),
        ),
    ];
    let mut cases = Vec::new();
    for (field, answer) in answers {
        cases.push(case(&format!("{answer:.40?}"), field, move |settings| {
            settings.answer = Some(answer.clone());
        }));
    }
    cases.push(case("500", "synchronous.fallback.status", |settings| {
        settings.synchronous = Some(SynchronousAnswer {
            deadline: Some(millis(1_000)),
            fallback: Some(answer(500, Vec::new(), Vec::new())),
        });
    }));
    cases
}

fn poll() -> PollSettings {
    PollSettings {
        url: "http://127.0.0.2:40000/events?after={cursor}".to_owned(),
        interval: Some(millis(86_400_000)),
        ..PollSettings::default()
    }
}

fn bad_polls() -> Vec<Case> {
    let with_headers = |headers| PollSettings { headers, ..poll() };
    let with_interval = |interval| PollSettings { interval, ..poll() };
    let mut polls = vec![
        (
            "poll.headers[0].name",
            with_headers(vec![header("host", "")]),
        ),
        (
            "poll.headers[0].value",
            with_headers(vec![header("a", "\n")]),
        ),
        (
            "poll.headers[0].value",
            with_headers(vec![header("a", "sk_live_1")]),
        ),
        ("poll.headers", with_headers(vec![header("a", ""); 17])),
        ("poll.interval", with_interval(None)),
        ("poll.interval", with_interval(Some(millis(9_999)))),
        ("poll.interval", with_interval(Some(millis(86_400_001)))),
    ];
    let (mut items, mut item_id, mut cursor, mut pages) = (poll(), poll(), poll(), poll());
    "data".clone_into(&mut items.items);
    "/a~2".clone_into(&mut item_id.item_id);
    cursor.initial_cursor = "x".repeat(1_025);
    pages.pages_max = 101;
    polls.extend([
        ("poll.items", items),
        ("poll.item_id", item_id),
        ("poll.initial_cursor", cursor),
        ("poll.pages_max", pages),
    ]);
    for url in [
        "",
        "https://10.0.0.1/",
        "https://u:p@example.com/",
        "https://{cursor}.example.com/",
        &format!("https://example.com/{}", "x".repeat(2_048)),
    ] {
        let url = url.to_owned();
        polls.push(("poll.url", PollSettings { url, ..poll() }));
    }
    let cases = polls.into_iter().map(|(field, poll)| {
        case(&format!("{poll:.60?}"), field, move |settings| {
            settings.poll = Some(poll.clone());
        })
    });
    cases.collect()
}

async fn settings_at_their_limits_are_accepted(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let longest = SourceSettings {
        name: "ä".repeat(100),
        parameters: (0..32)
            .map(|n| (format!("p{n}"), "ä".repeat(1_024)))
            .collect(),
        tolerance: Some(millis(172_800_000)),
        allowed_addresses: vec!["2001:db8::/32".to_owned(); 64],
        body_bytes_max: 26_214_400,
        content_types: vec!["application/json".to_owned(); 16],
        accept_gzip: true,
        answer: Some(answer(
            299,
            vec![b'x'; 4_096],
            vec![header("a", &"x".repeat(1_024))],
        )),
        synchronous: Some(SynchronousAnswer {
            deadline: Some(millis(10_000)),
            fallback: Some(answer(204, Vec::new(), Vec::new())),
        }),
        forward_headers: (0..16).map(|n| format!("x-{n}")).collect(),
        registered_url: format!("https://example.com/{}", "x".repeat(2_028)),
        rate_per_second: 100_000,
        poll: Some(PollSettings {
            headers: (0..16)
                .map(|n| header(&format!("x-{n}"), &"x".repeat(1_024)))
                .collect(),
            items: format!("/{}", "x".repeat(511)),
            initial_cursor: "x".repeat(1_024),
            pages_max: 100,
            ..poll()
        }),
        dedupe_window: Some(millis(30 * 24 * 60 * 60 * 1_000)),
        on_conflict: OnConflict::Emit.into(),
        split: Some(false),
        ..standard()
    };
    let source = made(&deployment.admin, longest.clone()).await.source;
    let source = source.expect("the answer holds the source");
    assert_eq!(source.settings, Some(longest));
    let shortest = SourceSettings {
        tolerance: Some(millis(1_000)),
        body_bytes_max: 1_024,
        answer: Some(answer(200, Vec::new(), Vec::new())),
        synchronous: Some(SynchronousAnswer {
            deadline: Some(millis(100)),
            fallback: None,
        }),
        rate_per_second: 1,
        dedupe_window: Some(millis(1_000)),
        ..standard()
    };
    made(&deployment.admin, shortest).await;
}

async fn a_change_is_held_to_the_same_limits(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let source = made(&deployment.admin, standard()).await.source;
    let source = source.expect("the answer holds the source");
    let bad = SourceSettings {
        body_bytes_max: 1,
        forward_headers: vec!["host".to_owned()],
        rate_per_second: 5,
        ..SourceSettings::default()
    };
    let mut sources = deployment.admin.sources();
    for (path, field) in [
        ("body_bytes_max", "settings.body_bytes_max"),
        ("forward_headers", "settings.forward_headers[0]"),
    ] {
        let request = update(&source, bad.clone(), &[path, "rate_per_second"]);
        assert_invalid(path, sources.update_source(request).await, field);
    }
    let request = update(&source, bad, &["rate_per_second"]);
    let answer = sources.update_source(request).await;
    answer.expect("what the mask does not name is not looked at");
}

fn text(value: &str) -> Value {
    Value {
        kind: Some(Kind::StringValue(value.to_owned())),
    }
}

fn object(fields: &[(&str, Value)]) -> Struct {
    let fields = fields.iter();
    Struct {
        fields: fields
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect(),
    }
}

async fn a_scheme_of_ones_own_must_compile(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let signature = object(&[("at", text("header:x-signature"))]);
    let good = [
        ("kind", text("hmac")),
        ("alg", text("sha256")),
        ("content", text("{param:account}.{body}")),
        (
            "sig",
            Value {
                kind: Some(Kind::StructValue(signature)),
            },
        ),
    ];
    let custom = |scheme: Struct| SourceSettings {
        provider: "custom".to_owned(),
        scheme: Some(scheme),
        parameters: [("account".to_owned(), "acct_1".to_owned())].into(),
        body_bytes_max: 1_048_576,
        on_conflict: OnConflict::Record.into(),
        ..SourceSettings::default()
    };
    let answer = made(&deployment.admin, custom(object(&good))).await;
    let source = answer.source.expect("the answer holds the source");
    assert_eq!(source.settings, Some(custom(object(&good))));
    assert!(source.covers_body && !answer.secret.is_empty());
    let with = |name, value: &str| {
        let other = good.iter().filter(|(known, _)| *known != name).cloned();
        object(&other.chain([(name, text(value))]).collect::<Vec<_>>())
    };
    for (scheme, field) in [
        (Struct::default(), "settings.scheme.kind"),
        (with("kind", "magic"), "settings.scheme"),
        (with("colour", "red"), "settings.scheme"),
        (with("like", "nobody"), "settings.scheme.like"),
        (
            with("content", "nothing of the request"),
            "settings.scheme.content",
        ),
    ] {
        let what = format!("{scheme:?}");
        let request = create(&deployment.admin, custom(scheme));
        let result = deployment.admin.sources().create_source(request).await;
        assert_invalid(&what, result, field);
    }
    let without = SourceSettings {
        parameters: std::collections::HashMap::new(),
        ..custom(object(&good))
    };
    let request = create(&deployment.admin, without);
    let result = deployment.admin.sources().create_source(request).await;
    assert_invalid("no parameter", result, "settings.parameters[account]");
}

/// Where the keys of a scheme are, and what a handshake calls back, is judged when the source is made and not when the first
/// request needs it.
async fn g4_a_scheme_of_ones_own_may_not_fetch_from_inside(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let scheme = |url: &str, host: &str, call_back_host: &str| {
        let list = |one: Value| Value {
            kind: Some(Kind::ListValue(ListValue { values: vec![one] })),
        };
        let value = |fields: &[(&str, Value)]| Value {
            kind: Some(Kind::StructValue(object(fields))),
        };
        let hosts = list(text(host));
        let remote = [("url", text(url)), ("hosts", hosts), ("form", text("jwks"))];
        let when = value(&[("present", list(text("query:u")))]);
        let handshake = [
            ("when", when),
            ("call_back", text("query:u")),
            ("call_back_hosts", list(text(call_back_host))),
        ];
        object(&[
            ("kind", text("jwt")),
            ("sig", value(&[("at", text("header:x-token"))])),
            ("jwt", value(&[("algs", list(text("RS256")))])),
            ("key", value(&[("remote", value(&remote))])),
            ("handshake", list(value(&handshake))),
        ])
    };
    let make = async |scheme: Struct| {
        let settings = SourceSettings {
            provider: "custom".to_owned(),
            scheme: Some(scheme),
            ..SourceSettings::default()
        };
        let request = create(&deployment.admin, settings);
        deployment.admin.sources().create_source(request).await
    };
    let (url, host) = ("https://keys.example.com/jwks", "keys.example.com");
    let good = make(scheme(url, host, "*.example.com")).await;
    assert!(good.is_ok(), "{good:?}");
    for (url, host, call_back_host, field) in [
        (
            "https://10.0.0.1/jwks",
            "10.0.0.1",
            host,
            "key.remote.hosts",
        ),
        ("http://keys.example.com/jwks", host, host, "key.remote.url"),
        (
            "https://elsewhere.example.com/",
            host,
            host,
            "key.remote.url",
        ),
        (url, host, "*", "handshake.call_back_hosts"),
    ] {
        let result = make(scheme(url, host, call_back_host)).await;
        let what = format!("{url} {host} {call_back_host}");
        assert_invalid(&what, result, &format!("settings.scheme.{field}"));
    }
}

async fn a_tenant_has_a_thousand_sources(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let request = CreateSourceRequest {
        secrets: vec!["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned()],
        ..create(&deployment.admin, standard())
    };
    let mut sources = deployment.admin.sources();
    for _ in 0..1_000 {
        let made = sources.create_source(request.clone()).await;
        made.expect("there is room");
    }
    let result = sources.create_source(request).await;
    assert_refused("one more", result, Code::ResourceExhausted);
}
