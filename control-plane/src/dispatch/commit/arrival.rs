//! What arrives from a provider to be received: a request that is one event, or a batch and its items.

use bytes::Bytes;

use super::{Load, emit};
use crate::{
    dispatch::Dispatch,
    error::Error,
    model::{
        event::NewEvent,
        event_type::EventTypeName,
        id::{SourceId, TenantId},
        inbound::InboundRequest,
        source::OnConflict,
    },
    store::{Brings, InboundRow},
};

/// How many deliveries the items of one batch have together: they are one commit.
const BATCH_DELIVERIES_MAX: usize = 65_536;

/// A request that verified, or an item of one.
#[derive(Debug, Clone)]
pub(crate) struct Arrival {
    /// Its record, as it is when it is accepted.
    pub request: InboundRequest,
    /// What it holds.
    pub holds: Holds,
    /// For how long its claim holds, in milliseconds. None: for ever.
    pub window_ms: Option<i64>,
    /// What becomes of it when other bytes have its claim.
    pub on_conflict: OnConflict,
}

/// What a request holds.
#[derive(Debug, Clone)]
pub(crate) enum Holds {
    /// One event.
    Event(NewEvent),
    /// Items, which arrive with it. This is its body.
    Batch(Bytes),
}

impl Dispatch {
    /// Whether items of these types are few enough deliveries to be one commit.
    pub(crate) fn can_split<'a>(
        &self,
        tenant_id: TenantId,
        source_id: SourceId,
        types: impl Iterator<Item = &'a EventTypeName>,
    ) -> bool {
        let registry = self.0.core.registry.snapshot();
        let Some(tenant) = registry.tenant(tenant_id) else {
            return true;
        };
        let counts = types.map(|name| tenant.subscribers(name, Some(source_id)).len());
        counts.sum::<usize>() <= BATCH_DELIVERIES_MAX
    }

    /// The rows of what arrives, with whom the events go to.
    pub(super) fn rows(&self, arrivals: Vec<Arrival>) -> Result<Vec<InboundRow>, Error> {
        let registry = self.0.core.registry.snapshot();
        let row = |arrival: Arrival| {
            let request = arrival.request;
            let brings = match arrival.holds {
                Holds::Batch(body) => Brings::Batch(body),
                Holds::Event(event) => {
                    let tenant = registry
                        .tenant(request.tenant_id)
                        .ok_or(Error::NotFound("tenant"))?;
                    Brings::Event(emit::row_of(tenant, request.id.event(), event)?)
                }
            };
            Ok(InboundRow {
                request,
                brings,
                window_ms: arrival.window_ms,
                on_conflict: arrival.on_conflict,
            })
        };
        arrivals.into_iter().map(row).collect()
    }
}

/// What rows add to a commit.
pub(super) fn load(rows: &[InboundRow]) -> Load {
    let loads = rows.iter().map(|row| match &row.brings {
        Brings::Event(emit) => Load::of(emit),
        Brings::Batch(body) => Load {
            bytes: body.len(),
            ..Load::default()
        },
    });
    loads.fold(Load::default(), Load::plus)
}
