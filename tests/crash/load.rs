//! The load: emitters that repeat each event under its key until it is acknowledged.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use posthorn::v1::{EmitEventRequest, EmitEventResponse};
use posthorn_harness::Client;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{interval, timeout},
};
use tonic::{Code, Request, Status};

use super::SETTLING;

/// How many emitters run at one time.
const EMITTERS: usize = 8;

/// How long one call may take before its emitter tries again.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long an emitter waits before it tries again.
const PAUSE: Duration = Duration::from_millis(10);

/// The numbers of the events by the ids under which they were acknowledged.
pub(super) type Acknowledged = BTreeMap<String, usize>;

/// Emitters at work.
pub(super) struct Load {
    shared: Arc<Shared>,
    emitters: JoinSet<()>,
}

struct Shared {
    next: AtomicUsize,
    count: usize,
    acknowledged: Mutex<Acknowledged>,
    progress: watch::Sender<usize>,
}

impl Load {
    /// Begins to emit so many events, numbered from 0.
    pub(super) fn start(client: &Client, count: usize) -> Self {
        let shared = Arc::new(Shared {
            next: AtomicUsize::new(0),
            count,
            acknowledged: Mutex::default(),
            progress: watch::Sender::new(0),
        });
        let mut emitters = JoinSet::new();
        for _ in 0..EMITTERS {
            emitters.spawn(emit_all(client.clone(), Arc::clone(&shared)));
        }
        Self { shared, emitters }
    }

    /// How many events are acknowledged.
    pub(super) fn done(&self) -> usize {
        *self.shared.progress.borrow()
    }

    /// Waits until so many events are acknowledged.
    pub(super) async fn acknowledged(&self, count: usize) {
        let mut progress = self.shared.progress.subscribe();
        let waiting = progress.wait_for(|done| *done >= count);
        let done = timeout(SETTLING, waiting).await;
        done.expect("the emitters get on")
            .expect("the emitters live");
    }

    /// Waits until all are acknowledged.
    pub(super) async fn finish(self) -> Acknowledged {
        self.emitters.join_all().await;
        let mut acknowledged = self.shared.acknowledged.lock();
        let acknowledged = acknowledged.as_mut().expect("no emitter panicked");
        std::mem::take(&mut **acknowledged)
    }
}

async fn emit_all(client: Client, shared: Arc<Shared>) {
    loop {
        let number = shared.next.fetch_add(1, Ordering::Relaxed);
        if number >= shared.count {
            return;
        }
        let answer = emit(&client, number).await;
        let mut acknowledged = shared
            .acknowledged
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let before = acknowledged.insert(answer.event_id, number);
        assert_eq!(before, None, "one id for two events");
        let done = acknowledged.len();
        drop(acknowledged);
        shared.progress.send_replace(done);
    }
}

/// Emits one event, again and again until it is acknowledged.
async fn emit(client: &Client, number: usize) -> EmitEventResponse {
    let event = EmitEventRequest {
        idempotency_key: format!("event-{number}"),
        ..client.event("load.made", number.to_string())
    };
    let trying = async {
        let mut pauses = interval(PAUSE);
        loop {
            pauses.tick().await;
            let mut request = Request::new(event.clone());
            request.set_timeout(PATIENCE);
            match client.events().emit_event(request).await {
                Ok(answer) => return answer.into_inner(),
                Err(status) => assert_passing(&status),
            }
        }
    };
    let answer = timeout(SETTLING, trying).await;
    answer.unwrap_or_else(|_| panic!("event {number} is not acknowledged within {SETTLING:?}"))
}

/// A kill may cost time, but must not look like a fault of the caller.
fn assert_passing(status: &Status) {
    let callers = [
        Code::InvalidArgument,
        Code::NotFound,
        Code::AlreadyExists,
        Code::PermissionDenied,
        Code::Unauthenticated,
        Code::FailedPrecondition,
        Code::Unimplemented,
    ];
    assert!(!callers.contains(&status.code()), "{status:?}");
}
