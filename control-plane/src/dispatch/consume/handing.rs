//! Handing out: credit on one side, deliveries on the other.

use std::time::Duration;

use posthorn::v1::{self, consume_response::Message as ToConsumer};
use prost::Message as _;
use prost_types::Timestamp;

use super::session::{Session, StreamEnd};
use crate::{
    clock,
    dispatch::scheduler::Grant,
    model::{endpoint::Handler, event::Event, id::EndpointId},
};

/// How many deliveries are taken at one time: what one stream takes, its group's other streams cannot.
const TAKE_MAX: usize = 64;
/// How many of them are read from the database at one time: payloads may be large.
const LOAD_MAX: usize = 8;
/// How many bytes of handouts one message carries, one handout at least.
const BYTES_PER_MESSAGE: usize = 2 * 1_024 * 1_024;
/// How long handing out waits after the database failed to give a payload.
const LOAD_PAUSE: Duration = Duration::from_millis(200);

/// A handout that is written, with its endpoint's time for it in milliseconds.
struct Written {
    handout: v1::Handout,
    grant: Grant,
    within_ms: u64,
}

impl Session {
    /// Hands out while there is credit and something to hand out.
    pub(super) async fn hand(&self, endpoints: &[EndpointId]) -> StreamEnd {
        let mut order = endpoints.to_vec();
        loop {
            let grants = self.take(&order);
            if grants.is_empty() {
                self.bell.notified().await;
                continue;
            }
            // The next turn begins with another handler.
            order.rotate_left(1);
            for grants in grants.chunks(LOAD_MAX) {
                let written = self.write(grants).await;
                self.send_handouts(written).await?;
            }
        }
    }

    /// Leases as much as credit allows.
    fn take(&self, endpoints: &[EndpointId]) -> Vec<Grant> {
        let dispatch = &self.dispatch;
        let uptime = dispatch.uptime_ms();
        let mut scheduler = dispatch.scheduler();
        let mut held = self.held();
        let room = held.room().min(TAKE_MAX);
        if room == 0 {
            return Vec::new();
        }
        let now = (clock::now_ms(), uptime);
        let grants = scheduler.take_from(endpoints, (room, held.suspects()), self.consumer_id, now);
        for grant in &grants {
            held.take(grant, uptime);
        }
        grants
    }

    /// Reads the events of leases and writes their handouts. What cannot be written goes back.
    async fn write(&self, grants: &[Grant]) -> Vec<Written> {
        let loaded = match self.dispatch.load_events(grants).await {
            Ok(loaded) => loaded,
            Err(error) => {
                tracing::warn!(error = ?error, "could not read payloads; the handouts go back");
                self.give_back(grants);
                tokio::time::sleep(LOAD_PAUSE).await;
                return Vec::new();
            }
        };
        let registry = self.dispatch.0.registry.snapshot();
        let mut written = Vec::with_capacity(grants.len());
        for grant in grants {
            let endpoint = registry.endpoint(grant.endpoint_id);
            let handler = endpoint.and_then(|live| Some((&live.endpoint, live.handler()?)));
            match (handler, loaded.of(grant)) {
                (Some((endpoint, handler)), Some(event)) => written.push(Written {
                    handout: self.handout(handler, event, grant),
                    grant: grant.clone(),
                    within_ms: endpoint.settings.timeout_ms.into(),
                }),
                (handler, _) => {
                    if handler.is_some() {
                        let delivery_id = grant.delivery_id;
                        tracing::error!(%delivery_id, "delivery {delivery_id} has lost its event; its lane stops");
                    }
                    self.dispatch.scheduler().close(grant.endpoint_id);
                    self.give_back(std::slice::from_ref(grant));
                }
            }
        }
        written
    }

    fn handout(&self, handler: &Handler, event: &Event, grant: &Grant) -> v1::Handout {
        let inbound_id = event.inbound_id();
        let header = |(name, value): &(String, String)| v1::AnswerHeader {
            name: name.clone(),
            value: value.clone(),
        };
        v1::Handout {
            lease_id: grant.lease_id,
            delivery_id: grant.delivery_id.to_string(),
            handler: handler.handler.clone(),
            attempt: grant.attempt_count + 1,
            event_id: event.id.to_string(),
            event_type: event.event_type.to_string(),
            payload: event.payload.clone(),
            content_type: event.content_type.clone(),
            headers: event.headers.iter().map(header).collect(),
            occurred_at: Some(instant(event.occurred_at)),
            source_id: event.source_id.map(|id| id.to_string()).unwrap_or_default(),
            inbound_request_id: inbound_id.map(|id| id.to_string()).unwrap_or_default(),
            answer_within_ms: inbound_id.map_or(0, |id| (self.answer_within)(id)),
            traceparent: event.traceparent.clone().unwrap_or_default(),
        }
    }

    /// Sends handouts in messages of a bounded size. Their time begins when they are sent.
    async fn send_handouts(&self, written: Vec<Written>) -> StreamEnd {
        let mut written = written.into_iter().peekable();
        while written.peek().is_some() {
            let (mut handouts, mut bytes) = (Vec::new(), 0);
            while let Some(next) = written.next_if(|next| {
                handouts.is_empty() || bytes + next.handout.encoded_len() <= BYTES_PER_MESSAGE
            }) {
                if self.begin(&next) {
                    bytes += next.handout.encoded_len();
                    handouts.push(next.handout);
                }
            }
            if !handouts.is_empty() {
                self.send(ToConsumer::Handouts(v1::Handouts { handouts }))
                    .await?;
            }
        }
        Ok(())
    }

    /// Begins the time of a handout. False: it was lost or ended while it waited here.
    fn begin(&self, written: &Written) -> bool {
        let (lease_id, delivery_id) = (written.grant.lease_id, written.grant.delivery_id);
        let is_current = self.dispatch.scheduler().is_current(delivery_id, lease_id);
        let mut held = self.held();
        if is_current {
            return held.send(lease_id, written.within_ms, self.dispatch.uptime_ms());
        }
        held.give_up(lease_id);
        false
    }

    fn give_back(&self, grants: &[Grant]) {
        for grant in grants {
            self.held().give_up(grant.lease_id);
            let (id, lease_id) = (grant.delivery_id, grant.lease_id);
            let now_ms = clock::now_ms();
            self.dispatch
                .scheduler()
                .release(self.consumer_id, id, lease_id, now_ms);
        }
    }

    /// Gives back what was taken but never sent.
    pub(super) fn give_back_unsent(&self) {
        let now_ms = clock::now_ms();
        let unsent = self.held().unsent();
        let mut scheduler = self.dispatch.scheduler();
        for (lease_id, delivery_id) in unsent {
            scheduler.release(self.consumer_id, delivery_id, lease_id, now_ms);
        }
    }
}

/// An instant as the contract has it.
fn instant(at_ms: i64) -> Timestamp {
    Timestamp {
        seconds: at_ms.div_euclid(1_000),
        nanos: i32::try_from(at_ms.rem_euclid(1_000) * 1_000_000).unwrap_or(0),
    }
}
