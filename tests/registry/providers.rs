//! What a source can be: of each provider, and polled.

use posthorn::v1::{
    CreateSourceRequest, GetDriftReportRequest, ListProvidersRequest, SourceSettings,
};
use posthorn_harness::{Deployment, StoreKind};
use tonic::Code;

use super::sources::{create, made, polled, standard, update};
use crate::support::refusal::{assert_invalid, assert_refused};

on_both! {
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
