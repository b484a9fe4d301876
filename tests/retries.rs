//! Failed attempts: when they are tried again, and when they are given up.

mod answers;
mod bulkheads;
mod pauses;
mod schedule;

use posthorn::v1::{Attempt, EndpointSettings, ExplicitRetry, RetryPolicy, retry_policy::Schedule};
use posthorn_harness::{Answer, Deployment};

use crate::support::time::millis;

/// Retries with these delays in milliseconds.
fn explicit(delays: &[u64]) -> RetryPolicy {
    let delays = delays.iter().map(|&delay| millis(delay)).collect();
    RetryPolicy {
        schedule: Some(Schedule::Explicit(ExplicitRetry { delays })),
    }
}

fn settings(url: String, policy: RetryPolicy) -> EndpointSettings {
    EndpointSettings {
        url,
        subscriptions: vec!["*".to_owned()],
        retry_policy: Some(policy),
        timeout: Some(millis(1_000)),
        ..EndpointSettings::default()
    }
}

/// Makes an endpoint at `path` that answers like this, with these delays, and emits one event to it.
async fn one_event(deployment: &Deployment, path: &str, answer: Answer, delays: &[u64]) -> String {
    deployment.receiver.answer(path, answer);
    let settings = EndpointSettings {
        subscriptions: vec![format!("to{}", path.replace('/', "."))],
        ..settings(deployment.receiver.url(path), explicit(delays))
    };
    let event_type = settings.subscriptions[0].clone();
    deployment.admin.create_endpoint_with(settings).await;
    deployment.admin.emit(&event_type, "{}").await.event_id
}

fn numbers(attempts: &[Attempt]) -> Vec<u32> {
    attempts.iter().map(|attempt| attempt.number).collect()
}
