//! Sources: made, changed, paused, deleted, listed.

use std::collections::BTreeSet;

use posthorn::v1::{
    CreateSourceRequest, CreateSourceResponse, DeleteSourceRequest, DeleteTenantRequest,
    GetSourceRequest, ListSourcesRequest, OnConflict, PollSettings, SetSourceStateRequest, Source,
    SourceSettings, SourceState, UpdateSourceRequest,
};
use posthorn_harness::{Client, ControlPlaneOptions, Deployment, StoreKind};
use tokio::task::JoinSet;
use tonic::Code;

use super::mask;
use crate::support::{
    refusal::{assert_invalid, assert_refused},
    time::millis,
    unknown,
};

on_both! {
    a_source_is_as_it_was_made,
    an_update_changes_what_the_mask_names_and_nothing_else,
    a_change_needs_the_current_etag,
    a_source_changes_its_state,
    a_deleted_source_is_gone_and_its_name_is_free,
    a_name_is_taken_once_even_in_parallel,
    sources_are_listed_in_pages,
    a_tenant_with_sources_stays,
}

/// What most sources here are made with.
pub(super) fn standard() -> SourceSettings {
    SourceSettings {
        provider: "standard_webhooks".to_owned(),
        ..SourceSettings::default()
    }
}

pub(super) fn create(client: &Client, settings: SourceSettings) -> CreateSourceRequest {
    CreateSourceRequest {
        tenant_id: client.tenant_id.clone(),
        settings: Some(settings),
        ..CreateSourceRequest::default()
    }
}

/// Makes a source. Panics when it is refused.
pub(super) async fn made(client: &Client, settings: SourceSettings) -> CreateSourceResponse {
    let answer = client
        .sources()
        .create_source(create(client, settings))
        .await;
    answer.expect("it is made").into_inner()
}

pub(super) async fn get(client: &Client, source_id: &str) -> Source {
    let request = GetSourceRequest {
        tenant_id: client.tenant_id.clone(),
        source_id: source_id.to_owned(),
    };
    let answer = client.sources().get_source(request).await;
    let source = answer.expect("it is there").into_inner().source;
    source.expect("the answer holds the source")
}

pub(super) fn update(
    source: &Source,
    settings: SourceSettings,
    paths: &[&str],
) -> UpdateSourceRequest {
    UpdateSourceRequest {
        tenant_id: source.tenant_id.clone(),
        source_id: source.source_id.clone(),
        settings: Some(settings),
        update_mask: Some(mask(paths)),
        etag: source.etag.clone(),
        ..UpdateSourceRequest::default()
    }
}

fn set_state(source: &Source, state: SourceState, reason: &str) -> SetSourceStateRequest {
    SetSourceStateRequest {
        tenant_id: source.tenant_id.clone(),
        source_id: source.source_id.clone(),
        state: state.into(),
        reason: reason.to_owned(),
        ..SetSourceStateRequest::default()
    }
}

fn delete(source: &Source) -> DeleteSourceRequest {
    DeleteSourceRequest {
        tenant_id: source.tenant_id.clone(),
        source_id: source.source_id.clone(),
        ..DeleteSourceRequest::default()
    }
}

/// Settings of a source that is polled only. The address is one that nothing listens at.
pub(super) fn polled() -> SourceSettings {
    SourceSettings {
        poll: Some(PollSettings {
            url: "http://127.0.0.2:40000/events".to_owned(),
            interval: Some(millis(86_400_000)),
            ..PollSettings::default()
        }),
        ..SourceSettings::default()
    }
}

async fn a_source_is_as_it_was_made(store: StoreKind) {
    let options = ControlPlaneOptions {
        args: vec![
            "--public-url".to_owned(),
            "https://hooks.example.com/".to_owned(),
        ],
        ..ControlPlaneOptions::default()
    };
    let deployment = Deployment::start_with(store, options, &[]).await;
    let admin = &deployment.admin;
    let settings = SourceSettings {
        name: "payments".to_owned(),
        tolerance: Some(millis(60_000)),
        allowed_addresses: vec!["192.0.2.0/24".to_owned()],
        body_bytes_max: 2_048,
        content_types: vec!["application/json".to_owned()],
        forward_headers: vec!["x-request-id".to_owned()],
        rate_per_second: 50,
        dedupe_window: Some(millis(60_000)),
        on_conflict: OnConflict::Record.into(),
        split: Some(false),
        ..standard()
    };
    let answer = made(admin, settings.clone()).await;
    let source = answer.source.expect("the answer holds the source");
    assert!(answer.secret.starts_with("whsec_"), "one was made");
    assert!(source.source_id.starts_with("src_"));
    assert_eq!(source.tenant_id, deployment.tenant_id);
    assert_eq!(source.settings, Some(settings));
    assert_eq!(source.state(), SourceState::Enabled);
    let url = format!("https://hooks.example.com/in/{}", source.source_id);
    assert_eq!(source.url, url);
    assert!(source.covers_body);
    assert_eq!(source.secrets.len(), 1);
    assert_eq!(source.secrets[0].fingerprint.len(), 8);
    assert!(source.created_at.is_some() && source.updated_at == source.created_at);
    assert_eq!(get(admin, &source.source_id).await, source);

    let least = made(admin, standard()).await.source;
    let least = least.expect("the answer holds the source").settings;
    let least = least.expect("a source has settings");
    assert_eq!(
        (least.body_bytes_max, least.rate_per_second),
        (1_048_576, 0)
    );
    let only_polled = made(admin, polled()).await;
    let source = only_polled.source.expect("the answer holds the source");
    assert_eq!((source.url.as_str(), only_polled.secret.as_str()), ("", ""));
    assert!(source.secrets.is_empty());
}

async fn an_update_changes_what_the_mask_names_and_nothing_else(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let before = SourceSettings {
        name: "before".to_owned(),
        rate_per_second: 7,
        ..standard()
    };
    let source = made(&deployment.admin, before).await.source;
    let source = source.expect("the answer holds the source");
    let changes = SourceSettings {
        name: "after".to_owned(),
        rate_per_second: 9,
        ignore_time: true,
        ..SourceSettings::default()
    };
    let mut sources = deployment.admin.sources();
    let request = update(&source, changes.clone(), &["name", "ignore_time"]);
    let after = sources.update_source(request).await.expect("it is changed");
    let after = after.into_inner().source;
    let after = after.expect("the answer holds the source");
    assert_ne!(after.etag, source.etag);
    assert_eq!(after.secrets, source.secrets);
    let expected = SourceSettings {
        name: "after".to_owned(),
        ignore_time: true,
        ..source.settings.clone().expect("a source has settings")
    };
    assert_eq!(after.settings, Some(expected));
    assert_eq!(get(&deployment.admin, &after.source_id).await, after);
    for paths in [
        &[][..],
        &["provider"],
        &["name", "name"],
        &["settings.name"],
        &["nonsense"],
    ] {
        let request = update(&after, changes.clone(), paths);
        let result = sources.update_source(request).await;
        assert_invalid(&format!("{paths:?}"), result, "update_mask");
    }
}

async fn a_change_needs_the_current_etag(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let source = made(&deployment.admin, standard()).await.source;
    let source = source.expect("the answer holds the source");
    let mut sources = deployment.admin.sources();
    let good = update(&source, standard(), &["rate_per_second"]);
    let none = UpdateSourceRequest {
        etag: String::new(),
        ..good.clone()
    };
    assert_invalid("no etag", sources.update_source(none).await, "etag");
    sources
        .update_source(good.clone())
        .await
        .expect("the current etag");
    let result = sources.update_source(good).await;
    assert_refused("an old etag", result, Code::Aborted);
}

async fn a_source_changes_its_state(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let source = made(&deployment.admin, standard()).await.source;
    let source = source.expect("the answer holds the source");
    let mut sources = deployment.admin.sources();
    for (state, reason) in [
        (SourceState::Paused, "moving house"),
        (SourceState::Paused, "moving house"),
        (SourceState::Disabled, ""),
        (SourceState::Enabled, ""),
    ] {
        let answer = sources.set_source_state(set_state(&source, state, reason));
        let shown = answer.await.expect("it is set").into_inner().source;
        let shown = shown.expect("the answer holds the source");
        assert_eq!(
            (shown.state(), shown.state_reason.as_str()),
            (state, reason)
        );
        assert_eq!(get(&deployment.admin, &source.source_id).await, shown);
    }
    let none = set_state(&source, SourceState::Unspecified, "");
    assert_invalid("no state", sources.set_source_state(none).await, "state");
    let other = SetSourceStateRequest {
        state: 4,
        ..set_state(&source, SourceState::Paused, "")
    };
    assert_invalid("state 4", sources.set_source_state(other).await, "state");
    let long = set_state(&source, SourceState::Paused, &"x".repeat(501));
    assert_invalid("long", sources.set_source_state(long).await, "reason");
}

async fn a_deleted_source_is_gone_and_its_name_is_free(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let named = SourceSettings {
        name: "the one".to_owned(),
        ..standard()
    };
    let source = made(&deployment.admin, named.clone()).await.source;
    let source = source.expect("the answer holds the source");
    let mut sources = deployment.admin.sources();
    let repeatable = DeleteSourceRequest {
        request_id: "once".to_owned(),
        ..delete(&source)
    };
    for _ in 0..2 {
        let answer = sources.delete_source(repeatable.clone()).await;
        answer.expect("it is deleted, once");
    }
    let again = sources.delete_source(delete(&source)).await;
    assert_refused("deleted", again, Code::NotFound);
    let paused = set_state(&source, SourceState::Paused, "");
    let result = sources.set_source_state(paused).await;
    assert_refused("deleted", result, Code::NotFound);
    let nobodys = DeleteSourceRequest {
        source_id: unknown::SOURCE.to_owned(),
        ..delete(&source)
    };
    let result = sources.delete_source(nobodys).await;
    assert_refused("nobody's", result, Code::NotFound);
    let no_id = DeleteSourceRequest {
        source_id: source.source_id.replace("src_", "ep_"),
        ..delete(&source)
    };
    assert_invalid("no id", sources.delete_source(no_id).await, "source_id");
    made(&deployment.admin, named).await;
}

async fn a_name_is_taken_once_even_in_parallel(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let named = SourceSettings {
        name: "the one".to_owned(),
        ..standard()
    };
    let mut calls = JoinSet::new();
    for _ in 0..10 {
        let mut sources = deployment.admin.sources();
        let request = create(&deployment.admin, named.clone());
        calls.spawn(async move { sources.create_source(request).await });
    }
    let (made_ones, refused): (Vec<_>, Vec<_>) =
        calls.join_all().await.into_iter().partition(Result::is_ok);
    assert_eq!(made_ones.len(), 1);
    for result in refused {
        assert_refused("a name in use", result, Code::AlreadyExists);
    }
    // Another tenant can use it, and sources without a name are no trouble to each other.
    let other = deployment.admin.create_tenant("other").await;
    made(&deployment.admin.for_tenant(&other), named.clone()).await;
    let one = made(&deployment.admin, standard()).await.source;
    let one = one.expect("the answer holds the source");
    made(&deployment.admin, standard()).await;
    let renamed = update(&one, named, &["name"]);
    let result = deployment.admin.sources().update_source(renamed).await;
    assert_refused("a name in use", result, Code::AlreadyExists);
}

async fn sources_are_listed_in_pages(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let mut ids = BTreeSet::new();
    for _ in 0..7 {
        let source = made(&deployment.admin, standard()).await.source;
        ids.insert(source.expect("the answer holds the source").source_id);
    }
    let other = deployment.admin.create_tenant("other").await;
    made(&deployment.admin.for_tenant(&other), standard()).await;
    let mut sources = deployment.admin.sources();
    let ask = |page_size, page_token: &str| ListSourcesRequest {
        tenant_id: deployment.tenant_id.clone(),
        page_size,
        page_token: page_token.to_owned(),
    };
    let mut listed = Vec::new();
    let mut token = String::new();
    loop {
        let page = sources.list_sources(ask(3, &token)).await;
        let page = page.expect("they are listed").into_inner();
        for source in page.sources {
            assert_eq!(get(&deployment.admin, &source.source_id).await, source);
            listed.push(source.source_id);
        }
        if page.next_page_token.is_empty() {
            break;
        }
        token = page.next_page_token;
    }
    assert_eq!(listed, ids.into_iter().collect::<Vec<_>>());
    let negative = sources.list_sources(ask(-1, "")).await;
    assert_invalid("-1", negative, "page_size");
    let of_other = ListSourcesRequest {
        tenant_id: other,
        ..ask(3, &token)
    };
    let result = sources.list_sources(of_other).await;
    assert_invalid("another tenant's", result, "page_token");
}

async fn a_tenant_with_sources_stays(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let tenant_id = deployment.admin.create_tenant("other").await;
    let other = deployment.admin.for_tenant(&tenant_id);
    let source = made(&other, standard()).await.source;
    let source = source.expect("the answer holds the source");
    let request = DeleteTenantRequest {
        tenant_id,
        ..DeleteTenantRequest::default()
    };
    let mut tenants = deployment.admin.tenants();
    let result = tenants.delete_tenant(request.clone()).await;
    assert_refused("with a source", result, Code::FailedPrecondition);
    let deleted = other.sources().delete_source(delete(&source)).await;
    deleted.expect("it is deleted");
    let gone = tenants.delete_tenant(request).await;
    gone.expect("nothing holds it any more");
}
