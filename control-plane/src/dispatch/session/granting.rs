//! The granting half of a session: credit on one side, leases on the other.

use std::{
    collections::{HashSet, VecDeque},
    time::Duration,
};

use posthorn::v1::{self, session_response::Message as ToNode};
use prost::Message as _;
use tonic::Status;

use super::{Session, SessionEnd};
use crate::{
    clock,
    dispatch::{grant, scheduler::Grant},
    lock::Locked,
    model::id::DeliveryId,
};

/// How many bytes of bodies a node can have asked for at one time.
const CREDIT_BYTES_MAX: u64 = 1 << 30;
/// How many leases one message carries, and how many bytes of bodies, one lease at least.
const LEASES_PER_MESSAGE: usize = 256;
const BYTES_PER_MESSAGE: usize = 2 * 1_024 * 1_024;
/// How long granting waits after the database failed to give a payload.
const LOAD_PAUSE: Duration = Duration::from_millis(200);

/// What a node can take.
#[derive(Debug, Default)]
pub(super) struct Credit {
    /// Leases that the node holds, as far as it has not reported on them.
    pub(super) held: HashSet<u64>,
    deliveries: u32,
    bytes: u64,
    pub(super) draining: bool,
}

/// A lease that is ready to be sent.
pub(super) struct Ready {
    lease: v1::Lease,
    delivery_id: DeliveryId,
}

impl Credit {
    /// How many leases can be sent to a node that holds at most `capacity`.
    fn deliveries(&self, capacity: u32) -> usize {
        let room = (capacity as usize).saturating_sub(self.held.len());
        room.min(self.deliveries as usize)
    }
}

impl Session {
    pub(super) fn add_credit(&self, added: v1::Credit) {
        {
            let mut credit = self.credit();
            let deliveries = credit.deliveries.saturating_add(added.deliveries);
            credit.deliveries = deliveries.min(self.capacity);
            credit.bytes = credit
                .bytes
                .saturating_add(added.bytes)
                .min(CREDIT_BYTES_MAX);
        }
        self.credited.notify_one();
    }

    pub(super) fn credit(&self) -> Locked<'_, Credit> {
        self.credit.lock()
    }

    /// Grants leases while there is credit and something to lease.
    pub(super) async fn grant(&self) -> SessionEnd {
        loop {
            let mut woken = std::pin::pin!(self.dispatch.0.ready.notified());
            woken.as_mut().enable();
            let room = self.room();
            if room > 0 {
                self.take(room).await;
            }
            if !self.send_ready().await? {
                tokio::select! {
                    () = woken => {}
                    () = self.credited.notified() => {}
                }
            }
        }
    }

    /// How many leases to take: none while some that were taken still wait for credit.
    fn room(&self) -> usize {
        if !self.ready().is_empty() {
            return 0;
        }
        let credit = self.credit();
        if credit.draining || credit.bytes == 0 {
            return 0;
        }
        credit.deliveries(self.capacity).min(LEASES_PER_MESSAGE)
    }

    fn ready(&self) -> Locked<'_, VecDeque<Ready>> {
        self.ready.lock()
    }

    /// Gives back what was granted but never sent.
    pub(super) fn give_back_unsent(&self) {
        let now_ms = clock::now_ms();
        let unsent = std::mem::take(&mut *self.ready());
        let mut scheduler = self.dispatch.scheduler();
        for ready in unsent {
            scheduler.release(
                self.node_id,
                ready.delivery_id,
                ready.lease.lease_id,
                now_ms,
            );
        }
    }

    /// Leases up to `room` deliveries and writes their requests.
    async fn take(&self, room: usize) {
        let dispatch = &self.dispatch;
        let now_ms = clock::now_ms();
        let grants = dispatch
            .scheduler()
            .take(room, self.node_id, now_ms, dispatch.uptime_ms());
        if grants.is_empty() {
            return;
        }
        let loaded = match dispatch.load_events(&grants).await {
            Ok(loaded) => loaded,
            Err(error) => {
                tracing::warn!(error = ?error, "could not read payloads; the leases go back");
                self.give_back(&grants);
                tokio::time::sleep(LOAD_PAUSE).await;
                return;
            }
        };
        let registry = dispatch.0.registry.snapshot();
        for grant in &grants {
            let event = loaded.of(grant);
            let endpoint = registry.endpoint(grant.endpoint_id);
            let posting = endpoint.and_then(|live| Some((&live.endpoint, live.posting()?)));
            match (posting, event) {
                (Some(posting), Some(event)) => {
                    let proof = dispatch.prove(grant, self.key_id);
                    self.ready().push_back(Ready {
                        lease: grant::lease(posting, event, grant, proof, now_ms),
                        delivery_id: grant.delivery_id,
                    });
                }
                (None, _) if endpoint.is_some() => self.pass_on(grant),
                (None, _) => self.close_lane(grant),
                (Some(_), None) => {
                    let delivery_id = grant.delivery_id;
                    tracing::error!(%delivery_id, "delivery {delivery_id} has lost its event; its lane stops");
                    self.close_lane(grant);
                }
            }
        }
    }

    /// Gives a consumer's delivery back that was taken before its lane was known to be a consumer's.
    fn pass_on(&self, grant: &Grant) {
        if let Some(endpoint) = self
            .dispatch
            .0
            .registry
            .snapshot()
            .endpoint(grant.endpoint_id)
        {
            self.dispatch.configure(endpoint, clock::now_ms());
        }
        self.give_back(std::slice::from_ref(grant));
    }

    /// Stops a lane whose endpoint is gone or cannot be signed for; its deliveries stay in the table.
    fn close_lane(&self, grant: &Grant) {
        self.dispatch.scheduler().close(grant.endpoint_id);
        self.give_back(std::slice::from_ref(grant));
    }

    fn give_back(&self, grants: &[Grant]) {
        let now_ms = clock::now_ms();
        let mut scheduler = self.dispatch.scheduler();
        for grant in grants {
            scheduler.release(self.node_id, grant.delivery_id, grant.lease_id, now_ms);
        }
    }

    /// Sends as much as the credit covers in one message. False: there was nothing to send.
    async fn send_ready(&self) -> Result<bool, Status> {
        let mut leases = Vec::new();
        let mut bytes = 0;
        {
            let scheduler = self.dispatch.scheduler();
            let mut ready = self.ready();
            let mut credit = self.credit();
            // What was lost or cancelled while it waited here is not sent.
            ready.retain(|next| scheduler.is_current(next.delivery_id, next.lease.lease_id));
            while let Some(next) = ready.front() {
                let message = next.lease.encoded_len();
                let fits = leases.is_empty() || bytes + message <= BYTES_PER_MESSAGE;
                if credit.deliveries(self.capacity) == 0 || credit.bytes == 0 || !fits {
                    break;
                }
                credit.deliveries -= 1;
                credit.held.insert(next.lease.lease_id);
                // The last body may overdraw the bytes, so that a body larger than the credit is not stuck for ever.
                // A node counts bodies, and gives back just that.
                credit.bytes = credit.bytes.saturating_sub(next.lease.body.len() as u64);
                bytes += message;
                leases.extend(ready.pop_front().map(|next| next.lease));
            }
        }
        if leases.is_empty() {
            return Ok(false);
        }
        self.send(ToNode::Leases(v1::Leases { leases })).await?;
        Ok(true)
    }
}
