//! What is done to many dead letters at a time: redrive and discard.

use posthorn::v1;
use prost_types::Timestamp;

use super::{Deliveries, action, optional};
use crate::{
    audit::Record,
    error::Error,
    model::{
        delivery::{Action, DeliveryActionKind},
        id::EndpointId,
    },
    registry::TenantEntry,
    rpc::{Call, Caller, Made, time_range::TimeRange},
    store::{LedgerTx, OpenFilter},
};

/// How many dead letters one call takes unless it says otherwise.
const LIMIT_DEFAULT: u32 = 1_000;
/// How many dead letters one call can take.
const LIMIT_MAX: u32 = 10_000;

impl Deliveries {
    pub(super) async fn redrive(
        &self,
        caller: &Caller,
        request: v1::RedriveDeadLettersRequest,
    ) -> Result<v1::RedriveDeadLettersResponse, Error> {
        let now = self.core.clock.now_ms();
        let tenant = self.tenant(caller, &request.tenant_id)?;
        let died = (request.died_from.as_ref(), request.died_before.as_ref());
        let filter = dead_filter(&tenant, &request.endpoint_id, died, request.limit)?;
        let action = action(caller, DeliveryActionKind::Redrive, &request.reason, now)?;
        let call = Call::new(caller, &request, now)?;
        let change = async |tx: &mut LedgerTx| {
            let (redriven, moved) = self.dispatch.redrive(tx, &filter, &action).await?;
            let response = v1::RedriveDeadLettersResponse {
                redriven: u32::try_from(redriven).unwrap_or(u32::MAX),
                more: i64::try_from(redriven).is_ok_and(|redriven| redriven == filter.limit),
            };
            let record = filter_record(&filter, &request.endpoint_id, &action);
            let record = record.changing(None, Some(&response));
            Ok(Made::new(response, record).then(move |_| moved.committed()))
        };
        self.mutations.make_in(tenant.shard, call, change).await
    }

    pub(super) async fn discard(
        &self,
        caller: &Caller,
        request: v1::DiscardDeadLettersRequest,
    ) -> Result<v1::DiscardDeadLettersResponse, Error> {
        let now = self.core.clock.now_ms();
        let tenant = self.tenant(caller, &request.tenant_id)?;
        let died = (request.died_from.as_ref(), request.died_before.as_ref());
        let filter = dead_filter(&tenant, &request.endpoint_id, died, request.limit)?;
        let action = action(caller, DeliveryActionKind::Discard, &request.reason, now)?;
        let call = Call::new(caller, &request, now)?;
        let change = async |tx: &mut LedgerTx| {
            let discarded = tx.delivery_end_matching(&filter, &action).await?;
            let response = v1::DiscardDeadLettersResponse {
                discarded: u32::try_from(discarded).unwrap_or(u32::MAX),
                more: i64::try_from(discarded).is_ok_and(|discarded| discarded == filter.limit),
            };
            let record = filter_record(&filter, &request.endpoint_id, &action);
            let record = record.changing(None, Some(&response));
            Ok(Made::new(response, record))
        };
        self.mutations.make_in(tenant.shard, call, change).await
    }
}

/// What is put on record of something that is done to many dead letters.
fn filter_record(filter: &OpenFilter, endpoint_id: &str, action: &Action) -> Record {
    Record::of(filter.tenant_id, endpoint_id).because(&action.reason)
}

fn dead_filter(
    tenant: &TenantEntry,
    endpoint_id: &str,
    died: (Option<&Timestamp>, Option<&Timestamp>),
    limit: u32,
) -> Result<OpenFilter, Error> {
    let range = TimeRange::parse(("died_from", died.0), ("died_before", died.1))?;
    let limit = match limit {
        0 => LIMIT_DEFAULT,
        1..=LIMIT_MAX => limit,
        _ => {
            return Err(Error::invalid(
                "limit",
                format!("must be at most {LIMIT_MAX}"),
            ));
        }
    };
    Ok(OpenFilter {
        shard: tenant.shard,
        tenant_id: Some(tenant.tenant.id),
        endpoint_id: optional::<EndpointId>("endpoint_id", endpoint_id)?,
        died: Some((range.from_ms, range.before_ms)),
        limit: i64::from(limit),
    })
}
