//! One tenant's keys make all the calls that they can: creations whose caller is gone at once, and lists that match
//! nothing. What another tenant notices, whether the control plane stays ready, and how soon a revocation works.

use std::time::{Duration, Instant};

use posthorn::v1::{
    CreateApiKeyRequest, CreateEventTypeRequest, DeliveryState, EmitEventsRequest,
    EmitEventsResponse, ListDeliveriesRequest, ListEventsRequest, RevokeApiKeyRequest, Role,
};
use posthorn_harness::Client;
use tokio::{
    runtime::{Builder, Runtime},
    sync::mpsc,
    time::timeout,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Streaming};

use super::honest::{self, Served};
use crate::{
    report::Measure,
    scenario::emit::stream,
    settings::Settings,
    stage::{Caller, Stage},
    wire::PATIENCE,
};

/// What the attacker's tenant has emitted before: lists have something to look through.
const EVENTS: u64 = 200_000;
/// How many lists the attacker asks for at one time.
const LISTS: usize = 64;
/// How many creations it begins at one time, and how long it waits for each.
const CREATIONS: usize = 500;
const CREATION_WITHIN: Duration = Duration::from_millis(100);
/// How long one who was refused waits before it tries again.
const PAUSE: Duration = Duration::from_millis(20);
/// How often a revoked key is tried.
const TRY_EACH: Duration = Duration::from_millis(5);

pub(super) async fn run(settings: &Settings) -> Vec<Measure> {
    let duration = Duration::from_secs(u64::from(settings.seconds));
    let stage = Stage::start(settings.store).await;
    let honest = stage.connect().await;
    honest::prepare(&honest).await;
    let caller = stage.tenant("attacker").await;
    let attacker = caller.connect().await;
    let attacker = attacker.expect("the control plane accepts connections");
    stream(
        &attacker,
        settings,
        "attack.old",
        settings.events.unwrap_or(EVENTS),
    )
    .await;
    stage.settle().await;

    let calm = honest::day(&honest, duration).await;
    let stolen = Stolen::new(&stage, &attacker).await;
    let flood = Flood::start(caller).await;
    let (beside, ready, revoked) = tokio::join!(
        honest::day(&honest, duration),
        honest::readiness(&stage, duration),
        stolen.revoked(&stage, duration / 2),
    );
    drop(flood);
    measures(&calm, &beside, ready, &revoked)
}

/// Everything that the attacker does, until dropped: on threads of its own, so that the honest callers in this process do
/// not wait for its tasks.
struct Flood(Option<Runtime>);

impl Flood {
    async fn start(attacker: Caller) -> Self {
        let runtime = Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.expect("a runtime can be made");
        let connected = runtime.spawn(async move { attacker.connect().await });
        let attacker = connected.await.expect("connecting does not panic");
        let attacker = attacker.expect("the control plane accepts connections");
        for number in 0..LISTS {
            runtime.spawn(list_for_ever(attacker.clone(), number));
        }
        for _ in 0..CREATIONS {
            runtime.spawn(create_for_ever(attacker.clone()));
        }
        Self(Some(runtime))
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

async fn list_for_ever(attacker: Client, number: usize) {
    loop {
        let refused = if number.is_multiple_of(2) {
            let request = ListEventsRequest {
                tenant_id: attacker.tenant_id.clone(),
                event_type: "attack.none".to_owned(),
                page_size: 500,
                ..ListEventsRequest::default()
            };
            attacker.events().list_events(request).await.is_err()
        } else {
            let request = ListDeliveriesRequest {
                tenant_id: attacker.tenant_id.clone(),
                state: DeliveryState::Dead.into(),
                page_size: 500,
                ..ListDeliveriesRequest::default()
            };
            attacker
                .deliveries()
                .list_deliveries(request)
                .await
                .is_err()
        };
        if refused {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

async fn create_for_ever(attacker: Client) {
    loop {
        let mut request = Request::new(CreateEventTypeRequest {
            tenant_id: attacker.tenant_id.clone(),
            name: honest::new_name(),
            ..CreateEventTypeRequest::default()
        });
        request.set_timeout(CREATION_WITHIN);
        if attacker
            .event_types()
            .create_event_type(request)
            .await
            .is_err()
        {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// One of the attacker's keys, in the hands of somebody who has a stream open.
struct Stolen {
    key_id: String,
    client: Client,
    answers: Streaming<EmitEventsResponse>,
    /// Keeps the stream open from this side.
    _requests: mpsc::Sender<EmitEventsRequest>,
}

/// How long a key and its stream went on after `RevokeApiKey` was called.
struct Revoked {
    answer: Duration,
    calls: Duration,
    stream: Duration,
}

impl Stolen {
    async fn new(stage: &Stage, attacker: &Client) -> Self {
        let request = CreateApiKeyRequest {
            tenant_id: attacker.tenant_id.clone(),
            name: "stolen".to_owned(),
            roles: vec![Role::Admin.into()],
            ..CreateApiKeyRequest::default()
        };
        let created = stage.admin.api_keys().create_api_key(request).await;
        let created = created.expect("a key can be made").into_inner();
        let key = &created.api_key;
        let client = stage.connect_with(&attacker.tenant_id, key).await;
        let (requests, receiver) = mpsc::channel(1);
        let mut events = client.events();
        let answers = events.emit_events(ReceiverStream::new(receiver)).await;
        Self {
            key_id: created.key.expect("the answer holds the key").key_id,
            client,
            answers: answers.expect("the stream opens").into_inner(),
            _requests: requests,
        }
    }

    /// Revokes it after a while, in the middle of the flood.
    async fn revoked(mut self, stage: &Stage, after: Duration) -> Revoked {
        tokio::time::sleep(after).await;
        let began = Instant::now();
        let answer = async {
            let request = RevokeApiKeyRequest {
                key_id: self.key_id,
            };
            let mut api_keys = stage.admin.api_keys();
            let _answer = timeout(PATIENCE, api_keys.revoke_api_key(request)).await;
            began.elapsed()
        };
        let calls = async {
            while began.elapsed() < PATIENCE && !is_refused(&self.client).await {
                tokio::time::sleep(TRY_EACH).await;
            }
            began.elapsed()
        };
        let stream = async {
            let _end = timeout(PATIENCE, self.answers.message()).await;
            began.elapsed()
        };
        let (answer, calls, stream) = tokio::join!(answer, calls, stream);
        Revoked {
            answer,
            calls,
            stream,
        }
    }
}

/// Whether the key is no longer known.
async fn is_refused(client: &Client) -> bool {
    let request = ListEventsRequest {
        tenant_id: client.tenant_id.clone(),
        page_size: 1,
        ..ListEventsRequest::default()
    };
    let listed = client.events().list_events(request).await;
    listed.is_err_and(|status| status.code() == Code::Unauthenticated)
}

fn measures(calm: &Served, beside: &Served, ready: f64, revoked: &Revoked) -> Vec<Measure> {
    let (calm_ms, beside_ms) = (calm.quantile_ms(0.99), beside.quantile_ms(0.99));
    let seconds = |name: &str, duration: Duration| {
        Measure::new(name, "s", duration.as_secs_f64()).at_most(1.0, 0.2)
    };
    vec![
        Measure::new("another tenant alone, p99", "ms", calm_ms),
        Measure::new("another tenant beside the flood, p99", "ms", beside_ms),
        Measure::new("the second in terms of the first", "", beside_ms / calm_ms).at_most(2.0, 1.5),
        Measure::new(
            "of its calls refused or failed",
            "",
            beside.refused() / beside.count(),
        )
        .at_most(0.0, 0.0),
        Measure::new("readiness during the flood", "", ready).at_least(1.0, 1.0),
        seconds("until RevokeApiKey was answered", revoked.answer),
        seconds("until the revoked key's calls were refused", revoked.calls),
        seconds("until the revoked key's stream ended", revoked.stream),
    ]
}
