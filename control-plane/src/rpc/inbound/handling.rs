//! What consumers' handlers did with the events of an inbound request, read from the log of attempts.
//!
//! What a handler did that was deleted since is still shown, without its name.

use posthorn::v1;

use super::Inbounds;
use crate::{
    error::Error,
    model::{
        delivery::{Attempt, ErrorKind},
        endpoint::Handler,
        id::{DeliveryId, EventId},
        inbound::InboundRequest,
    },
    registry::Registry,
    rpc::{
        Caller, Page, QueryFingerprint,
        convert::{duration_proto, timestamp},
        delivery::view::{attempt_key, place_bytes},
        page::bad_token,
    },
};

/// How many attempts are read at a time.
const READ_ROWS: i64 = 500;
/// How many times 500 attempts are read for one page of handlings.
const READS_MAX: usize = 20;

/// Where in the log an attempt stands: its delivery, its number and its lease.
type LogPlace = (DeliveryId, i32, i64);

impl Inbounds {
    pub(super) async fn handlings(
        &self,
        caller: &Caller,
        request: v1::ListHandlingsRequest,
    ) -> Result<v1::ListHandlingsResponse, Error> {
        let tenant = self.tenant(caller, &request.tenant_id)?;
        let found = self.find(&tenant, &request.inbound_request_id).await?;
        let query = QueryFingerprint::new("ListHandlings", &[found.id.uuid().as_bytes()]);
        let page = Page::parse(request.page_size, &request.page_token, query)?;
        let after = page.after().map(|key| place(key).ok_or_else(bad_token));
        let mut after = after.transpose()?;
        let registry = self.core.registry.snapshot();
        let (mut handlings, mut reads) = (Vec::new(), 0);
        for event in self.events(&found).await? {
            let Some(mut from) = begin(event, after) else {
                continue;
            };
            loop {
                if reads == READS_MAX {
                    return Ok(page_proto(handlings, page.token(&key(from))));
                }
                reads += 1;
                let store = &self.core.store;
                let attempts = store.attempt_list_event(event, from, READ_ROWS).await?;
                for attempt in &attempts {
                    if handlings.len() == page.rows() {
                        return Ok(page_proto(handlings, page.token(&key(from))));
                    }
                    from = place_of(attempt);
                    handlings.extend(handling(&registry, attempt));
                }
                after = Some(from);
                if !is_full(&attempts) {
                    break;
                }
            }
        }
        Ok(page_proto(handlings, String::new()))
    }

    /// The events that the request became, by itself and by replays, in order.
    async fn events(&self, request: &InboundRequest) -> Result<Vec<EventId>, Error> {
        let actions = self.core.store.inbound_action_list(request.id).await?;
        let replays = actions.into_iter().filter_map(|action| action.event_id);
        let mut events = request
            .event_id()
            .into_iter()
            .chain(replays)
            .collect::<Vec<_>>();
        events.sort_unstable();
        events.dedup();
        Ok(events)
    }
}

fn page_proto(handlings: Vec<v1::Handling>, next_page_token: String) -> v1::ListHandlingsResponse {
    v1::ListHandlingsResponse {
        handlings,
        next_page_token,
    }
}

/// From where on the attempts of an event are read, when all up to a place have been. None: they have been.
fn begin(event: EventId, after: Option<LogPlace>) -> Option<LogPlace> {
    let (first, last) = event.delivery_range();
    let from = after.filter(|place| place.0 >= first);
    match from {
        None => Some((first, 0, i64::MIN)),
        Some(place) => (place.0 <= last).then_some(place),
    }
}

fn is_full(read: &[Attempt]) -> bool {
    i64::try_from(read.len()).is_ok_and(|length| length >= READ_ROWS)
}

fn place_of(attempt: &Attempt) -> LogPlace {
    (
        attempt.lease.delivery_id,
        i32::try_from(attempt.lease.attempt).unwrap_or(i32::MAX),
        attempt.lease.lease_id.cast_signed(),
    )
}

/// A place in a page token.
fn key((delivery_id, number, lease_id): LogPlace) -> Vec<u8> {
    let id = delivery_id.uuid().into_bytes();
    [&id[..], &place_bytes((number, lease_id))].concat()
}

/// Reads that key.
fn place(key: &[u8]) -> Option<LogPlace> {
    let (id, rest) = key.split_first_chunk::<16>()?;
    let (number, lease_id) = attempt_key(rest)?;
    let delivery_id = DeliveryId::from_uuid(uuid::Uuid::from_bytes(*id));
    Some((delivery_id, number, lease_id))
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
        duration: Some(duration_proto(attempt.duration_ms.into())),
    })
}

/// Whether an attempt can only have been a handler's: an HTTP success has a status.
fn is_handlers(attempt: &Attempt) -> bool {
    let outcome = attempt.outcome;
    outcome.status_code.is_none()
        && (outcome.succeeded() || outcome.error == Some(ErrorKind::HandlerFailed))
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;
    use crate::model::id::Shard;

    #[test]
    fn a_place_is_found_again_by_its_key() {
        let event = EventId::new(1, Shard(3), &mut StdRng::seed_from_u64(1));
        for place_of in [
            (event.delivery(1), 1, i64::MIN),
            (event.delivery(9), i32::MAX, 7),
        ] {
            assert_eq!(place(&key(place_of)), Some(place_of));
        }
        assert_eq!(place(&[0; 27]), None);
        assert_eq!(place(&[0; 29]), None);
    }

    #[test]
    fn reading_goes_on_within_an_event_and_after_those_that_are_read() {
        let mut rng = StdRng::seed_from_u64(2);
        let events = EventId::several(2, 1, Shard(3), &mut rng);
        let [first, second] = events[..] else {
            unreachable!("two were made")
        };
        let start = |event: EventId| Some((event.delivery(1), 0, i64::MIN));
        let within = Some((first.delivery(2), 4, 5));
        assert_eq!(begin(first, None), start(first));
        assert_eq!(begin(first, within), within);
        assert_eq!(begin(second, within), start(second));
        assert_eq!(begin(first, start(second)), None);
    }
}
