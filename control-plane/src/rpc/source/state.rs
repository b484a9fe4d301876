//! Whether a source takes requests.

use posthorn::v1;

use super::Sources;
use crate::{
    audit::Record,
    error::Error,
    registry::Changed,
    rpc::{
        Call, Caller, Made,
        convert::{one_of, printable},
        object,
    },
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
        let state = one_of::<v1::SourceState, _>("state", request.state)?;
        let reason = printable("reason", &request.reason, REASON_CHARS_MAX)?;
        let call = Call::new(caller, &request, now)?;
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
