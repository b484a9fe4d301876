//! One session: says what the table have to say, and does what the control plane asks.
//!
//! Batches form by themselves: while the stream takes no message, ends of leases gather, and go out as one.

use std::time::Duration;

use posthorn::node::v1::{
    Leases, SessionRequest, SessionResponse, session_request, session_response::Message,
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Streaming, metadata::MetadataValue};
use tracing::{info, warn};

use super::{Link, channel, ledger::ROWS_MAX, lost::Lost, work::work};
use crate::clock;

/// How long the control plane may take to open the stream and to welcome the node.
const WELCOME_MAX: Duration = Duration::from_secs(10);
/// How long the control plane may take to end the stream after the node did.
const FAREWELL_MAX: Duration = Duration::from_secs(1);
/// How many messages wait for the stream; outcomes gather while they do.
const MESSAGES_WAITING_MAX: usize = 4;

/// Why a session ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// The node has drained and everything is committed.
    Settled,
    /// The session was lost or could not begin, having stood for so long.
    Lost { stood: Duration, reason: Lost },
}

/// Runs one session to its end.
pub(super) async fn run(link: &mut Link, drain: &CancellationToken) -> Ended {
    let mut welcomed = None;
    let result = converse(link, drain, &mut welcomed).await;
    link.metrics.session_up.set(0);
    link.readiness.set(super::SESSION, false);
    match result {
        Ok(()) => Ended::Settled,
        Err(reason) => {
            let now = clock::now();
            let stood =
                welcomed.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
            Ended::Lost { stood, reason }
        }
    }
}

async fn converse(
    link: &mut Link,
    drain: &CancellationToken,
    welcomed: &mut Option<Instant>,
) -> Result<(), Lost> {
    let idle = link.table.is_idle();
    let (messages, mut inbound) = tokio::select! {
        opened = open(link) => opened?,
        () = drain.cancelled(), if idle => {
            link.drain();
            return Ok(());
        }
    };
    let too_late = clock::now() + WELCOME_MAX;
    let mut ended = Vec::with_capacity(ROWS_MAX);
    while !link.table.is_settled() {
        tokio::select! {
            biased;
            response = inbound.message() => {
                receive(link, response?.ok_or(Lost::Closed)?, welcomed);
            }
            count = link.ended.recv_many(&mut ended, ROWS_MAX) => {
                debug_assert!(count > 0, "the link holds a sender itself");
                link.finish(ended.drain(..));
            }
            permit = messages.reserve(), if link.table.has_message() => {
                let permit = permit.map_err(|_| Lost::Closed)?;
                if let Some(message) = link.table.next_message(clock::now()) {
                    permit.send(wrap(message));
                }
            }
            () = drain.cancelled(), if !link.table.is_draining() => link.drain(),
            () = sleep_until(too_late), if welcomed.is_none() => return Err(Lost::Silent),
        }
        link.show();
    }
    drop(messages);
    let _late = timeout(FAREWELL_MAX, inbound.message()).await;
    Ok(())
}

/// Connects, and opens the stream with a `Hello`. A control plane that does not welcome the node in time is left.
async fn open(
    link: &mut Link,
) -> Result<(mpsc::Sender<SessionRequest>, Streaming<SessionResponse>), Lost> {
    let mut client = channel::connect(&link.endpoint).await?;
    let (messages, receiver) = mpsc::channel(MESSAGES_WAITING_MAX);
    link.table.open_session(clock::now());
    if let Some(hello) = link.table.next_message(clock::now()) {
        messages.try_send(wrap(hello)).map_err(|_| Lost::Closed)?;
    }
    let mut request = Request::new(ReceiverStream::new(receiver));
    request.metadata_mut().insert(
        "authorization",
        MetadataValue::clone(&link.authorization.get()),
    );
    let response = timeout(WELCOME_MAX, client.session(request))
        .await
        .map_err(|_| Lost::Silent)??;
    Ok((messages, response.into_inner()))
}

fn receive(link: &mut Link, response: SessionResponse, welcomed: &mut Option<Instant>) {
    match response.message {
        Some(Message::Leases(leases)) => start(link, leases),
        Some(Message::OutcomesCommitted(committed)) => link.table.commit(committed.through),
        Some(Message::Revoke(revoke)) => link.table.revoke(&revoke.lease_ids),
        Some(Message::Welcome(welcome)) => {
            info!(
                version = welcome.version,
                "session with the control plane stands"
            );
            let listeners = welcome.listeners.iter();
            let sockets = listeners.filter_map(|text| text.parse().ok());
            link.control_plane = Some(link.sender.policy().learn(sockets));
            *welcomed = Some(clock::now());
            link.metrics.session_up.set(1);
            link.readiness.set(super::SESSION, true);
        }
        None => warn!("the control plane sent a message that this version does not know"),
    }
}

fn start(link: &mut Link, leases: Leases) {
    let arrived = clock::now();
    for lease in leases.leases {
        let Some(ticket) = link.table.enter(&lease) else {
            warn!(lease_id = lease.lease_id, "lease came twice");
            continue;
        };
        let (sender, ends) = (link.sender.clone(), link.ends.clone());
        tokio::spawn(work(sender, lease, ticket, arrived, ends));
    }
}

fn wrap(message: session_request::Message) -> SessionRequest {
    SessionRequest {
        message: Some(message),
    }
}
