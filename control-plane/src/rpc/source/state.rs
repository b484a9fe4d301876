//! Whether a source takes requests.

use posthorn::v1;

use super::Sources;
use crate::{
    audit::Record,
    error::Error,
    model::object::ObjectState,
    registry::Changed,
    rpc::{Call, Caller, Made, convert::printable, object},
    store::RegistryTx,
};

const REASON_CHARS_MAX: usize = 500;

impl Sources {
    pub(super) async fn set_state(
        &self,
        caller: &Caller,
        request: v1::SetSourceStateRequest,
    ) -> Result<v1::SetSourceStateResponse, Error> {
        let now = self.core.clock.now_ms();
        let named = self.named(caller, &request.tenant_id, &request.source_id)?;
        let state = state(request.state)?;
        let reason = printable("reason", &request.reason, REASON_CHARS_MAX)?;
        let call = Call::new(caller, "SetSourceState", &request, &request.request_id, now)?;
        let change = async |tx: &mut RegistryTx| {
            let mut source = named.hold(tx, now).await?;
            let before = self.described(tx, &source, now).await?;
            object::set_state(tx, &mut source, state, &reason).await?;
            let after = self.described(tx, &source, now).await?;
            let record = Record::of(source.tenant_id, named.id).because(reason);
            let record = record.changing(Some(&before), Some(&after));
            let response = v1::SetSourceStateResponse {
                source: Some(after),
            };
            Ok(Made::new(response, record).of([Changed::Source(named.id)]))
        };
        self.mutations.make(call, change).await
    }
}

fn state(number: i32) -> Result<ObjectState, Error> {
    match v1::SourceState::try_from(number) {
        Ok(v1::SourceState::Enabled) => Ok(ObjectState::Enabled),
        Ok(v1::SourceState::Paused) => Ok(ObjectState::Paused),
        Ok(v1::SourceState::Disabled) => Ok(ObjectState::Disabled),
        Ok(v1::SourceState::Unspecified) | Err(_) => {
            Err(Error::invalid("state", "must be a state of a source"))
        }
    }
}
