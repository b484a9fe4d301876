//! A node: one that posts deliveries as HTTP requests.
//!
//! A node chooses its id and keeps it when its stream breaks: in its next hello it says what it still works on and what it has
//! not been told is durable, so nothing is lost and nothing is attempted twice in between. Nodes get signed requests, as much
//! as their credit in leases and in bytes covers; a lease has no end of its own.

mod listeners;
mod parse;
mod proof;
mod request;

use std::{
    collections::{HashMap, HashSet},
    ops::RangeInclusive,
    pin::Pin,
    sync::Arc,
};

use posthorn::node::v1::{
    self, session_request::Message as FromNode, session_response::Message as ToNode,
};
use prost::Message as _;
use tokio::sync::{Notify, mpsc, watch};
use tokio_stream::{Stream, StreamExt as _};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use self::proof::Claim;
pub(in crate::dispatch) use self::{proof::Told, request::HOLD_MAX};
use super::{
    Holder, Outgoing, Protocol, StreamEnd,
    held::Held,
    holder::Bounds,
    stream,
    table::{About, Opened},
};
use crate::{
    dispatch::{
        Dispatch,
        report::Report,
        schedule::{Grant, Schedule},
    },
    error::{Error, Reason},
    model::{
        delivery::{OpenDelivery, OpenState},
        endpoint::LiveEndpoint,
        event::Event,
        id::{KeyId, NodeId},
        lease::{HolderId, LeaseKey},
    },
    store::DueDelivery,
};

/// How many leases are taken at one time.
const LEASES_PER_MESSAGE: usize = 256;
/// How many leases a node can hold.
const CAPACITY_MAX: u32 = 8_192;
/// How many leases and outcomes a node can bring along: what it may hold, and keep uncommitted, with room to spare.
const HELD_MAX: usize = 4 * CAPACITY_MAX as usize;

/// What a node says.
pub(crate) type FromNodeStream =
    Pin<Box<dyn Stream<Item = Result<v1::SessionRequest, Status>> + Send>>;

/// The two ends of a node's stream.
pub(crate) struct SessionParts {
    /// What the node says.
    pub from_node: FromNodeStream,
    /// What it is told.
    pub to_node: mpsc::Sender<Result<v1::SessionResponse, Status>>,
    /// The key that it came with.
    pub key_id: KeyId,
}

/// Hold the conversation with one node until its stream ends or `shutdown`.
pub(crate) async fn converse(
    dispatch: Dispatch,
    mut parts: SessionParts,
    shutdown: CancellationToken,
) -> StreamEnd {
    let first = stream::first(&mut parts.from_node).await?;
    let Some(FromNode::Hello(hello)) = first.and_then(|request| request.message) else {
        return Err(stream::no_hello());
    };
    let node_id = hello.node_id.parse::<NodeId>();
    let node_id = node_id.map_err(|error| Error::invalid("hello.node_id", error.to_string()))?;
    let protocol = agreed(&hello, &dispatch.0.core.protocols)?;
    check_hello(&hello)?;
    let guard = dispatch.0.core.resolver.policy();
    let _denied = guard.learn(listeners::parse(&hello.listeners)?);
    let about = About::Node {
        name: hello.name.clone(),
        version: hello.version.clone(),
        capacity: hello.capacity,
    };
    let opened = dispatch.open::<Node>(HolderId::Node(node_id), parts.key_id, about)?;
    tracing::info!(%node_id, name = hello.name, version = hello.version, "node {node_id} opened a session");
    let ended = stand(
        &dispatch,
        (node_id, protocol),
        hello,
        parts,
        opened,
        shutdown,
    )
    .await;
    tracing::info!(%node_id, end = ?ended.as_ref().err().map(Status::code), "the session of node {node_id} ended");
    ended
}

fn check_hello(hello: &v1::Hello) -> Result<(), Status> {
    if !(1..=CAPACITY_MAX).contains(&hello.capacity) {
        let limit = format!("must be from 1 to {CAPACITY_MAX}");
        return Err(Error::invalid("hello.capacity", limit).into());
    }
    let outcomes = hello
        .unacknowledged
        .iter()
        .map(|outcomes| outcomes.outcomes.len());
    let lists = [
        ("hello.in_flight", hello.in_flight.len()),
        ("hello.unacknowledged", hello.unacknowledged.len()),
        ("hello.unacknowledged.outcomes", outcomes.sum()),
    ];
    for (field, len) in lists {
        if len > HELD_MAX {
            return Err(Error::invalid(field, format!("must be at most {HELD_MAX}")).into());
        }
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

/// The newest version of the protocol that the node speaks and that is among `ours`.
fn agreed(hello: &v1::Hello, ours: &RangeInclusive<u32>) -> Result<u32, Error> {
    let oldest = match hello.oldest_protocol {
        0 => hello.protocol,
        oldest => oldest,
    };
    let newest = hello.protocol.min(*ours.end());
    if newest >= oldest.max(*ours.start()) {
        return Ok(newest);
    }
    Err(Error::precondition(
        Reason::ProtocolNotSpoken,
        format!(
            "the node speaks the versions {oldest} to {} of the protocol, this control plane {} to {}: \
         run a node that speaks one of them",
            hello.protocol,
            ours.start(),
            ours.end()
        ),
    ))
}

async fn stand(
    dispatch: &Dispatch,
    (node_id, protocol): (NodeId, u32),
    hello: v1::Hello,
    parts: SessionParts,
    mut opened: Opened,
    shutdown: CancellationToken,
) -> StreamEnd {
    let (acknowledged, acknowledgements) = watch::channel(0);
    let of = (HolderId::Node(node_id), parts.key_id);
    let held = Held::new(hello.capacity, true);
    let kind = Node {
        node_id,
        key_id: parts.key_id,
    };
    let holder = Holder::new(dispatch, of, &opened, held, kind, parts.to_node);
    let listeners = dispatch.0.core.resolver.policy().own_sockets();
    holder
        .send(told(ToNode::Welcome(v1::Welcome {
            protocol,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            listeners: listeners.iter().map(ToString::to_string).collect(),
        })))
        .await?;
    opened.former_ended().await;
    tokio::select! {
        resumed = holder.resume(hello, &acknowledged) => resumed?,
        () = opened.replaced.cancelled() => return Err(stream::replaced()),
        () = shutdown.cancelled() => return Err(stream::shutting_down()),
    }
    let listening = holder.listen(parts.from_node, acknowledged);
    holder
        .stand(&mut opened, acknowledgements, listening, &shutdown)
        .await
}

/// What tells nodes from other holders.
struct Node {
    node_id: NodeId,
    key_id: KeyId,
}

impl Protocol for Node {
    type ToHolder = v1::SessionResponse;
    type Delivery = v1::Lease;

    const STREAM: &'static str = "session";
    const BOUNDS: Bounds = Bounds {
        take: LEASES_PER_MESSAGE,
        load: LEASES_PER_MESSAGE,
        unsent_ms: None,
    };

    fn join(&self, schedule: &Schedule, holder: HolderId, waker: &Arc<Notify>) {
        schedule.serve_nodes(holder, waker);
    }

    fn leave(&self, schedule: &Schedule, holder: HolderId) {
        schedule.leave_nodes(holder);
    }

    fn take(&self, schedule: &Schedule, holder: HolderId, room: usize, _: usize) -> Vec<Grant> {
        schedule.take(room, holder)
    }

    fn write(
        &self,
        dispatch: &Dispatch,
        live: &LiveEndpoint,
        event: &Arc<Event>,
        grant: &Grant,
    ) -> Option<Outgoing<v1::Lease>> {
        let posting = (&live.endpoint, live.posting()?);
        let proof = dispatch.prove(grant.key, self.key_id);
        let core = &dispatch.0.core;
        let told = (&core.loop_mark, core.clock.now_ms());
        let lease = request::lease(posting, event, grant, proof, told);
        Some(Outgoing {
            key: grant.key,
            message_bytes: lease.encoded_len(),
            body_bytes: lease.body.len() as u64,
            within_ms: None,
            delivery: lease,
        })
    }

    fn deliveries(leases: Vec<v1::Lease>) -> v1::SessionResponse {
        told(ToNode::Leases(v1::Leases { leases }))
    }

    fn committed(&self, through: u64) -> Vec<v1::SessionResponse> {
        vec![told(ToNode::OutcomesCommitted(v1::OutcomesCommitted {
            through,
        }))]
    }

    fn revoke(_: &Holder<Self>, lease_ids: Vec<u64>) -> Option<v1::SessionResponse> {
        Some(told(ToNode::Revoke(v1::Revoke { lease_ids })))
    }
}

fn told(message: ToNode) -> v1::SessionResponse {
    v1::SessionResponse {
        message: Some(message),
    }
}

impl Holder<Node> {
    /// Takes over what the node held before: leases that it still works on, and outcomes that it kept.
    async fn resume(&self, hello: v1::Hello, acknowledged: &watch::Sender<u64>) -> StreamEnd {
        let in_flight = parse::parse_held(hello.in_flight, "hello.in_flight")?;
        let in_flight = self.proven(in_flight);
        let mut unacknowledged = Vec::with_capacity(hello.unacknowledged.len());
        for (index, outcomes) in hello.unacknowledged.into_iter().enumerate() {
            let path = format!("hello.unacknowledged[{index}].outcomes");
            let reports = self.proven(parse::parse(outcomes.outcomes, &path)?);
            unacknowledged.push((outcomes.sequence, reports));
        }
        let reported = unacknowledged.iter().flat_map(|(_, reports)| reports);
        let named = in_flight.into_iter().chain(reported.map(Report::lease));
        let named = named.collect::<Vec<_>>();
        let held = named.iter().map(|lease| lease.lease_id);
        let held = held.collect::<HashSet<_>>();
        let lost = self.dispatch.0.schedule.lose(self.id, &held);
        self.dispatch.count_lost(lost);
        for lease in &named {
            self.held().adopt(*lease);
        }
        self.adopt(named).await?;
        for (sequence, reports) in unacknowledged {
            self.report_held(reports, sequence, acknowledged).await?;
        }
        Ok(())
    }

    /// What the node says of leases that were granted to its key.
    fn proven<T>(&self, claims: Vec<Claim<T>>) -> Vec<T> {
        let node_id = self.protocol.node_id;
        self.dispatch.proven(claims, self.key_id, node_id)
    }

    /// Takes over the leases that an earlier process granted, so that nobody else gets their deliveries meanwhile.
    async fn adopt(&self, named: Vec<LeaseKey>) -> StreamEnd {
        let schedule = &self.dispatch.0.schedule;
        let named = named.into_iter();
        let foreign = named.filter(|lease| !schedule.is_own_lease(lease.lease_id));
        let foreign = foreign.map(|lease| (lease.delivery_id, lease));
        let foreign = foreign.collect::<HashMap<_, _>>();
        if foreign.is_empty() {
            return Ok(());
        }
        let ids = foreign.keys().copied().collect::<Vec<_>>();
        let rows = self.dispatch.0.core.store.delivery_load(&ids).await;
        for row in rows.map_err(Error::from)? {
            if let Some(lease) = foreign.get(&row.id)
                && let Some(due) = adoptable(&row, lease.attempt)
            {
                schedule.adopt(lease.lease_id, self.id, &due, row.endpoint_id);
            }
        }
        Ok(())
    }

    /// Passes on the reports on leases that the node holds. What it never held, or has reported on before, is dropped.
    async fn report_held(
        &self,
        mut reports: Vec<Report>,
        sequence: u64,
        acknowledged: &watch::Sender<u64>,
    ) -> StreamEnd {
        reports.retain(|report| {
            let lease = report.lease();
            let is_held = self.held().end(lease.lease_id, 0).is_some();
            if !is_held {
                self.dispatch.refuse_report(self.id, lease);
            }
            is_held
        });
        self.wake();
        self.report(reports, sequence, acknowledged).await
    }

    /// Takes what the node says.
    async fn listen(
        &self,
        mut from_node: FromNodeStream,
        acknowledged: watch::Sender<u64>,
    ) -> StreamEnd {
        let mut last_sequence = 0;
        while let Some(request) = from_node.next().await.transpose()? {
            match request.message {
                Some(FromNode::Credit(credit)) => {
                    self.held().add_credit(credit.deliveries, credit.bytes);
                    self.wake();
                }
                Some(FromNode::Outcomes(outcomes)) => {
                    if outcomes.sequence <= last_sequence {
                        let field = "outcomes.sequence";
                        let rule = "must rise from message to message";
                        return Err(Error::invalid(field, rule).into());
                    }
                    last_sequence = outcomes.sequence;
                    let reports = parse::parse(outcomes.outcomes, "outcomes.outcomes")?;
                    let reports = self.proven(reports);
                    self.report_held(reports, outcomes.sequence, &acknowledged)
                        .await?;
                }
                Some(FromNode::Drain(_)) => self.held().drain(),
                Some(FromNode::Hello(_)) => return Err(stream::second_hello()),
                None => {
                    let node_id = self.protocol.node_id;
                    tracing::warn!(%node_id, "node {node_id} sent a message that this version does not know");
                }
            }
        }
        Ok(())
    }
}

/// The row as the schedule holds it, when a lease for this attempt can still be its current one.
fn adoptable(row: &OpenDelivery, attempt: u32) -> Option<DueDelivery> {
    (row.state == OpenState::Pending && row.attempt_count + 1 == attempt).then_some(DueDelivery {
        id: row.id,
        due_at: row.next_attempt_at,
        attempt_count: row.attempt_count,
        attempt_base: row.attempt_base,
    })
}

#[cfg(test)]
mod tests;
