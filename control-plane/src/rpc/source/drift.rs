//! What polling found that the webhook had missed.

use posthorn::v1;
use uuid::Uuid;

use super::Sources;
use crate::{
    error::{Error, Reason},
    rpc::{
        Caller, Page, QueryFingerprint,
        convert::{instant_ms, timestamp},
    },
    store::DriftRow,
};

/// How far the report goes back when the caller does not say.
const BACK_DEFAULT_MS: i64 = 24 * 60 * 60 * 1_000;

impl Sources {
    pub(super) async fn drift(
        &self,
        caller: &Caller,
        request: v1::GetDriftReportRequest,
    ) -> Result<v1::GetDriftReportResponse, Error> {
        let named = self.named(caller, &request.tenant_id, &request.source_id)?;
        let from = request.received_from.as_ref();
        let from = from.map(|at| instant_ms("received_from", at)).transpose()?;
        let query = QueryFingerprint::new(
            "GetDriftReport",
            &[
                named.id.uuid().as_bytes(),
                &from.unwrap_or_default().to_be_bytes(),
            ],
        );
        let page = Page::parse(request.page_size, &request.page_token, query)?;
        let from = from.unwrap_or_else(|| self.core.clock.now_ms() - BACK_DEFAULT_MS);
        named.get(&self.core.store).await?;
        let Some(poll) = self
            .core
            .store
            .poll_get(named.tenant.shard, named.id)
            .await?
        else {
            let text = "the source is not polled: set `settings.poll`";
            return Err(Error::precondition(Reason::SourceNotPolled, text));
        };
        let shard = named.tenant.shard;
        let from = self.core.store.poll_drift_from(shard, from).await?;
        let counts = self.core.store.poll_drift_counts(shard, named.id, from);
        let (by_webhook, by_poll) = counts.await?;
        let below = page.after_uuid()?.unwrap_or(Uuid::max());
        let items =
            self.core
                .store
                .poll_drift_list(shard, named.id, from, below, page.rows_to_read());
        let (items, next_page_token) = page.cut(items.await?, |row| row.id.uuid().into_bytes());
        Ok(v1::GetDriftReportResponse {
            by_webhook: count(by_webhook),
            by_poll: count(by_poll),
            items: items.iter().map(item).collect(),
            next_page_token,
            polled_at: poll.polled_at.map(timestamp),
            next_poll_at: Some(timestamp(poll.next_poll_at)),
            failures: u32::try_from(poll.failures).unwrap_or_default(),
            last_error: poll.last_error,
            counted_from: Some(timestamp(from)),
        })
    }
}

fn item(row: &DriftRow) -> v1::DriftItem {
    v1::DriftItem {
        inbound_request_id: row.id.to_string(),
        provider_event_id: row.provider_event_id.clone(),
        event_type: row.event_type.as_str().to_owned(),
        received_at: Some(timestamp(row.received_at)),
    }
}

fn count(rows: i64) -> u64 {
    u64::try_from(rows).unwrap_or_default()
}
