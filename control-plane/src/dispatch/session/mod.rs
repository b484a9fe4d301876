//! A session: the conversation with one node from its hello to the end of its stream.
//!
//! Two halves run side by side: one takes what the node says, the other (`granting`) sends leases while there is credit.
//! When the stream ends the node has a moment to come back before its leases are lost.

mod granting;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    ops::RangeInclusive,
    pin::Pin,
};

use posthorn::v1::{
    self, session_request::Message as FromNode, session_response::Message as ToNode,
};
use tokio::sync::{Notify, mpsc, watch};
use tokio_stream::{Stream, StreamExt as _};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use self::granting::{Credit, Ready};
use super::{
    Dispatch,
    lane::ServedBy,
    lost,
    proof::{Claim, LeaseName},
    report::{self, Report, adoptable},
    sessions::Opened,
    stream,
};
use crate::{
    clock,
    error::Error,
    lock::{CREDIT, Lock, READY},
    model::id::{KeyId, NodeId},
};

/// The versions of the protocol that this control plane speaks.
const PROTOCOLS: RangeInclusive<u32> = 2..=2;
/// How many leases a node can hold.
const CAPACITY_MAX: u32 = 8_192;

/// How many leases and outcomes a node can bring along: what it may hold, and keep uncommitted, with room to spare.
const HELD_MAX: usize = 4 * CAPACITY_MAX as usize;

/// How a session ended.
type SessionEnd = Result<(), Status>;

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

/// A session that stands.
struct Session {
    dispatch: Dispatch,
    node_id: NodeId,
    capacity: u32,
    key_id: KeyId,
    to_node: mpsc::Sender<Result<v1::SessionResponse, Status>>,
    credit: Lock<Credit, CREDIT>,
    credited: Notify,
    /// Leases that wait for credit.
    ready: Lock<VecDeque<Ready>, READY>,
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
    let protocol = agreed(&hello, &PROTOCOLS)?;
    check_hello(&hello)?;
    let opened = dispatch.0.sessions.open(node_id, parts.key_id);
    dispatch.0.metrics.opened("session", &opened);
    let opened = opened?;
    let number = opened.number;
    tracing::info!(%node_id, name = hello.name, version = hello.version, "node {node_id} opened a session");
    dispatch.count_sessions();
    let ended = stand(
        &dispatch,
        (node_id, protocol),
        hello,
        parts,
        opened,
        shutdown,
    )
    .await;
    if dispatch.0.sessions.close(node_id, number) {
        // Not waited for at a shutdown: the leases end with this process.
        tokio::spawn(lost::give_grace(dispatch.clone(), node_id, number));
    }
    dispatch.count_sessions();
    tracing::info!(%node_id, end = ?ended.as_ref().err().map(Status::code), "the session of node {node_id} ended");
    ended
}

async fn hello(from_node: &mut FromNodeStream) -> Result<v1::Hello, Status> {
    let first = stream::first(from_node).await?;
    match first.and_then(|request| request.message) {
        Some(FromNode::Hello(hello)) => Ok(hello),
        _ => Err(stream::no_hello()),
    }
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
    Err(Error::FailedPrecondition(format!(
        "the node speaks the versions {oldest} to {} of the protocol, this control plane {} to {}: \
         run a node that speaks one of them",
        hello.protocol,
        ours.start(),
        ours.end()
    )))
}

async fn stand(
    dispatch: &Dispatch,
    (node_id, protocol): (NodeId, u32),
    hello: v1::Hello,
    parts: SessionParts,
    mut opened: Opened,
    shutdown: CancellationToken,
) -> SessionEnd {
    let (acknowledged, mut acknowledgements) = watch::channel(0);
    let session = Session {
        dispatch: dispatch.clone(),
        node_id,
        capacity: hello.capacity,
        key_id: parts.key_id,
        to_node: parts.to_node,
        credit: Lock::default(),
        credited: Notify::new(),
        ready: Lock::default(),
    };
    let welcome = v1::Welcome {
        protocol,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    session.send(ToNode::Welcome(welcome)).await?;
    opened.former_ended().await;
    tokio::select! {
        resumed = session.resume(hello, &acknowledged) => resumed?,
        () = opened.replaced.cancelled() => return Err(replaced()),
        () = shutdown.cancelled() => return Err(stream::shutting_down()),
    }
    let ended = tokio::select! {
        ended = session.listen(parts.from_node, acknowledged) => ended,
        ended = session.grant() => ended,
        ended = session.acknowledge(&mut acknowledgements) => ended,
        ended = session.revoke(&mut opened.revoked) => ended,
        end = stream::key_end(dispatch, session.key_id) => Err(end),
        () = opened.replaced.cancelled() => Err(replaced()),
        () = shutdown.cancelled() => Err(stream::shutting_down()),
    };
    session.give_back_unsent();
    ended
}

fn replaced() -> Status {
    Status::aborted("the node opened another session")
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
    async fn resume(&self, hello: v1::Hello, acknowledged: &watch::Sender<u64>) -> SessionEnd {
        let dispatch = &self.dispatch;
        let in_flight = report::parse_held(hello.in_flight, "hello.in_flight")?;
        let in_flight = self.proven(in_flight);
        let mut unacknowledged = Vec::with_capacity(hello.unacknowledged.len());
        for (index, outcomes) in hello.unacknowledged.into_iter().enumerate() {
            let path = format!("hello.unacknowledged[{index}].outcomes");
            let reports = self.proven(report::parse(outcomes.outcomes, &path)?);
            unacknowledged.push((outcomes.sequence, reports));
        }
        let reported = unacknowledged.iter().flat_map(|(_, reports)| reports);
        let named = in_flight
            .into_iter()
            .chain(reported.map(|report| report.lease))
            .collect::<Vec<_>>();
        let held = named.iter().map(|lease| lease.lease_id);
        let held = held.collect::<HashSet<_>>();
        let holder = (self.node_id, ServedBy::Nodes);
        let lost = dispatch.scheduler().lose(holder, &held, clock::now_ms());
        dispatch.bury(lost);
        self.credit().held = held;
        self.adopt(named).await?;
        for (sequence, reports) in unacknowledged {
            self.report(reports, sequence, acknowledged).await?;
        }
        dispatch.wake();
        Ok(())
    }

    /// What the node says of leases that were granted to its key.
    fn proven<T>(&self, claims: Vec<Claim<T>>) -> Vec<T> {
        self.dispatch.proven(claims, self.key_id, self.node_id)
    }

    /// Takes over the leases that an earlier process granted, so that nobody else gets their deliveries meanwhile.
    async fn adopt(&self, named: Vec<LeaseName>) -> SessionEnd {
        let foreign = {
            let scheduler = self.dispatch.scheduler();
            let named = named.into_iter();
            let foreign = named.filter(|lease| !scheduler.is_own_lease(lease.lease_id));
            foreign
                .map(|lease| (lease.delivery_id, lease))
                .collect::<HashMap<_, _>>()
        };
        if foreign.is_empty() {
            return Ok(());
        }
        let ids = foreign.keys().copied().collect::<Vec<_>>();
        let rows = self.dispatch.0.store.delivery_load(&ids).await;
        let uptime_ms = self.dispatch.uptime_ms();
        let mut scheduler = self.dispatch.scheduler();
        for row in rows.map_err(Error::from)? {
            if let Some(lease) = foreign.get(&row.id)
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

    /// Passes on the reports on leases that the node holds. What it never held, or has reported on before, is dropped.
    async fn report(
        &self,
        mut reports: Vec<Report>,
        sequence: u64,
        acknowledged: &watch::Sender<u64>,
    ) -> SessionEnd {
        {
            let mut credit = self.credit();
            reports.retain(|report| {
                let is_held = credit.held.remove(&report.lease.lease_id);
                if !is_held {
                    self.dispatch.refuse_report(self.node_id, report);
                }
                is_held
            });
        }
        self.credited.notify_one();
        // In a task of its own, so that the end of this stream cannot cut a report in half.
        let dispatch = self.dispatch.clone();
        let (node_id, acknowledged) = (self.node_id, acknowledged.clone());
        let reported = tokio::spawn(async move {
            dispatch
                .report(node_id, reports, sequence, &acknowledged)
                .await
        });
        let reported = reported
            .await
            .map_err(|panic| Error::Internal(panic.into()))?;
        Ok(reported?)
    }

    /// Takes what the node says.
    async fn listen(
        &self,
        mut from_node: FromNodeStream,
        acknowledged: watch::Sender<u64>,
    ) -> SessionEnd {
        let mut last_sequence = 0;
        while let Some(request) = from_node.next().await.transpose()? {
            match request.message {
                Some(FromNode::Credit(credit)) => self.add_credit(credit),
                Some(FromNode::Outcomes(outcomes)) => {
                    if outcomes.sequence <= last_sequence {
                        let field = "outcomes.sequence";
                        return Err(
                            Error::invalid(field, "must rise from message to message").into()
                        );
                    }
                    last_sequence = outcomes.sequence;
                    let reports = report::parse(outcomes.outcomes, "outcomes.outcomes")?;
                    let reports = self.proven(reports);
                    self.report(reports, outcomes.sequence, &acknowledged)
                        .await?;
                }
                Some(FromNode::Drain(_)) => self.credit().draining = true,
                Some(FromNode::Hello(_)) => return Err(stream::second_hello()),
                None => {
                    let node_id = self.node_id;
                    tracing::warn!(%node_id, "node {node_id} sent a message that this version does not know");
                }
            }
        }
        Ok(())
    }

    /// Tells the node what is durable.
    async fn acknowledge(&self, acknowledgements: &mut watch::Receiver<u64>) -> SessionEnd {
        while acknowledgements.changed().await.is_ok() {
            let through = *acknowledgements.borrow_and_update();
            self.send(ToNode::OutcomesCommitted(v1::OutcomesCommitted { through }))
                .await?;
        }
        // The sender goes with the half that listens, which says how the session ended.
        std::future::pending().await
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_is_used_that_both_speak() {
        for (node, ours, expected) in [
            ((2, 0), 2..=2, Some(2)),
            ((2, 2), 2..=2, Some(2)),
            // A newer node beside an older control plane, and the other way round.
            ((3, 2), 2..=2, Some(2)),
            ((2, 0), 2..=3, Some(2)),
            ((4, 2), 3..=5, Some(4)),
            ((3, 0), 2..=2, None),
            ((3, 3), 2..=2, None),
            ((1, 0), 2..=3, None),
            ((0, 0), 2..=2, None),
            ((2, 3), 2..=3, None),
            ((u32::MAX, 0), 2..=2, None),
        ] {
            let (protocol, oldest_protocol) = node;
            let hello = v1::Hello {
                protocol,
                oldest_protocol,
                ..v1::Hello::default()
            };
            assert_eq!(agreed(&hello, &ours).ok(), expected, "{node:?} {ours:?}");
        }
    }
}
