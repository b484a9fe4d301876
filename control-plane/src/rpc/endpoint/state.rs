//! Pausing, resuming and trying endpoints.

use posthorn::v1;

use super::{Endpoints, Named, change::described};
use crate::{
    audit::Record,
    clock,
    error::Error,
    model::{id::EventId, object::ObjectState},
    registry::Changed,
    rpc::{Call, Caller, Made, convert::printable, object},
    store::{LedgerTx, RegistryTx},
};

const REASON_CHARS_MAX: usize = 500;

impl Endpoints {
    pub(super) async fn pause(
        &self,
        caller: &Caller,
        request: v1::PauseEndpointRequest,
    ) -> Result<v1::PauseEndpointResponse, Error> {
        let now = self.core.clock.now_ms();
        let named = self.named(caller, &request.tenant_id, &request.endpoint_id)?;
        let reason = printable("reason", &request.reason, REASON_CHARS_MAX)?;
        let call = Call::new(caller, "PauseEndpoint", &request, &request.request_id, now)?;
        let change = async |tx: &mut RegistryTx| {
            let (endpoint, record) =
                set_state(tx, &named, ObjectState::Paused, &reason, now).await?;
            let response = v1::PauseEndpointResponse {
                endpoint: Some(endpoint),
            };
            let record = record.because(reason);
            Ok(Made::new(response, record).of([Changed::Endpoint(named.id)]))
        };
        self.mutations.make(call, change).await
    }

    pub(super) async fn resume(
        &self,
        caller: &Caller,
        request: v1::ResumeEndpointRequest,
    ) -> Result<v1::ResumeEndpointResponse, Error> {
        let now = self.core.clock.now_ms();
        let named = self.named(caller, &request.tenant_id, &request.endpoint_id)?;
        let call = Call::new(caller, "ResumeEndpoint", &request, &request.request_id, now)?;
        let change = async |tx: &mut RegistryTx| {
            let (endpoint, record) = set_state(tx, &named, ObjectState::Enabled, "", now).await?;
            let response = v1::ResumeEndpointResponse {
                endpoint: Some(endpoint),
            };
            Ok(Made::new(response, record).of([Changed::Endpoint(named.id)]))
        };
        self.mutations.make(call, change).await
    }

    pub(super) async fn test(
        &self,
        caller: &Caller,
        request: v1::TestEndpointRequest,
    ) -> Result<v1::TestEndpointResponse, Error> {
        let now = self.core.clock.now_ms();
        let named = self.named(caller, &request.tenant_id, &request.endpoint_id)?;
        let call = Call::new(caller, "TestEndpoint", &request, &request.request_id, now)?;
        if let Some(response) = call.earlier(&self.core.store).await? {
            return Ok(response);
        }
        let endpoint = named.get(&self.core.store).await?;
        if endpoint.state != ObjectState::Enabled {
            return Err(Error::FailedPrecondition(
                "the endpoint is not enabled: resume it first".to_owned(),
            ));
        }
        let registry = self.core.registry.snapshot();
        if registry.endpoint(named.id).is_none() {
            let text = "the endpoint's secrets cannot be opened: its master key is not configured";
            return Err(Error::FailedPrecondition(text.to_owned()));
        }
        let change = async |tx: &mut LedgerTx| {
            let event_id = EventId::new(now, named.tenant.shard, &mut clock::rng());
            let written = self.dispatch.test_within(tx, &endpoint, event_id).await?;
            let record = Record::of(endpoint.tenant_id, named.id);
            let record = record.setting("event_id", None, event_id);
            let response = v1::TestEndpointResponse {
                event_id: event_id.to_string(),
                delivery_id: event_id.delivery(1).to_string(),
            };
            Ok(Made::new(response, record).then(move |_| written.committed()))
        };
        let shard = named.tenant.shard;
        self.mutations.make_in(shard, call, change).await
    }
}

/// Moves an endpoint to a state; what is disabled can only be enabled again.
async fn set_state(
    tx: &mut RegistryTx,
    named: &Named,
    state: ObjectState,
    reason: &str,
    now: i64,
) -> Result<(v1::Endpoint, Record), Error> {
    let mut endpoint = named.hold(tx, now).await?;
    if state == ObjectState::Paused && endpoint.state == ObjectState::Disabled {
        let text = "the endpoint is disabled: resume it first";
        return Err(Error::FailedPrecondition(text.to_owned()));
    }
    let before = described(tx, &endpoint, now).await?;
    object::set_state(tx, &mut endpoint, state, reason).await?;
    let after = described(tx, &endpoint, now).await?;
    let record = Record::of(endpoint.tenant_id, named.id);
    let record = record.changing(Some(&before), Some(&after));
    Ok((after, record))
}
