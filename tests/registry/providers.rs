//! What a source can be: of each provider, and polled.

use posthorn::v1::{
    CreateSourceRequest, GetDriftReportRequest, ListProvidersRequest, Provider as Known,
    SourceSettings, SynchronousAnswer,
};
use posthorn_harness::{Deployment, StoreKind};
use tonic::Code;

use super::sources::{create, made, polled, standard, update};
use crate::support::refusal::{assert_invalid, assert_refused};

on_both! {
    p6_a_source_without_a_secret_is_refused_where_it_would_verify_nothing,
    p7_providers_say_every_parameter_and_limit,
    polling_begins_with_its_settings_and_ends_with_them,
    the_providers_are_those_that_a_source_can_have,
}

async fn polling_begins_with_its_settings_and_ends_with_them(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let both = SourceSettings {
        poll: polled().poll,
        ..standard()
    };
    let source = made(&deployment.admin, both).await.source;
    let source = source.expect("the answer holds the source");
    let mut sources = deployment.admin.sources();
    let report = GetDriftReportRequest {
        tenant_id: source.tenant_id.clone(),
        source_id: source.source_id.clone(),
        ..GetDriftReportRequest::default()
    };
    let answer = sources.get_drift_report(report.clone()).await;
    let drift = answer.expect("it is polled").into_inner();
    assert!(drift.next_poll_at.is_some());
    assert_eq!((drift.by_webhook, drift.items.len()), (0, 0));

    let ended = update(&source, standard(), &["poll"]);
    let answer = sources.update_source(ended).await;
    let source = answer.expect("it is changed").into_inner().source;
    let result = sources.get_drift_report(report).await;
    assert_refused("not polled", result, Code::FailedPrecondition);

    let source = source.expect("the answer holds the source");
    let mut inside = polled();
    if let Some(poll) = &mut inside.poll {
        "https://10.0.0.1/".clone_into(&mut poll.url);
    }
    let refused = update(&source, inside, &["poll"]);
    let result = sources.update_source(refused).await;
    assert_invalid("an inner address", result, "settings.poll.url");
}

async fn the_providers_are_those_that_a_source_can_have(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let mut sources = deployment.admin.sources();
    let answer = sources
        .list_providers(ListProvidersRequest {
            page_size: 500,
            ..ListProvidersRequest::default()
        })
        .await;
    let providers = answer.expect("they are listed").into_inner().providers;
    assert!(providers.iter().map(|known| &known.name).is_sorted());
    for wanted in ["stripe", "github", "shopify", "standard_webhooks"] {
        let provider = providers.iter().find(|known| known.name == wanted);
        let provider = provider.unwrap_or_else(|| panic!("{wanted} is missing"));
        assert!(
            provider.needs_secret && provider.covers_body,
            "{provider:?}"
        );
        let settings = SourceSettings {
            provider: provider.name.clone(),
            ..SourceSettings::default()
        };
        let request = CreateSourceRequest {
            secrets: vec!["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned()],
            ..create(&deployment.admin, settings)
        };
        let made = sources.create_source(request).await;
        made.expect("it is made");
    }
}

async fn p6_a_source_without_a_secret_is_refused_where_it_would_verify_nothing(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let create = async |provider: &str, parameters: &[(&str, &str)]| {
        let parameters = parameters.iter();
        let request = CreateSourceRequest {
            tenant_id: deployment.tenant_id.clone(),
            settings: Some(SourceSettings {
                provider: provider.to_owned(),
                parameters: parameters
                    .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                    .collect(),
                ..SourceSettings::default()
            }),
            ..CreateSourceRequest::default()
        };
        deployment.admin.sources().create_source(request).await
    };
    for provider in ["microsoft_graph", "ebay", "payfast"] {
        assert_invalid(provider, create(provider, &[]).await, "secrets");
    }
    let open = create("payfast", &[("allow_no_passphrase", "true")]).await;
    assert!(open.is_ok(), "{open:?}");
}

async fn p7_providers_say_every_parameter_and_limit(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let request = ListProvidersRequest {
        page_size: 500,
        ..ListProvidersRequest::default()
    };
    let listed = deployment.admin.sources().list_providers(request).await;
    let listed = listed.expect("they are listed").into_inner().providers;
    let of = |name: &str| -> &Known {
        let found = listed.iter().find(|known| known.name == name);
        found.unwrap_or_else(|| panic!("{name} is not there"))
    };
    let github = of("github");
    assert_eq!(github.body_bytes_max, 25 * 1_024 * 1_024);
    assert_eq!(github.answer_within.map(|within| within.seconds), Some(10));
    assert!(github.limits_page.contains("docs.github.com"));
    let payfast = of("payfast");
    let names = payfast.all_parameters.iter();
    let names = names.map(|one| (one.name.as_str(), one.required));
    let expected = [("allow_no_passphrase", false), ("merchant_id", false)];
    assert_eq!(names.collect::<Vec<_>>(), expected);
    let told = listed.iter().flat_map(|known| &known.all_parameters);
    assert!(told.clone().count() > 20);
    assert!(told.clone().all(|one| one.about.len() > 10));
    for name in [
        "xendit",
        "mailchimp",
        "bridge_xyz",
        "alchemy",
        "vercel_drains",
    ] {
        assert!(of(name).needs_secret, "{name}");
    }

    let request = CreateSourceRequest {
        tenant_id: deployment.tenant_id.clone(),
        settings: Some(SourceSettings {
            provider: "slack".to_owned(),
            synchronous: Some(SynchronousAnswer {
                deadline: Some(prost_types::Duration {
                    seconds: 4,
                    nanos: 0,
                }),
                fallback: None,
            }),
            ..SourceSettings::default()
        }),
        secrets: vec!["slack-secret".to_owned()],
        ..CreateSourceRequest::default()
    };
    let refused = deployment.admin.sources().create_source(request).await;
    assert_invalid("slack waits 3 s", refused, "settings.synchronous.deadline");
}
