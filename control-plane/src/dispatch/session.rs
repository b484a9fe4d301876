//! A session: the conversation with one node from its hello to the end of its stream.
//!
//! Two halves run side by side: one takes what the node says, the other grants leases while there is credit. When the
//! stream ends the node has [`GRACE`] to come back before its leases go to others.

use std::{
    collections::{HashSet, VecDeque},
    sync::Mutex,
    time::Duration,
};

use posthorn::v1::{
    self, session_request::Message as FromNode, session_response::Message as ToNode,
};
use prost::Message as _;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::{
    Dispatch, grant,
    report::{self, adoptable},
    scheduler::{Grant, LostTooOften, Settled},
    sessions::Opened,
};
use crate::{
    clock,
    error::Error,
    model::{
        event::Event,
        id::{DeliveryId, EventId, NodeId},
    },
    rpc::Caller,
};

/// The version of the protocol that this control plane speaks.
const PROTOCOL: u32 = 1;
/// How long a node may take to say hello.
const HELLO_WITHIN: Duration = Duration::from_secs(5);
/// How long a node whose stream broke may take to come back with its leases.
const GRACE: Duration = Duration::from_secs(2);
/// How often it is checked that the node's key still works, and that no lease is overdue.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);
/// How many leases a node can hold.
const CAPACITY_MAX: u32 = 8_192;
/// How many bytes of bodies a node can have asked for at one time.
const CREDIT_BYTES_MAX: u64 = 1 << 30;
/// How many leases one message carries, and how many bytes of bodies, one lease at least.
const LEASES_PER_MESSAGE: usize = 256;
const BYTES_PER_MESSAGE: usize = 2 * 1_024 * 1_024;
/// How long granting waits after the database failed to give a payload.
const LOAD_PAUSE: Duration = Duration::from_millis(200);

/// How a session ended.
pub(super) type SessionEnd = Result<(), Status>;

/// The two ends of a node's stream.
#[derive(Debug)]
pub(crate) struct SessionParts {
    /// What the node says.
    pub from_node: tonic::Streaming<v1::SessionRequest>,
    /// What it is told.
    pub to_node: mpsc::Sender<Result<v1::SessionResponse, Status>>,
    /// Who it is.
    pub caller: Caller,
}

/// A session that stands.
struct Session {
    dispatch: Dispatch,
    node_id: NodeId,
    capacity: u32,
    caller: Caller,
    to_node: mpsc::Sender<Result<v1::SessionResponse, Status>>,
    credit: Mutex<Credit>,
    credited: Notify,
    /// Leases that wait for credit.
    ready: Mutex<VecDeque<Ready>>,
}

#[derive(Debug, Default)]
struct Credit {
    /// Leases that the node holds.
    held: u32,
    deliveries: u32,
    bytes: u64,
    draining: bool,
}

/// A lease that is ready to be sent.
struct Ready {
    lease: v1::Lease,
    delivery_id: DeliveryId,
}

/// Hold the conversation with one node until its stream ends or `shutdown`.
pub(crate) async fn converse(
    dispatch: Dispatch,
    mut parts: SessionParts,
    shutdown: CancellationToken,
) -> SessionEnd {
    let hello = hello(&mut parts.from_node).await?;
    let node_id = hello
        .node_id
        .parse::<NodeId>()
        .map_err(|error| Error::invalid("hello.node_id", error.to_string()))?;
    check_hello(&hello)?;
    let opened = dispatch.0.sessions.open(node_id, parts.caller.key_id())?;
    let number = opened.number;
    tracing::info!(%node_id, name = hello.name, version = hello.version, "node {node_id} opened a session");
    dispatch.count_sessions();
    let ended = stand(&dispatch, node_id, hello, parts, opened, shutdown).await;
    if dispatch.0.sessions.close(node_id, number) {
        // Not waited for at a shutdown: the leases end with this process.
        tokio::spawn(give_grace(dispatch.clone(), node_id));
    }
    dispatch.count_sessions();
    tracing::info!(%node_id, end = ?ended.as_ref().err().map(Status::code), "the session of node {node_id} ended");
    ended
}

async fn hello(from_node: &mut tonic::Streaming<v1::SessionRequest>) -> Result<v1::Hello, Status> {
    let first = tokio::time::timeout(HELLO_WITHIN, from_node.message());
    let first = first
        .await
        .map_err(|_| Status::deadline_exceeded("no hello within 5 s"))?;
    match first
        .map_err(crate::rpc::decode_status)?
        .and_then(|request| request.message)
    {
        Some(FromNode::Hello(hello)) => Ok(hello),
        _ => Err(Error::invalid("message", "the first message must be a hello").into()),
    }
}

fn check_hello(hello: &v1::Hello) -> Result<(), Status> {
    if hello.protocol != PROTOCOL {
        let message = format!(
            "hello.protocol is {}: this control plane speaks {PROTOCOL} only",
            hello.protocol
        );
        return Err(Error::FailedPrecondition(message).into());
    }
    if !(1..=CAPACITY_MAX).contains(&hello.capacity) {
        let limit = format!("must be from 1 to {CAPACITY_MAX}");
        return Err(Error::invalid("hello.capacity", limit).into());
    }
    for (field, text, chars_max) in [
        ("hello.name", &hello.name, 100),
        ("hello.version", &hello.version, 64),
    ] {
        if text.chars().count() > chars_max || text.chars().any(char::is_control) {
            let limit = format!("must be at most {chars_max} printable characters");
            return Err(Error::invalid(field, limit).into());
        }
    }
    Ok(())
}

async fn stand(
    dispatch: &Dispatch,
    node_id: NodeId,
    hello: v1::Hello,
    parts: SessionParts,
    mut opened: Opened,
    shutdown: CancellationToken,
) -> SessionEnd {
    let (acknowledged, mut acknowledgements) = mpsc::unbounded_channel();
    let session = Session {
        dispatch: dispatch.clone(),
        node_id,
        capacity: hello.capacity,
        caller: parts.caller,
        to_node: parts.to_node,
        credit: Mutex::default(),
        credited: Notify::new(),
        ready: Mutex::default(),
    };
    let welcome = v1::Welcome {
        protocol: PROTOCOL,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    session.send(ToNode::Welcome(welcome)).await?;
    session.resume(hello, &acknowledged).await?;
    let ended = tokio::select! {
        ended = session.listen(parts.from_node, acknowledged) => ended,
        ended = session.grant() => ended,
        ended = session.acknowledge(&mut acknowledgements) => ended,
        ended = session.revoke(&mut opened.revoked) => ended,
        ended = session.check_key() => ended,
        () = opened.replaced.cancelled() => Err(Status::aborted("the node opened another session")),
        () = shutdown.cancelled() => Err(Error::Unavailable("the control plane shuts down".to_owned()).into()),
    };
    session.give_back_unsent();
    ended
}

impl Session {
    async fn send(&self, message: ToNode) -> SessionEnd {
        let response = v1::SessionResponse {
            message: Some(message),
        };
        let gone = |_| Status::cancelled("the node is gone");
        self.to_node.send(Ok(response)).await.map_err(gone)
    }

    /// Takes over what the node held before: leases that it still works on, and outcomes that it kept.
    async fn resume(
        &self,
        hello: v1::Hello,
        acknowledged: &mpsc::UnboundedSender<u64>,
    ) -> SessionEnd {
        let dispatch = &self.dispatch;
        let mut unacknowledged = Vec::with_capacity(hello.unacknowledged.len());
        for (index, outcomes) in hello.unacknowledged.into_iter().enumerate() {
            let path = format!("hello.unacknowledged[{index}].outcomes");
            unacknowledged.push((outcomes.sequence, report::parse(outcomes.outcomes, &path)?));
        }
        let reported = unacknowledged
            .iter()
            .flat_map(|(_, reports)| reports)
            .map(|report| report.lease_id);
        let held = hello
            .in_flight
            .iter()
            .map(|lease| lease.lease_id)
            .chain(reported)
            .collect::<HashSet<_>>();
        let lost = dispatch
            .scheduler()
            .lose(self.node_id, &held, clock::now_ms());
        dispatch.bury(lost);
        self.credit().held = u32::try_from(hello.in_flight.len()).unwrap_or(u32::MAX);
        self.adopt(&hello.in_flight).await?;
        for (sequence, reports) in unacknowledged {
            dispatch
                .report(self.node_id, reports, sequence, acknowledged)
                .await?;
        }
        dispatch.wake();
        Ok(())
    }

    /// Takes over leases that an earlier process granted, so that nobody else gets their deliveries meanwhile.
    async fn adopt(&self, in_flight: &[v1::LeaseReference]) -> SessionEnd {
        let mut foreign = Vec::new();
        for (index, lease) in in_flight.iter().enumerate() {
            let id = lease.delivery_id.parse::<DeliveryId>();
            let field = format!("hello.in_flight[{index}].delivery_id");
            let id = id.map_err(|error| Error::invalid(field, error.to_string()))?;
            if !self.dispatch.scheduler().is_own_lease(lease.lease_id) {
                foreign.push((id, lease));
            }
        }
        let ids = foreign.iter().map(|(id, _)| *id).collect::<Vec<_>>();
        let rows = self
            .dispatch
            .0
            .store
            .delivery_load(&ids)
            .await
            .map_err(Error::from)?;
        let uptime_ms = self.dispatch.uptime_ms();
        let mut scheduler = self.dispatch.scheduler();
        for row in rows {
            let lease = foreign
                .iter()
                .find(|(id, _)| *id == row.id)
                .map(|(_, lease)| lease);
            if let Some(lease) = lease
                && let Some(due) = adoptable(&row, lease.attempt)
            {
                scheduler.adopt(
                    lease.lease_id,
                    self.node_id,
                    &due,
                    row.endpoint_id,
                    uptime_ms,
                );
            }
        }
        Ok(())
    }

    /// Takes what the node says.
    async fn listen(
        &self,
        mut from_node: tonic::Streaming<v1::SessionRequest>,
        acknowledged: mpsc::UnboundedSender<u64>,
    ) -> SessionEnd {
        while let Some(request) = from_node
            .message()
            .await
            .map_err(crate::rpc::decode_status)?
        {
            match request.message {
                Some(FromNode::Credit(credit)) => self.add_credit(credit),
                Some(FromNode::Outcomes(outcomes)) => {
                    let reports = report::parse(outcomes.outcomes, "outcomes.outcomes")?;
                    let ended = self
                        .dispatch
                        .report(self.node_id, reports, outcomes.sequence, &acknowledged)
                        .await?;
                    let mut credit = self.credit();
                    credit.held = credit.held.saturating_sub(ended);
                }
                Some(FromNode::Drain(_)) => self.credit().draining = true,
                Some(FromNode::Hello(_)) => {
                    return Err(Error::invalid(
                        "message",
                        "hello must be the first message and only that",
                    )
                    .into());
                }
                None => return Err(Error::invalid("message", "must be set").into()),
            }
        }
        Ok(())
    }

    fn add_credit(&self, added: v1::Credit) {
        {
            let mut credit = self.credit();
            let room = self.capacity.saturating_sub(credit.held);
            credit.deliveries = credit.deliveries.saturating_add(added.deliveries).min(room);
            credit.bytes = credit
                .bytes
                .saturating_add(added.bytes)
                .min(CREDIT_BYTES_MAX);
        }
        self.credited.notify_one();
    }

    fn credit(&self) -> std::sync::MutexGuard<'_, Credit> {
        self.credit
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Grants leases while there is credit and something to lease.
    async fn grant(&self) -> SessionEnd {
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

    /// How many more leases to take.
    fn room(&self) -> usize {
        let waiting = self.ready().len();
        let credit = self.credit();
        if credit.draining || credit.bytes == 0 {
            return 0;
        }
        (credit.deliveries as usize)
            .saturating_sub(waiting)
            .min(LEASES_PER_MESSAGE)
    }

    fn ready(&self) -> std::sync::MutexGuard<'_, VecDeque<Ready>> {
        self.ready
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Gives back what was granted but never sent.
    fn give_back_unsent(&self) {
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
        let missing = grants.iter().filter(|grant| grant.event.is_none());
        let missing = missing
            .map(|grant| grant.delivery_id.event())
            .collect::<HashSet<_>>();
        let loaded = match self.load(missing.into_iter().collect()).await {
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
            let held = grant.event.as_ref().map(|held| held.event());
            let event = held.or_else(|| loaded.get(&grant.delivery_id.event()));
            match (registry.endpoint(grant.endpoint_id), event) {
                (Some(endpoint), Some(event)) => self.ready().push_back(Ready {
                    lease: grant::lease(endpoint, event, grant, now_ms),
                    delivery_id: grant.delivery_id,
                }),
                (None, _) => self.close_lane(grant),
                (Some(_), None) => {
                    let delivery_id = grant.delivery_id;
                    tracing::error!(%delivery_id, "delivery {delivery_id} has lost its event; its lane stops");
                    self.close_lane(grant);
                }
            }
        }
    }

    async fn load(
        &self,
        ids: Vec<EventId>,
    ) -> Result<std::collections::HashMap<EventId, std::sync::Arc<Event>>, crate::store::Error>
    {
        if ids.is_empty() {
            return Ok(std::collections::HashMap::new());
        }
        let events = self.dispatch.0.store.event_load(&ids).await?;
        Ok(events.into_iter().map(|event| (event.id, event)).collect())
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
            let mut ready = self.ready();
            let mut credit = self.credit();
            while let Some(next) = ready.front() {
                let body = next.lease.encoded_len();
                let fits = leases.is_empty() || bytes + body <= BYTES_PER_MESSAGE;
                if credit.deliveries == 0 || credit.bytes == 0 || !fits {
                    break;
                }
                credit.deliveries -= 1;
                credit.held += 1;
                // The last body may overdraw the bytes, so that a body larger than the credit is not stuck for ever.
                credit.bytes = credit.bytes.saturating_sub(body as u64);
                bytes += body;
                leases.extend(ready.pop_front().map(|next| next.lease));
            }
        }
        if leases.is_empty() {
            return Ok(false);
        }
        self.send(ToNode::Leases(v1::Leases { leases })).await?;
        Ok(true)
    }

    /// Tells the node what is durable.
    async fn acknowledge(&self, acknowledgements: &mut mpsc::UnboundedReceiver<u64>) -> SessionEnd {
        let mut sequences = Vec::new();
        while acknowledgements.recv_many(&mut sequences, 1_024).await > 0 {
            let through = sequences.drain(..).max().unwrap_or(0);
            self.send(ToNode::OutcomesCommitted(v1::OutcomesCommitted { through }))
                .await?;
        }
        Ok(())
    }

    /// Tells the node what it need not begin.
    async fn revoke(&self, revoked: &mut mpsc::UnboundedReceiver<u64>) -> SessionEnd {
        let mut lease_ids = Vec::new();
        while revoked.recv_many(&mut lease_ids, 1_024).await > 0 {
            let lease_ids = std::mem::take(&mut lease_ids);
            self.send(ToNode::Revoke(v1::Revoke { lease_ids })).await?;
        }
        // The sender goes when the node opens another session.
        std::future::pending().await
    }

    /// Ends the session when the node's key stops working.
    async fn check_key(&self) -> SessionEnd {
        loop {
            tokio::time::sleep(CHECK_INTERVAL).await;
            if !self
                .caller
                .is_live(&self.dispatch.0.registry.snapshot(), clock::now_ms())
            {
                return Err(Error::Unauthenticated.into());
            }
        }
    }
}

impl Dispatch {
    fn count_sessions(&self) {
        self.0
            .metrics
            .sessions
            .set(i64::try_from(self.0.sessions.len()).unwrap_or(i64::MAX));
    }

    /// Ends as dead what lost too many leases in a row.
    fn bury(&self, lost: Vec<LostTooOften>) {
        for lost in lost {
            self.0.tasks.spawn(bury(self.clone(), lost));
        }
    }
}

async fn bury(dispatch: Dispatch, lost: LostTooOften) {
    let delivery_id = lost.delivery_id;
    let now_ms = clock::now_ms();
    let written = async {
        let mut tx = dispatch.0.store.begin().await?;
        let is_dead = tx
            .delivery_lose(delivery_id, lost.attempt_count, now_ms)
            .await?;
        tx.commit().await?;
        Ok::<_, crate::store::Error>(is_dead)
    };
    let settled = match written.await {
        Ok(true) => {
            tracing::warn!(%delivery_id, "delivery {delivery_id} is dead: five leases in a row were lost");
            Settled::Ended
        }
        Ok(false) => Settled::Unknown,
        Err(error) => {
            tracing::warn!(%delivery_id, error = ?error, "could not end {delivery_id} after lost leases");
            Settled::Unknown
        }
    };
    dispatch
        .scheduler()
        .settle(delivery_id, lost.lease_id, settled, now_ms);
    dispatch.wake();
}

/// Gives the leases of a node to others, unless it comes back in time.
async fn give_grace(dispatch: Dispatch, node_id: NodeId) {
    tokio::time::sleep(GRACE).await;
    if dispatch.0.sessions.is_open(node_id) {
        return;
    }
    let before = dispatch.scheduler().loaded().leased;
    let lost = dispatch
        .scheduler()
        .lose(node_id, &HashSet::new(), clock::now_ms());
    let returned = before.saturating_sub(dispatch.scheduler().loaded().leased);
    dispatch
        .0
        .metrics
        .leases_lost
        .inc_by(returned as u64 + lost.len() as u64);
    tracing::info!(%node_id, returned, "node {node_id} did not come back; {returned} of its leases go to others");
    dispatch.bury(lost);
    dispatch.wake();
}

/// Takes back, for ever, leases that were held longer than any attempt can take.
pub(super) async fn run_sweeps(dispatch: Dispatch) {
    loop {
        tokio::time::sleep(CHECK_INTERVAL).await;
        let hold_ms = u64::try_from(grant::HOLD_MAX.as_millis()).unwrap_or(u64::MAX);
        let Some(granted_by) = dispatch.uptime_ms().checked_sub(hold_ms) else {
            continue;
        };
        let lost = dispatch.scheduler().lose_older(granted_by, clock::now_ms());
        dispatch.bury(lost);
        if dispatch.scheduler().has_ready() {
            dispatch.wake();
        }
    }
}
