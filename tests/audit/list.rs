//! Finding records.

use posthorn::v1::{AuditOutcome, CreateEventTypeRequest, ListAuditRequest, Role};
use posthorn_harness::{Client, Deployment, StoreKind};
use tonic::Code;

use super::records;
use crate::support::{
    refusal::{assert_invalid, assert_refused},
    time::from_now,
    unknown,
};

on_both! {
    records_are_found_by_each_filter,
    pages_follow_each_other_to_the_end,
    another_tenants_records_are_not_shown,
    a_filter_that_is_malformed_is_refused,
}

type Edit = fn(&mut ListAuditRequest);

async fn create(client: &Client, name: &str) {
    let request = CreateEventTypeRequest {
        tenant_id: client.tenant_id.clone(),
        name: name.to_owned(),
        ..CreateEventTypeRequest::default()
    };
    let created = client.event_types().create_event_type(request).await;
    created.expect("it is created");
}

async fn records_are_found_by_each_filter(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let admin = &deployment.admin;
    create(admin, "order.paid").await;
    create(admin, "order.sent").await;
    let all = records(admin, ListAuditRequest::default()).await;
    let one = all.iter().find(|record| record.target == "order.paid");
    let one = one.expect("it is on record");
    let by = |edit: fn(&mut ListAuditRequest)| {
        let mut request = ListAuditRequest {
            tenant_id: deployment.tenant_id.clone(),
            ..ListAuditRequest::default()
        };
        edit(&mut request);
        request
    };
    let mut by_key = by(|_| ());
    by_key.key_id.clone_from(&one.key_id);
    for (request, is_found) in [
        (by(|_| ()), true),
        (by(|request| request.tenant_id.clear()), true),
        (by_key, true),
        (
            by(|request| request.key_id = "key_01h455vb4pex5vsknk084sn02q".into()),
            false,
        ),
        (by(|request| request.target = "order.paid".into()), true),
        (by(|request| request.target = "order".into()), false),
        (
            by(|request| request.method = "CreateEventType".into()),
            true,
        ),
        (
            by(|request| request.method = "DeleteEventType".into()),
            false,
        ),
        (
            by(|request| request.outcome = AuditOutcome::Done.into()),
            true,
        ),
        (
            by(|request| request.outcome = AuditOutcome::Denied.into()),
            false,
        ),
        (
            by(|request| request.recorded_from = Some(from_now(-60))),
            true,
        ),
        (
            by(|request| request.recorded_from = Some(from_now(60))),
            false,
        ),
        (
            by(|request| request.recorded_before = Some(from_now(60))),
            true,
        ),
        (
            by(|request| request.recorded_before = Some(from_now(-60))),
            false,
        ),
    ] {
        let found = records(admin, request.clone()).await;
        assert_eq!(found.contains(one), is_found, "{request:?}: {found:?}");
    }
}

async fn pages_follow_each_other_to_the_end(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let admin = &deployment.admin;
    for number in 0..5 {
        create(admin, &format!("order.number{number}")).await;
    }
    let all = records(admin, ListAuditRequest::default()).await;
    assert!(
        all.is_sorted_by(|one, next| one.audit_id > next.audit_id),
        "{all:?}"
    );
    let mut paged = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListAuditRequest {
            page_size: 2,
            page_token,
            ..ListAuditRequest::default()
        };
        let page = admin.audit().list_audit(request).await;
        let page = page.expect("records are listed").into_inner();
        assert!(page.records.len() <= 2);
        paged.extend(page.records);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(paged, all);
}

async fn another_tenants_records_are_not_shown(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    create(&deployment.admin, "order.paid").await;
    let installation = deployment.admin.for_tenant("");
    let other = installation.create_tenant("other").await;
    let key = installation
        .for_tenant(&other)
        .create_key(&[Role::Admin])
        .await;
    let stranger = installation.with_key(&key);
    let shown = records(&stranger, ListAuditRequest::default()).await;
    assert!(
        shown.iter().all(|record| record.tenant_id == other),
        "{shown:?}"
    );
    let request = ListAuditRequest {
        tenant_id: deployment.tenant_id.clone(),
        ..ListAuditRequest::default()
    };
    let refused = stranger.audit().list_audit(request).await;
    assert_refused("another tenant", refused, Code::PermissionDenied);
    let request = ListAuditRequest {
        tenant_id: unknown::TENANT.to_owned(),
        ..ListAuditRequest::default()
    };
    let refused = installation.audit().list_audit(request).await;
    assert_refused("no tenant", refused, Code::NotFound);
}

async fn a_filter_that_is_malformed_is_refused(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let edits: [(&str, Edit); 8] = [
        ("tenant_id", |request| request.tenant_id = "x".into()),
        ("key_id", |request| request.key_id = "key_x".into()),
        ("method", |request| request.method = "\0".into()),
        ("target", |request| request.target = "x".repeat(257)),
        ("outcome", |request| request.outcome = 3),
        ("page_size", |request| request.page_size = -1),
        ("page_token", |request| request.page_token = "x".into()),
        ("recorded_before", |request| {
            request.recorded_from = Some(from_now(0));
            request.recorded_before = Some(from_now(-1));
        }),
    ];
    for (field, edit) in edits {
        let mut request = ListAuditRequest::default();
        edit(&mut request);
        let refused = deployment.admin.audit().list_audit(request).await;
        assert_invalid(field, refused, field);
    }
}
