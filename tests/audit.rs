//! Who did what: every change leaves one record, every call that is denied leaves one, and none shows a secret.

mod changes;
mod denials;
mod list;

use posthorn::v1::{AuditRecord, ListAuditRequest};
use posthorn_harness::{Client, eventually};

use super::support::DEADLINE;

/// The records that a request asks for, the newest first.
async fn records(client: &Client, request: ListAuditRequest) -> Vec<AuditRecord> {
    let answer = client.audit().list_audit(request).await;
    answer.expect("records are listed").into_inner().records
}

/// Those of a call.
async fn records_of(client: &Client, method: &str) -> Vec<AuditRecord> {
    let request = ListAuditRequest {
        method: method.to_owned(),
        ..ListAuditRequest::default()
    };
    records(client, request).await
}

/// Waits for one record at least: what is recorded afterwards comes in its own time.
async fn await_records(client: &Client, request: ListAuditRequest) -> Vec<AuditRecord> {
    let mut found = Vec::new();
    eventually("it is on record", DEADLINE, async || {
        found = records(client, request.clone()).await;
        !found.is_empty()
    })
    .await;
    found
}
