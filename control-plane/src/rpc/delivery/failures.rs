//! The failed attempts of one endpoint.

use posthorn::v1;
use uuid::Uuid;

use super::{
    Deliveries, optional,
    view::{attempt_key, attempt_key_bytes, attempt_proto},
};
use crate::{
    error::Error,
    model::{
        delivery::Attempt,
        id::{DeliveryId, EndpointId},
    },
    rpc::{Caller, Page, QueryFingerprint, page::bad_token, time_range::TimeRange},
    store::{FailedFilter, FailedPlace},
};

/// How far back attempts are listed when the caller does not say, in milliseconds.
const SINCE_DEFAULT_MS: i64 = 60 * 60 * 1_000;

impl Deliveries {
    pub(super) async fn failures(
        &self,
        caller: &Caller,
        request: v1::ListFailedAttemptsRequest,
    ) -> Result<v1::ListFailedAttemptsResponse, Error> {
        let tenant = self.tenant(caller, &request.tenant_id)?;
        let endpoint_id = optional::<EndpointId>("endpoint_id", &request.endpoint_id)?;
        let endpoint_id =
            endpoint_id.ok_or_else(|| Error::invalid("endpoint_id", "is required"))?;
        if !tenant.has_endpoint(endpoint_id) {
            return Err(Error::NotFound("endpoint"));
        }
        let range = TimeRange::parse(
            ("started_from", request.started_from.as_ref()),
            ("started_before", request.started_before.as_ref()),
        )?;
        let query = QueryFingerprint::new(
            "ListFailedAttempts",
            &[endpoint_id.uuid().as_bytes(), &range.fingerprint()],
        );
        let page = Page::parse(request.page_size, &request.page_token, query)?;
        let start = (
            range.before_ms,
            DeliveryId::from_uuid(Uuid::nil()),
            0,
            i64::MIN,
        );
        let since_ms = self.core.clock.now_ms() - SINCE_DEFAULT_MS;
        let filter = FailedFilter {
            shard: tenant.shard,
            endpoint_id,
            from: request.started_from.map_or(since_ms, |_| range.from_ms),
            before: match page.after() {
                None => start,
                Some(key) => place(key).ok_or_else(bad_token)?,
            },
            limit: page.rows_to_read(),
        };
        let rows = self.core.store.attempt_list_failed(&filter).await?;
        let (rows, next_page_token) = page.cut(rows, place_bytes);
        Ok(v1::ListFailedAttemptsResponse {
            attempts: rows.iter().map(|row| attempt_proto(row, caller)).collect(),
            next_page_token,
        })
    }
}

/// The key of an attempt in a page token: its instant, its delivery, its number and its lease.
fn place_bytes(attempt: &Attempt) -> Vec<u8> {
    let id = attempt.lease.delivery_id.uuid();
    let mut key = attempt.started_at.to_be_bytes().to_vec();
    key.extend_from_slice(id.as_bytes());
    key.extend_from_slice(&attempt_key_bytes(attempt));
    key
}

/// Reads that key.
fn place(key: &[u8]) -> Option<FailedPlace> {
    let (started_at, key) = key.split_first_chunk::<8>()?;
    let (id, key) = key.split_first_chunk::<16>()?;
    let (number, lease_id) = attempt_key(key)?;
    let id = DeliveryId::from_uuid(Uuid::from_bytes(*id));
    Some((i64::from_be_bytes(*started_at), id, number, lease_id))
}
