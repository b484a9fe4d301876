//! Whether an endpoint gets events, and trying one.

use posthorn::v1;

use super::{Endpoints, change::described};
use crate::{
    audit::Record,
    error::{Error, Reason},
    model::{id::EventId, object::ObjectState},
    registry::Changed,
    rpc::{
        Call, Caller, Made,
        convert::{one_of, printable},
        object,
    },
    store::{LedgerTx, RegistryTx},
};

const REASON_CHARS_MAX: usize = 500;

impl Endpoints {
    pub(super) async fn set_state(
        &self,
        caller: &Caller,
        request: v1::SetEndpointStateRequest,
    ) -> Result<v1::SetEndpointStateResponse, Error> {
        let now = self.core.clock.now_ms();
        let named = self.named(caller, &request.tenant_id, &request.endpoint_id)?;
        let state = one_of::<v1::EndpointState, _>("state", request.state)?;
        let reason = printable("reason", &request.reason, REASON_CHARS_MAX)?;
        let call = Call::new(caller, &request, now)?;
        let change = async |tx: &mut RegistryTx| {
            let mut endpoint = named.hold(tx, now).await?;
            may_become(endpoint.state, state)?;
            let before = described(tx, &endpoint, now).await?;
            object::set_state(tx, &mut endpoint, state, &reason).await?;
            let after = described(tx, &endpoint, now).await?;
            let record = Record::of(endpoint.tenant_id, named.id).because(reason);
            let record = record.changing(Some(&before), Some(&after));
            let response = v1::SetEndpointStateResponse {
                endpoint: Some(after),
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
        let call = Call::new(caller, &request, now)?;
        if let Some(response) = call.earlier(&self.core.store).await? {
            return Ok(response);
        }
        let endpoint = named.get(&self.core.store).await?;
        if endpoint.state != ObjectState::Enabled {
            return Err(Error::precondition(
                Reason::EndpointNotEnabled,
                "the endpoint is not enabled: enable it first",
            ));
        }
        let registry = self.core.registry.snapshot();
        if registry.endpoint(named.id).is_none() {
            let text = "the endpoint's secrets cannot be opened: its master key is not configured";
            return Err(Error::precondition(Reason::SecretsSealed, text));
        }
        let change = async |tx: &mut LedgerTx| {
            let event_id = EventId::new(now, named.tenant.shard, &mut self.core.rng());
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

/// Whether an endpoint may go from one state to another: to pause a disabled one would queue events for it again.
fn may_become(from: ObjectState, to: ObjectState) -> Result<(), Error> {
    if (from, to) == (ObjectState::Disabled, ObjectState::Paused) {
        let text = "the endpoint is disabled: enable it first";
        return Err(Error::precondition(Reason::EndpointDisabled, text));
    }
    Ok(())
}
