//! Legal holds: while one is placed, a copy of the body is kept with the request itself, whatever becomes of its event.

use std::sync::Arc;

use posthorn::v1;
use rand::Rng;

use super::{Inbounds, erased, view::request_proto};
use crate::{
    audit::Record,
    error::Error,
    model::{
        id::InboundId,
        inbound::{InboundActionKind, InboundRequest, Part, Verdict},
    },
    registry::TenantEntry,
    rpc::{Call, Caller, Made, convert::id},
    store::LedgerTx,
};

impl Inbounds {
    pub(super) async fn hold(
        &self,
        caller: &Caller,
        request: v1::HoldInboundRequestRequest,
    ) -> Result<v1::HoldInboundRequestResponse, Error> {
        let now = self.core.clock.now_ms();
        let of = self.target(caller, &request.tenant_id, &request.inbound_request_id)?;
        let reason = super::reason(&request.reason)?;
        let id = &request.request_id;
        let call = Call::new(caller, "HoldInboundRequest", &request, id, now)?;
        let change = async |tx: &mut LedgerTx| {
            let (record, found) = set_held(
                tx,
                caller,
                &of,
                (true, &reason),
                (now, &mut self.core.rng()),
            )
            .await?;
            let response = v1::HoldInboundRequestResponse {
                request: Some(request_proto(&found)),
            };
            Ok(Made::new(response, record))
        };
        self.mutations.make_in(of.tenant.shard, call, change).await
    }

    pub(super) async fn release(
        &self,
        caller: &Caller,
        request: v1::ReleaseInboundRequestRequest,
    ) -> Result<v1::ReleaseInboundRequestResponse, Error> {
        let now = self.core.clock.now_ms();
        let of = self.target(caller, &request.tenant_id, &request.inbound_request_id)?;
        let reason = super::reason(&request.reason)?;
        let id = &request.request_id;
        let call = Call::new(caller, "ReleaseInboundRequest", &request, id, now)?;
        let change = async |tx: &mut LedgerTx| {
            let (record, found) = set_held(
                tx,
                caller,
                &of,
                (false, &reason),
                (now, &mut self.core.rng()),
            )
            .await?;
            let response = v1::ReleaseInboundRequestResponse {
                request: Some(request_proto(&found)),
            };
            Ok(Made::new(response, record))
        };
        self.mutations.make_in(of.tenant.shard, call, change).await
    }

    fn target(&self, caller: &Caller, tenant: &str, inbound: &str) -> Result<HoldTarget, Error> {
        Ok(HoldTarget {
            tenant: self.tenant(caller, tenant)?,
            id: id("inbound_request_id", inbound)?,
        })
    }
}

/// Which request is held, or is to be.
struct HoldTarget {
    tenant: Arc<TenantEntry>,
    id: InboundId,
}

/// Places a hold or lifts it, unless it is so already. Returns what is put on record, and the request as it is now.
async fn set_held(
    tx: &mut LedgerTx,
    caller: &Caller,
    of: &HoldTarget,
    (held, reason): (bool, &str),
    (now, rng): (i64, &mut impl Rng),
) -> Result<(Record, InboundRequest), Error> {
    let tenant_id = of.tenant.tenant.id;
    let found = tx.inbound_lock(tenant_id, of.id).await?;
    let mut found = found.ok_or(Error::NotFound("inbound request"))?;
    let record = Record::of(tenant_id, found.id).because(reason);
    let record = record.setting("held", Some(found.held), held);
    if found.held != held {
        let kind = if held {
            place(tx, &found).await?;
            InboundActionKind::Hold
        } else {
            lift(tx, &found).await?;
            InboundActionKind::Release
        };
        let action = super::action(caller, &found, kind, reason.to_owned(), (now, rng));
        tx.inbound_action_record(&action).await?;
        found.held = held;
    }
    Ok((record, found))
}

async fn place(tx: &mut LedgerTx, request: &InboundRequest) -> Result<(), Error> {
    let body = tx.inbound_body(request).await?.ok_or_else(erased)?;
    tx.inbound_body_keep(request.id, &body).await?;
    Ok(tx.inbound_set_held(request.id, true).await?)
}

/// The body of what is an event, or repeats one with the same bytes, is kept there for as long as events are. The copy
/// goes; what has no event any more loses its body by that, as it would have without the hold.
async fn lift(tx: &mut LedgerTx, request: &InboundRequest) -> Result<(), Error> {
    if is_kept_elsewhere(tx, request).await? {
        tx.inbound_body_drop(request.id).await?;
    }
    Ok(tx.inbound_set_held(request.id, false).await?)
}

async fn is_kept_elsewhere(tx: &mut LedgerTx, request: &InboundRequest) -> Result<bool, Error> {
    let original_id = match (request.verdict, request.original_id) {
        (Verdict::Accepted, _) => return Ok(request.part != Part::Batch),
        (Verdict::Duplicate, Some(original_id)) => original_id,
        _ => return Ok(false),
    };
    let original = tx.inbound_lock(request.tenant_id, original_id).await?;
    Ok(original.is_some_and(|original| original.body_hash == request.body_hash))
}
