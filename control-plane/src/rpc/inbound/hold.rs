//! Legal holds: while one is placed, a copy of the body is kept with the request itself, whatever becomes of its event.

use std::sync::Arc;

use posthorn::v1;
use prost::Message;

use super::{Inbounds, view::request_proto};
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

/// Which request, and whose.
type Target = (Arc<TenantEntry>, InboundId);

/// What becomes of a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hold {
    Placed,
    Lifted,
}

impl Inbounds {
    pub(super) async fn hold(
        &self,
        caller: &Caller,
        request: v1::HoldInboundRequestRequest,
    ) -> Result<v1::HoldInboundRequestResponse, Error> {
        let target = self.target(caller, &request.tenant_id, &request.inbound_request_id)?;
        let call = Call::new(caller, &request, self.core.clock.now_ms())?;
        self.set(
            caller,
            call,
            target,
            Hold::Placed,
            &request.reason,
            |found| v1::HoldInboundRequestResponse {
                request: Some(request_proto(found)),
            },
        )
        .await
    }

    pub(super) async fn release(
        &self,
        caller: &Caller,
        request: v1::ReleaseInboundRequestRequest,
    ) -> Result<v1::ReleaseInboundRequestResponse, Error> {
        let target = self.target(caller, &request.tenant_id, &request.inbound_request_id)?;
        let call = Call::new(caller, &request, self.core.clock.now_ms())?;
        self.set(
            caller,
            call,
            target,
            Hold::Lifted,
            &request.reason,
            |found| v1::ReleaseInboundRequestResponse {
                request: Some(request_proto(found)),
            },
        )
        .await
    }

    fn target(&self, caller: &Caller, tenant: &str, inbound: &str) -> Result<Target, Error> {
        Ok((
            self.tenant(caller, tenant)?,
            id("inbound_request_id", inbound)?,
        ))
    }

    /// Places a hold or lifts it, unless it is so already.
    async fn set<R: Message + Default>(
        &self,
        caller: &Caller,
        call: Call,
        (tenant, inbound_id): Target,
        into: Hold,
        reason: &str,
        answer: impl FnOnce(&InboundRequest) -> R,
    ) -> Result<R, Error> {
        let reason = super::reason(reason)?;
        let change = async |tx: &mut LedgerTx| {
            let found = tx.inbound_lock(tenant.tenant.id, inbound_id).await?;
            let mut found = found.ok_or(Error::NotFound("inbound request"))?;
            let held = into == Hold::Placed;
            let record = Record::of(found.tenant_id, found.id).because(&reason);
            let record = record.setting("held", Some(found.held), held);
            if found.held != held {
                let kind = match into {
                    Hold::Placed => place(tx, &found).await?,
                    Hold::Lifted => lift(tx, &found).await?,
                };
                let at = (self.core.clock.now_ms(), &mut self.core.rng());
                let action = super::action(caller, &found, kind, reason, at);
                tx.inbound_action_record(&action).await?;
                found.held = held;
            }
            Ok(Made::new(answer(&found), record))
        };
        self.mutations.make_in(tenant.shard, call, change).await
    }
}

async fn place(tx: &mut LedgerTx, request: &InboundRequest) -> Result<InboundActionKind, Error> {
    let body = tx.inbound_body(request).await?.ok_or(Error::Erased)?;
    tx.inbound_body_keep(request.id, &body).await?;
    tx.inbound_set_held(request.id, true).await?;
    Ok(InboundActionKind::Hold)
}

/// The body of what is an event, or repeats one with the same bytes, is kept there for as long as events are. The copy
/// goes; what has no event any more loses its body by that, as it would have without the hold.
async fn lift(tx: &mut LedgerTx, request: &InboundRequest) -> Result<InboundActionKind, Error> {
    if is_kept_elsewhere(tx, request).await? {
        tx.inbound_body_drop(request.id).await?;
    }
    tx.inbound_set_held(request.id, false).await?;
    Ok(InboundActionKind::Release)
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
