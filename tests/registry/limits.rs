//! What an endpoint's settings may not be, and which field the refusal names.

use posthorn::v1::{
    EndpointHeader, EndpointSettings, ExplicitRetry, ExponentialRetry, RetryPolicy, RetryPreset,
    retry_policy::Schedule,
};
use posthorn_harness::{Deployment, StoreKind};
use prost_types::Duration;

use super::{create, mask, settings, unprintable, update};
use crate::support::{refusal::assert_invalid, time::millis};

on_both! {
    settings_out_of_their_limits_are_refused_with_the_field_at_fault,
    settings_at_their_limits_are_accepted,
    a_mask_names_fields_that_exist,
}

type Change = Box<dyn Fn(&mut EndpointSettings)>;

async fn settings_out_of_their_limits_are_refused_with_the_field_at_fault(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let good = settings(&deployment, "/");
    let cases = bad_names()
        .into_iter()
        .chain(bad_subscriptions())
        .chain(bad_headers())
        .chain(bad_numbers());
    for (what, field, change) in cases {
        let mut settings = good.clone();
        change(&mut settings);
        let request = create(&deployment, settings);
        let result = deployment.admin.endpoints().create_endpoint(request).await;
        assert_invalid(&what, result, &format!("settings.{field}"));
    }
}

type Case = (String, String, Change);

fn case(what: &str, field: &str, change: impl Fn(&mut EndpointSettings) + 'static) -> Case {
    (what.to_owned(), field.to_owned(), Box::new(change))
}

fn bad_names() -> Vec<Case> {
    let names = unprintable().into_iter();
    names
        .map(|name| {
            case(&format!("name {name:?}"), "name", move |settings| {
                settings.name.clone_from(&name);
            })
        })
        .collect()
}

fn bad_subscriptions() -> Vec<Case> {
    let mut cases = vec![
        case("no subscription", "subscriptions", |settings| {
            settings.subscriptions.clear();
        }),
        case("101 subscriptions", "subscriptions", |settings| {
            settings.subscriptions = vec!["a.b".to_owned(); 101];
        }),
    ];
    for pattern in [
        "", "**", "a.*.b", "*.a", "a*", "a.**", "^a$", "a..b", "a b", ".*", "é",
    ] {
        cases.push(case(
            &format!("pattern {pattern:?}"),
            "subscriptions[1]",
            |settings| {
                settings.subscriptions = vec!["*".to_owned(), pattern.to_owned()];
            },
        ));
    }
    cases
}

fn header(name: &str, value: &str) -> EndpointHeader {
    EndpointHeader {
        name: name.to_owned(),
        value: value.to_owned(),
        secret: false,
    }
}

fn bad_headers() -> Vec<Case> {
    let mut cases = Vec::new();
    let long = "x".repeat(65);
    for name in [
        "",
        "Host",
        "content-length",
        "Content-Type",
        "transfer-encoding",
        "Connection",
        "keep-alive",
        "TE",
        "trailer",
        "upgrade",
        "expect",
        "User-Agent",
        "traceparent",
        "proxy-authorization",
        "Proxy-X",
        "webhook-id",
        "Webhook-Anything",
        "x y",
        "x:",
        "x\r\ny",
        "é",
        &long,
    ] {
        let bad = header(name, "v");
        cases.push(case(
            &format!("header {name:?}"),
            "headers[1].name",
            move |settings| {
                settings.headers = vec![header("x-good", "v"), bad.clone()];
            },
        ));
    }
    let long = "x".repeat(4_097);
    for value in ["a\r\nx: y", "a\nb", "a\0b", "é", "\u{7f}", &long] {
        let bad = header("x-bad", value);
        let what = format!("value {:?}", &value.chars().take(9).collect::<String>());
        cases.push(case(&what, "headers[0].value", move |settings| {
            settings.headers = vec![bad.clone()];
        }));
    }
    cases.push(case("a header twice", "headers[1].name", |settings| {
        settings.headers = vec![header("x-twice", "1"), header("X-Twice", "2")];
    }));
    cases.push(case("33 headers", "headers", |settings| {
        settings.headers = (0..33).map(|n| header(&format!("x-{n}"), "v")).collect();
    }));
    for name in ["Host", "x y", "webhook-signature", "content-type"] {
        cases.push(case(
            &format!("signature in {name}"),
            "body_signature_header",
            |settings| {
                name.clone_into(&mut settings.body_signature_header);
            },
        ));
    }
    cases
}

fn bad_numbers() -> Vec<Case> {
    let mut cases = Vec::new();
    let seconds = |seconds, nanos| Duration { seconds, nanos };
    for timeout in [
        seconds(0, 0),
        millis(999),
        millis(60_001),
        seconds(-1, 0),
        seconds(2, -1),
        seconds(1, 1_000_000_000),
        seconds(i64::MAX, 0),
    ] {
        cases.push(case(
            &format!("timeout {timeout:?}"),
            "timeout",
            move |settings| {
                settings.timeout = Some(timeout);
            },
        ));
    }
    for concurrency in [1_025, u32::MAX] {
        cases.push(case(
            &format!("concurrency {concurrency}"),
            "concurrency",
            move |settings| {
                settings.concurrency = concurrency;
            },
        ));
    }
    cases
}

async fn settings_at_their_limits_are_accepted(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let week = millis(7 * 86_400_000);
    let policy = |schedule| {
        Some(RetryPolicy {
            schedule: Some(schedule),
        })
    };
    let cases: Vec<Case> = vec![
        case("the longest name", "", |settings| {
            settings.name = "é".repeat(100);
        }),
        case("100 subscriptions", "", |settings| {
            settings.subscriptions = (0..100).map(|number| format!("a.n{number}.*")).collect();
        }),
        case("the longest header", "", |settings| {
            settings.headers = vec![header(&"x".repeat(64), &"v".repeat(4_096))];
        }),
        case("32 headers", "", |settings| {
            settings.headers = (0..32).map(|n| header(&format!("x-{n}"), "v")).collect();
        }),
        case("the shortest timeout", "", |settings| {
            settings.timeout = Some(millis(1_000));
        }),
        case("the longest timeout", "", |settings| {
            settings.timeout = Some(millis(60_000));
        }),
        case("concurrency", "", |settings| settings.concurrency = 1_024),
        case("long", "", move |settings| {
            settings.retry_policy = policy(Schedule::Preset(RetryPreset::Long.into()));
        }),
        case("exponential", "", move |settings| {
            settings.retry_policy = policy(Schedule::Exponential(ExponentialRetry {
                initial: Some(millis(100)),
                factor: 10.0,
                max: Some(week),
                attempts: 100,
            }));
        }),
        case("no delay", "", move |settings| {
            settings.retry_policy = policy(Schedule::Explicit(ExplicitRetry::default()));
        }),
        case("99 delays", "", move |settings| {
            let delays = vec![week; 99];
            settings.retry_policy = policy(Schedule::Explicit(ExplicitRetry { delays }));
        }),
    ];
    for (what, _, change) in cases {
        let mut settings = settings(&deployment, "/");
        change(&mut settings);
        let request = create(&deployment, settings);
        let result = deployment.admin.endpoints().create_endpoint(request).await;
        assert!(result.is_ok(), "{what}: {result:?}");
    }
}

async fn a_mask_names_fields_that_exist(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let created = deployment
        .admin
        .create_endpoint_with(settings(&deployment, "/"))
        .await;
    let endpoint = created.endpoint.expect("the answer holds the endpoint");
    let many = vec!["name"; 10_000];
    for paths in [
        &[][..],
        &["no_such_field"],
        &["settings.name"],
        &["retry_policy.exponential.initial.seconds"],
        &["name", "name"],
        &["*"],
        &[""],
        &many,
    ] {
        let request = update(&endpoint, settings(&deployment, "/"), paths);
        let result = deployment.admin.endpoints().update_endpoint(request).await;
        assert_invalid(&format!("{:?}", paths.first()), result, "update_mask");
    }
    let mut request = update(&endpoint, settings(&deployment, "/"), &["url"]);
    request.update_mask = None;
    let result = deployment
        .admin
        .endpoints()
        .update_endpoint(request.clone())
        .await;
    assert_invalid("no mask", result, "update_mask");
    request.update_mask = Some(mask(&["url"]));
    request.settings = None;
    let result = deployment.admin.endpoints().update_endpoint(request).await;
    assert!(result.is_err(), "no settings");
}
