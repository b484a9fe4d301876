//! The ledger of an inbound request: what consumers' handlers did with its events, read from the log of attempts.
//!
//! What a handler did that was deleted since is still shown, without its name.

use posthorn::v1;

use crate::{
    model::{
        delivery::{Attempt, ErrorKind},
        endpoint::Handler,
        id::{DeliveryId, EventId},
    },
    registry::Registry,
    rpc::convert::timestamp,
    store::{Result, Store},
};

/// How many handlings are shown.
const HANDLINGS_MAX: usize = 500;
/// How many attempts are read at a time.
const PAGE_ATTEMPTS: i64 = 500;
/// How many times that is done for one answer.
const PAGES_MAX: usize = 40;

/// What handlers did with these events, by event, delivery and try.
pub(super) async fn handlings(
    store: &Store,
    registry: &Registry,
    events: impl Iterator<Item = EventId> + Send,
) -> Result<Vec<v1::Handling>> {
    let (mut found, mut pages) = (Vec::new(), 0);
    for event in events {
        let mut after = (event.delivery_range().0, 0, i64::MIN);
        loop {
            if found.len() >= HANDLINGS_MAX || pages >= PAGES_MAX {
                return Ok(found);
            }
            pages += 1;
            let attempts = store
                .attempt_list_event(event, after, PAGE_ATTEMPTS)
                .await?;
            let handled = attempts
                .iter()
                .filter_map(|attempt| handling(registry, attempt));
            found.extend(handled.take(HANDLINGS_MAX - found.len()));
            match attempts.last() {
                Some(last) if is_full(&attempts) => after = key(last),
                _ => break,
            }
        }
    }
    Ok(found)
}

fn is_full(page: &[Attempt]) -> bool {
    i64::try_from(page.len()).is_ok_and(|length| length >= PAGE_ATTEMPTS)
}

/// Where in the log an attempt stands.
fn key(attempt: &Attempt) -> (DeliveryId, i32, i64) {
    (
        attempt.lease.delivery_id,
        i32::try_from(attempt.lease.attempt).unwrap_or(i32::MAX),
        attempt.lease.lease_id.cast_signed(),
    )
}

/// An attempt as what a handler did. None: no handler made it.
fn handling(registry: &Registry, attempt: &Attempt) -> Option<v1::Handling> {
    let handler = match registry.endpoint(attempt.endpoint_id) {
        Some(live) => Some(live.endpoint.handler()?.clone()),
        None if is_handlers(attempt) => None,
        None => return None,
    };
    let (group, handler) = handler.map_or_else(Default::default, |Handler { group, handler }| {
        (group, handler)
    });
    let said = String::from_utf8_lossy(&attempt.excerpt).into_owned();
    let (effect, error) = match attempt.outcome.error {
        None => (said, String::new()),
        Some(kind) if said.is_empty() => (String::new(), kind.as_str().to_owned()),
        Some(_) => (String::new(), said),
    };
    Some(v1::Handling {
        group,
        handler,
        delivery_id: attempt.lease.delivery_id.to_string(),
        attempt: attempt.lease.attempt,
        succeeded: attempt.outcome.succeeded(),
        effect,
        error,
        started_at: Some(timestamp(attempt.started_at)),
        duration_ms: attempt.duration_ms,
    })
}

/// Whether an attempt can only have been a handler's: an HTTP success has a status.
fn is_handlers(attempt: &Attempt) -> bool {
    let outcome = attempt.outcome;
    outcome.status_code.is_none()
        && (outcome.succeeded() || outcome.error == Some(ErrorKind::HandlerFailed))
}
