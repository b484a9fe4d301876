//! The secrets of sources: made or given, rotated, and never shown again.

use posthorn::v1::{
    CreateSourceRequest, Header, PollSettings, RotateSourceSecretRequest, Source, SourceSettings,
    UpdateSourceRequest,
};
use posthorn_harness::{Deployment, StoreKind};
use prost_types::Duration;
use tonic::Code;

use super::sources::{create, get, made, standard, update};
use crate::support::{
    refusal::{assert_invalid, assert_refused},
    time::millis,
    unknown,
};

on_both! {
    a_secret_is_shown_once_and_only_when_it_was_made,
    secrets_have_the_form_that_the_scheme_wants,
    a_repeated_request_is_done_once_and_shows_no_secret,
    a_rotation_keeps_the_old_secret_for_the_overlap,
    case_5_a_shorter_overlap_shortens_those_before_it_and_a_longer_one_changes_none,
    ten_secrets_are_valid_at_once,
    a_poll_secret_goes_nowhere_else_with_a_changed_url,
}

/// A secret in the form of Standard Webhooks.
fn secret(letter: char) -> String {
    format!("whsec_{}", letter.to_string().repeat(32))
}

fn rotate(source: &Source, secret: &str) -> RotateSourceSecretRequest {
    RotateSourceSecretRequest {
        tenant_id: source.tenant_id.clone(),
        source_id: source.source_id.clone(),
        secret: secret.to_owned(),
        ..RotateSourceSecretRequest::default()
    }
}

fn seconds(seconds: i64) -> Duration {
    Duration { seconds, nanos: 0 }
}

async fn a_secret_is_shown_once_and_only_when_it_was_made(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let admin = &deployment.admin;
    let one = made(admin, standard()).await;
    let other = made(admin, standard()).await;
    assert!(one.secret.starts_with("whsec_") && one.secret != other.secret);
    let request = CreateSourceRequest {
        secrets: vec![secret('A'), secret('B')],
        ..create(admin, standard())
    };
    let given = admin.sources().create_source(request).await;
    let given = given.expect("it is made").into_inner();
    assert_eq!(given.secret, "");
    let source = given.source.expect("the answer holds the source");
    assert_eq!(source.secrets.len(), 2);
    assert_ne!(source.secrets[0].fingerprint, source.secrets[1].fingerprint);
    // The same secret has the same fingerprint, so an operator can tell which it is.
    let again = CreateSourceRequest {
        secrets: vec![secret('A')],
        ..create(admin, standard())
    };
    let again = admin.sources().create_source(again).await;
    let again = again.expect("it is made").into_inner().source;
    let again = again.expect("the answer holds the source");
    assert_eq!(again.secrets[0].fingerprint, source.secrets[0].fingerprint);
}

async fn secrets_have_the_form_that_the_scheme_wants(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let mut sources = deployment.admin.sources();
    let with = |provider: &str, secrets: &[&str]| CreateSourceRequest {
        secrets: secrets.iter().map(|&secret| secret.to_owned()).collect(),
        ..create(
            &deployment.admin,
            SourceSettings {
                provider: provider.to_owned(),
                ..SourceSettings::default()
            },
        )
    };
    let good = secret('A');
    let long = "x".repeat(8_193);
    for bad in ["", "whsec_", "whsec_YQ==", "not base64", &long] {
        let request = with("standard_webhooks", &[&good, bad]);
        let result = sources.create_source(request).await;
        assert_invalid(&format!("{bad:.12?}"), result, "secrets[1]");
    }
    let twice = with("standard_webhooks", &[&good, &good]);
    assert_invalid("twice", sources.create_source(twice).await, "secrets[1]");
    let many = with("standard_webhooks", &[good.as_str(); 11]);
    assert_invalid("eleven", sources.create_source(many).await, "secrets");
    // Stripe's are made by Stripe.
    let none = with("stripe", &[]);
    assert_invalid("none", sources.create_source(none).await, "secrets");
    let source = sources.create_source(with("stripe", &["a"])).await;
    let source = source.expect("it is made").into_inner().source;
    let source = source.expect("the answer holds the source");
    let result = sources.rotate_source_secret(rotate(&source, "")).await;
    assert_invalid("none", result, "secret");
    let result = sources.rotate_source_secret(rotate(&source, &long)).await;
    assert_invalid("too long", result, "secret");
}

async fn a_repeated_request_is_done_once_and_shows_no_secret(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let mut sources = deployment.admin.sources();
    let request = CreateSourceRequest {
        request_id: "once".to_owned(),
        ..create(&deployment.admin, standard())
    };
    let first = sources.create_source(request.clone()).await;
    let first = first.expect("it is made").into_inner();
    let repeat = sources.create_source(request.clone()).await;
    let repeat = repeat.expect("it was made").into_inner();
    assert_eq!(
        (first.source.clone(), ""),
        (repeat.source, repeat.secret.as_str())
    );
    assert!(!first.secret.is_empty());
    let other = CreateSourceRequest {
        secrets: vec![secret('A')],
        ..request
    };
    let result = sources.create_source(other).await;
    assert_refused("another content", result, Code::AlreadyExists);

    let source = first.source.expect("the answer holds the source");
    let request = RotateSourceSecretRequest {
        request_id: "once".to_owned(),
        ..rotate(&source, "")
    };
    let first = sources.rotate_source_secret(request.clone()).await;
    let first = first.expect("it is rotated").into_inner();
    let repeat = sources.rotate_source_secret(request).await;
    let repeat = repeat.expect("it was rotated").into_inner();
    assert_eq!((first.source, ""), (repeat.source, repeat.secret.as_str()));
    assert!(!first.secret.is_empty());
}

async fn a_rotation_keeps_the_old_secret_for_the_overlap(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let source = made(&deployment.admin, standard()).await.source;
    let source = source.expect("the answer holds the source");
    let mut sources = deployment.admin.sources();
    let rotated = sources
        .rotate_source_secret(rotate(&source, &secret('A')))
        .await;
    let rotated = rotated.expect("it is rotated").into_inner();
    assert_eq!(rotated.secret, "", "it was given");
    let after = rotated.source.expect("the answer holds the source");
    assert_ne!(after.etag, source.etag);
    let [new, old] = &after.secrets[..] else {
        panic!("the overlap is a day: {after:?}");
    };
    assert!(new.retires_at.is_none() && old.retires_at.is_some());
    assert_eq!(old.fingerprint, source.secrets[0].fingerprint);
    assert_eq!(get(&deployment.admin, &source.source_id).await, after);

    let at_once = RotateSourceSecretRequest {
        overlap: Some(seconds(0)),
        ..rotate(&source, "")
    };
    let rotated = sources.rotate_source_secret(at_once).await;
    let rotated = rotated.expect("it is rotated").into_inner();
    assert!(rotated.secret.starts_with("whsec_"));
    let last = rotated.source.expect("the answer holds the source");
    assert_eq!(last.secrets.len(), 1, "all older ones have ended");
    assert_ne!(last.secrets[0].fingerprint, new.fingerprint);

    for overlap in [seconds(-1), seconds(7 * 86_400 + 1)] {
        let request = RotateSourceSecretRequest {
            overlap: Some(overlap),
            ..rotate(&source, "")
        };
        let result = sources.rotate_source_secret(request).await;
        assert_invalid(&format!("{overlap:?}"), result, "overlap");
    }
    let nobodys = RotateSourceSecretRequest {
        source_id: unknown::SOURCE.to_owned(),
        ..rotate(&source, "")
    };
    let result = sources.rotate_source_secret(nobodys).await;
    assert_refused("nobody's", result, Code::NotFound);
}

async fn case_5_a_shorter_overlap_shortens_those_before_it_and_a_longer_one_changes_none(
    store: StoreKind,
) {
    let deployment = Deployment::start(store).await;
    let source = made(&deployment.admin, standard()).await.source;
    let source = source.expect("the answer holds the source");
    let mut sources = deployment.admin.sources();
    let mut rotate_for = async |overlap: i64| {
        let request = RotateSourceSecretRequest {
            overlap: Some(seconds(overlap)),
            ..rotate(&source, "")
        };
        let rotated = sources.rotate_source_secret(request).await;
        let after = rotated.expect("it is rotated").into_inner().source;
        let known = after.expect("the answer holds the source").secrets;
        let ends = known.into_iter().filter_map(|secret| secret.retires_at);
        ends.map(|end| end.seconds).collect::<Vec<_>>()
    };
    let week = rotate_for(7 * 86_400).await;
    let hour = rotate_for(3_600).await;
    assert_eq!(hour.len(), 2);
    assert!(hour.iter().all(|end| *end < week[0]), "{hour:?} {week:?}");
    let day = rotate_for(86_400).await;
    assert_eq!(day.len(), 3);
    let kept = day.iter().filter(|end| hour.contains(end)).count();
    assert_eq!(kept, 2, "{day:?} {hour:?}");
}

async fn ten_secrets_are_valid_at_once(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let source = made(&deployment.admin, standard()).await.source;
    let source = source.expect("the answer holds the source");
    let mut sources = deployment.admin.sources();
    for _ in 0..9 {
        let rotated = sources.rotate_source_secret(rotate(&source, "")).await;
        rotated.expect("there is room");
    }
    let result = sources.rotate_source_secret(rotate(&source, "")).await;
    assert_refused("the eleventh", result, Code::FailedPrecondition);
    let at_once = RotateSourceSecretRequest {
        overlap: Some(seconds(0)),
        ..rotate(&source, "")
    };
    let shown = get(&deployment.admin, &source.source_id).await;
    assert_eq!(shown.secrets.len(), 10);
    // What the refusal advises.
    let rotated = sources.rotate_source_secret(at_once).await;
    rotated.expect("all older ones end");
    let shown = get(&deployment.admin, &source.source_id).await;
    assert_eq!(shown.secrets.len(), 1);
}

async fn a_poll_secret_goes_nowhere_else_with_a_changed_url(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let poll = |url: &str| SourceSettings {
        poll: Some(PollSettings {
            url: url.to_owned(),
            headers: vec![Header {
                name: "authorization".to_owned(),
                value: "Bearer {secret}".to_owned(),
            }],
            interval: Some(millis(86_400_000)),
            ..PollSettings::default()
        }),
        ..standard()
    };
    let here = poll("http://127.0.0.2:40000/a");
    let mut sources = deployment.admin.sources();
    let without = create(&deployment.admin, here.clone());
    let result = sources.create_source(without.clone()).await;
    assert_invalid("no secret", result, "poll_secret");
    let idle = CreateSourceRequest {
        poll_secret: "s3cret".to_owned(),
        ..create(&deployment.admin, standard())
    };
    let result = sources.create_source(idle).await;
    assert_invalid("nothing to poll", result, "poll_secret");
    let with = CreateSourceRequest {
        poll_secret: "s3cret".to_owned(),
        ..without
    };
    let source = sources.create_source(with).await;
    let source = source.expect("it is made").into_inner().source;
    let source = source.expect("the answer holds the source");
    assert_eq!(source.secrets.len(), 1, "it verifies nothing");

    let same = update(&source, poll("http://127.0.0.2:40000/b"), &["poll"]);
    let source = sources.update_source(same).await;
    let source = source.expect("the host is the same").into_inner().source;
    let source = source.expect("the answer holds the source");
    let elsewhere = update(&source, poll("http://127.0.0.3:40000/b"), &["poll"]);
    let result = sources.update_source(elsewhere.clone()).await;
    assert_invalid("to another host", result, "poll_secret");
    let anew = UpdateSourceRequest {
        poll_secret: "given again".to_owned(),
        ..elsewhere
    };
    let answer = sources.update_source(anew).await;
    let source = answer.expect("the secret is given again").into_inner();
    let source = source.source.expect("the answer holds the source");
    let alone = UpdateSourceRequest {
        poll_secret: "another".to_owned(),
        update_mask: None,
        ..update(&source, SourceSettings::default(), &[])
    };
    let answer = sources.update_source(alone).await;
    let after = answer.expect("the secret alone").into_inner().source;
    let after = after.expect("the answer holds the source");
    assert_eq!(after.settings, source.settings);
}
