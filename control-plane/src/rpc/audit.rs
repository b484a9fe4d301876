//! `AuditService`.

use posthorn::v1::{self, audit_service_server::AuditService};

use super::{
    Caller, Page, QueryFingerprint,
    convert::{any_or, id, timestamp},
    time_range::TimeRange,
};
use crate::{
    core::Core,
    error::Error,
    model::{
        audit::{AuditRecord, FieldChange},
        id::uuid_floor,
    },
    store::{AuditFilter, last_below},
};

/// How long the filters `method` and `target` may be, in bytes.
const FILTER_BYTES_MAX: usize = 256;

/// Serves `AuditService`.
#[derive(Debug, Clone)]
pub(crate) struct Audits {
    core: Core,
}

impl Audits {
    /// A service over the store.
    pub(crate) fn new(core: Core) -> Self {
        Self { core }
    }

    async fn list(
        &self,
        caller: &Caller,
        request: v1::ListAuditRequest,
    ) -> Result<v1::ListAuditResponse, Error> {
        let tenant_id = match (request.tenant_id.as_str(), caller.tenant_id()) {
            ("", None) => None,
            (text, _) => Some(
                caller
                    .tenant(&self.core.registry.snapshot(), text)?
                    .tenant
                    .id,
            ),
        };
        let range = TimeRange::parse(
            ("recorded_from", request.recorded_from.as_ref()),
            ("recorded_before", request.recorded_before.as_ref()),
        )?;
        let key_id = filter("key_id", &request.key_id)?
            .map(|text| id("key_id", text))
            .transpose()?;
        let query = QueryFingerprint::new(
            "ListAudit",
            &[
                tenant_id
                    .map_or([0; 16], |id| id.uuid().into_bytes())
                    .as_slice(),
                &range.fingerprint(),
                request.key_id.as_bytes(),
                request.method.as_bytes(),
                request.target.as_bytes(),
                &request.outcome.to_be_bytes(),
            ],
        );
        let page = Page::parse(request.page_size, &request.page_token, query)?;
        let last = last_below(uuid_floor(range.before_ms));
        let asked = AuditFilter {
            tenant_id,
            key_id,
            method: filter("method", &request.method)?,
            target: filter("target", &request.target)?,
            outcome: any_or::<v1::AuditOutcome, _>("outcome", request.outcome)?,
            from: uuid_floor(range.from_ms),
            through: page
                .after_uuid()?
                .map_or(last, |after| last.min(last_below(after))),
            limit: page.rows_to_read(),
        };
        let scanned = self.core.store.audit_list(&asked).await?;
        let (records, next_page_token) = page.cut_scanned(scanned, |record| record.id.uuid());
        Ok(v1::ListAuditResponse {
            records: records.into_iter().map(proto).collect(),
            next_page_token,
        })
    }
}

serves! {
    AuditService for Audits {
        list_audit => list(ListAuditRequest) -> ListAuditResponse;
    }
}

/// A text to narrow the list to. None: it is empty.
fn filter<'a>(field: &str, text: &'a str) -> Result<Option<&'a str>, Error> {
    if text.len() > FILTER_BYTES_MAX || text.contains('\0') {
        let rule = format!("must be at most {FILTER_BYTES_MAX} bytes without NUL");
        return Err(Error::invalid(field, rule));
    }
    Ok((!text.is_empty()).then_some(text))
}

fn proto(record: AuditRecord) -> v1::AuditRecord {
    let key_id = record.actor.key_id();
    v1::AuditRecord {
        audit_id: record.id.to_string(),
        recorded_at: Some(timestamp(record.recorded_at)),
        tenant_id: record
            .tenant_id
            .map(|id| id.to_string())
            .unwrap_or_default(),
        key_id: key_id.map(|id| id.to_string()).unwrap_or_default(),
        claimed_actor: record.actor.claimed().to_owned(),
        method: record.method,
        target: record.target,
        reason: record.reason,
        request_id: record.request_id,
        outcome: v1::AuditOutcome::from(record.outcome).into(),
        changes: record.changes.into_iter().map(change_proto).collect(),
    }
}

fn change_proto(change: FieldChange) -> v1::FieldChange {
    v1::FieldChange {
        field: change.field,
        old_value: change.old,
        new_value: change.new,
    }
}
