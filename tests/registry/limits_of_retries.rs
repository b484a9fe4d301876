//! What a retry policy may not be.

use posthorn::v1::{
    EndpointSettings, ExplicitRetry, ExponentialRetry, RetryPolicy, retry_policy::Schedule,
};
use posthorn_harness::{Deployment, StoreKind};
use prost_types::Duration;

use super::{create, settings};
use crate::support::time::millis;

on_both! {
    retry_policies_out_of_their_limits_are_refused,
}

async fn retry_policies_out_of_their_limits_are_refused(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    for (what, schedule) in bad_schedules() {
        let settings = EndpointSettings {
            retry_policy: Some(RetryPolicy { schedule }),
            ..settings(&deployment, "/")
        };
        let request = create(&deployment, settings);
        let result = deployment.admin.endpoints().create_endpoint(request).await;
        let refusal = crate::support::refusal::refusal(&what, result);
        assert_eq!(
            refusal.code,
            tonic::Code::InvalidArgument,
            "{what}: {refusal:?}"
        );
        let within = |field: &String| field.starts_with("settings.retry_policy");
        assert!(refusal.fields.iter().all(within), "{what}: {refusal:?}");
        assert!(!refusal.fields.is_empty(), "{what}: {refusal:?}");
    }
}

/// A good exponential schedule, to be spoilt.
fn exponential() -> ExponentialRetry {
    ExponentialRetry {
        initial: Some(millis(1_000)),
        factor: 2.0,
        max: Some(millis(60_000)),
        attempts: 5,
    }
}

fn bad_schedules() -> Vec<(String, Option<Schedule>)> {
    let mut cases = vec![("none".to_owned(), None)];
    for preset in [0, 3, -1, 1_000] {
        cases.push((format!("preset {preset}"), Some(Schedule::Preset(preset))));
    }
    let mut add =
        |what: String, schedule| cases.push((what, Some(Schedule::Exponential(schedule))));
    for initial in [
        None,
        Some(millis(0)),
        Some(millis(99)),
        Some(millis(86_400_001)),
    ] {
        add(
            format!("initial {initial:?}"),
            ExponentialRetry {
                initial,
                ..exponential()
            },
        );
    }
    for factor in [0.0, 0.5, 0.999, 10.1, -2.0, f64::NAN, f64::INFINITY] {
        add(
            format!("factor {factor}"),
            ExponentialRetry {
                factor,
                ..exponential()
            },
        );
    }
    for max in [None, Some(millis(999)), Some(millis(7 * 86_400_000 + 1))] {
        add(
            format!("max {max:?}"),
            ExponentialRetry {
                max,
                ..exponential()
            },
        );
    }
    for attempts in [0, 101, u32::MAX] {
        add(
            format!("attempts {attempts}"),
            ExponentialRetry {
                attempts,
                ..exponential()
            },
        );
    }
    let negative = Duration {
        seconds: -1,
        nanos: 0,
    };
    for (what, delays) in [
        ("100 delays", vec![millis(1); 100]),
        (
            "a delay over 7 days",
            vec![millis(1), millis(7 * 86_400_000 + 1)],
        ),
        ("a negative delay", vec![negative]),
    ] {
        cases.push((
            what.to_owned(),
            Some(Schedule::Explicit(ExplicitRetry { delays })),
        ));
    }
    cases
}
