//! Every call that changes something leaves one record, in the transaction of the change.

use std::collections::BTreeSet;

use posthorn::v1::{
    AcceptInboundRequestRequest, AuditOutcome, AuditRecord, CancelDeliveryRequest,
    CreateApiKeyRequest, CreateEventTypeRequest, DeleteEndpointRequest, DeleteEventTypeRequest,
    DeleteSourceRequest, DeleteTenantRequest, DiscardDeadLettersRequest, EndpointSettings,
    EndpointState, GetEndpointRequest, HoldInboundRequestRequest, ListAuditRequest,
    ReadInboundPayloadRequest, RedriveDeadLettersRequest, ReleaseInboundRequestRequest,
    ReplayInboundRequestRequest, RetryDeliveryRequest, ReverifyInboundRequestRequest,
    RevokeApiKeyRequest, Role, RotateEndpointSecretRequest, RotateSourceSecretRequest,
    SetSourceStateRequest, SourceSettings, SourceState, TenantSettings, TestEndpointRequest,
    UpdateEndpointRequest, UpdateEventTypeRequest, UpdateSourceRequest, UpdateTenantRequest,
    Verdict,
};
use posthorn_harness::{Answer, Deployment, Sql, StoreKind};
use prost_types::FieldMask;
use tonic::{Code, Request};

use super::{await_records, records, records_of};
use crate::{
    inbound::operators::{World, secret},
    support::{
        descriptor::rpcs,
        follow::delivery_of,
        pause::{pause, resume},
        refusal::{assert_invalid, assert_refused},
    },
};

on_both! {
    every_call_that_changes_something_leaves_one_record,
    a_record_names_what_changed_and_shows_no_secret,
    a_caller_may_say_who_it_is,
    a_change_that_cannot_be_put_on_record_is_not_made,
    what_posthorn_does_by_itself_is_recorded,
}

/// Calls that change nothing.
const READS: [&str; 25] = [
    "GetApiKey",
    "GetDelivery",
    "GetDriftReport",
    "GetEndpoint",
    "GetEvent",
    "GetEventType",
    "GetInboundRequest",
    "GetSource",
    "GetTenant",
    "ListApiKeys",
    "ListAttempts",
    "ListAudit",
    "ListBacklogs",
    "ListConsumers",
    "ListDeliveries",
    "ListEndpoints",
    "ListEventTypes",
    "ListEvents",
    "ListFailedAttempts",
    "ListHandlings",
    "ListInboundRequests",
    "ListNodes",
    "ListProviders",
    "ListSources",
    "ListTenants",
];
/// Calls that carry data, which is its own record.
const DATA: [&str; 5] = ["Consume", "EmitEvent", "EmitEvents", "Forward", "Session"];

/// The update mask of one field.
fn mask(path: &str) -> FieldMask {
    FieldMask {
        paths: vec![path.to_owned()],
    }
}

/// Makes a call with the tenant, which must succeed and leave one record of its name.
macro_rules! call {
    ($world:expr, $done:expr, $service:ident.$rpc:ident: $request:ident { $($field:ident: $value:expr),* $(,)? }) => {{
        let mut request = $request::default();
        $(request.$field = $value.into();)*
        let name = stringify!($request).trim_end_matches("Request");
        // Those of inbound requests end so themselves.
        let name = if name.ends_with("Inbound") { format!("{name}Request") } else { name.to_owned() };
        let before = records_of(&$world.deployment.admin, &name).await.len();
        let answer = $world.deployment.admin.$service().$rpc(request).await;
        let answer = answer.unwrap_or_else(|status| panic!("{name}: {status:?}")).into_inner();
        let records = records_of(&$world.deployment.admin, &name).await;
        assert_eq!(records.len(), before + 1, "{name}: {records:?}");
        let record = &records[0];
        assert_eq!(record.outcome(), AuditOutcome::Done, "{name}");
        assert!(record.key_id.starts_with("key_") && !record.audit_id.is_empty(), "{name}");
        assert!(!record.target.is_empty(), "{name}: {record:?}");
        $done.insert(name);
        answer
    }};
}

async fn every_call_that_changes_something_leaves_one_record(store: StoreKind) {
    let world = World::start(store).await;
    let mut done = BTreeSet::new();
    let tenant = of_tenants(&world, &mut done).await;
    of_event_types(&world, &mut done).await;
    of_deliveries(&world, &mut done).await;
    let world = of_inbound_requests(world, &mut done).await;
    of_sources(&world, &mut done).await;
    call!(world, done, tenants.delete_tenant: DeleteTenantRequest { tenant_id: tenant });

    let all = rpcs().into_iter().map(|rpc| {
        let (_, method) = rpc.path.rsplit_once('/').expect("a path has a method");
        method.to_owned()
    });
    let left =
        all.filter(|method| !READS.contains(&method.as_str()) && !DATA.contains(&method.as_str()));
    assert_eq!(left.collect::<BTreeSet<_>>(), done);
}

async fn of_tenants(world: &World, done: &mut BTreeSet<String>) -> String {
    use posthorn::v1::CreateTenantRequest;
    let settings = |name: &str| TenantSettings {
        name: name.to_owned(),
        ..TenantSettings::default()
    };
    let made = call!(world, done, tenants.create_tenant: CreateTenantRequest { settings: settings("new") });
    let tenant = made.tenant.expect("the answer holds it");
    call!(world, done, tenants.update_tenant: UpdateTenantRequest {
        tenant_id: &tenant.tenant_id, settings: settings("newer"), etag: tenant.etag, update_mask: mask("name"),
    });
    let made = call!(world, done, api_keys.create_api_key: CreateApiKeyRequest {
        tenant_id: &tenant.tenant_id, name: "short", roles: [i32::from(Role::Viewer)],
    });
    let key_id = made.key.expect("the answer holds it").key_id;
    call!(world, done, api_keys.revoke_api_key: RevokeApiKeyRequest { key_id: key_id });
    tenant.tenant_id
}

async fn of_event_types(world: &World, done: &mut BTreeSet<String>) {
    let tenant = &world.deployment.tenant_id;
    let made = call!(world, done, event_types.create_event_type: CreateEventTypeRequest {
        tenant_id: tenant, name: "order.paid",
    });
    let etag = made.event_type.expect("the answer holds it").etag;
    call!(world, done, event_types.update_event_type: UpdateEventTypeRequest {
        tenant_id: tenant, name: "order.paid", description: "It is paid.", etag: etag, update_mask: mask("description"),
    });
    call!(world, done, event_types.delete_event_type: DeleteEventTypeRequest {
        tenant_id: tenant, name: "order.paid",
    });
}

async fn of_deliveries(world: &World, done: &mut BTreeSet<String>) {
    use posthorn::v1::{CreateEndpointRequest, EndpointState, SetEndpointStateRequest};
    let tenant = &world.deployment.tenant_id;
    let settings = EndpointSettings {
        url: world.deployment.receiver.url("/"),
        subscriptions: vec!["*".to_owned()],
        ..EndpointSettings::default()
    };
    let made = call!(world, done, endpoints.create_endpoint: CreateEndpointRequest {
        tenant_id: tenant, settings: settings.clone(),
    });
    let endpoint = made.endpoint.expect("the answer holds it");
    let id = &endpoint.endpoint_id;
    call!(world, done, endpoints.update_endpoint: UpdateEndpointRequest {
        tenant_id: tenant, endpoint_id: id, etag: endpoint.etag, update_mask: mask("name"),
        settings: EndpointSettings { name: "named".to_owned(), ..settings },
    });
    call!(world, done, endpoints.test_endpoint: TestEndpointRequest { tenant_id: tenant, endpoint_id: id });
    call!(world, done, endpoints.rotate_endpoint_secret: RotateEndpointSecretRequest { tenant_id: tenant, endpoint_id: id });
    call!(world, done, endpoints.set_endpoint_state: SetEndpointStateRequest {
 state: i32::from(EndpointState::Paused), tenant_id: tenant, endpoint_id: id });
    let emitted = world.deployment.admin.emit("a.b", "{}").await;
    let delivery = delivery_of(&world.deployment.admin, &emitted.event_id).await;
    call!(world, done, deliveries.retry_delivery: RetryDeliveryRequest {
        tenant_id: tenant, delivery_id: &delivery.delivery_id, reason: "now",
    });
    call!(world, done, deliveries.cancel_delivery: CancelDeliveryRequest {
        tenant_id: tenant, delivery_id: &delivery.delivery_id, reason: "never",
    });
    call!(world, done, deliveries.redrive_dead_letters: RedriveDeadLettersRequest {
        tenant_id: tenant, endpoint_id: id, reason: "all",
    });
    call!(world, done, deliveries.discard_dead_letters: DiscardDeadLettersRequest {
        tenant_id: tenant, endpoint_id: id, reason: "none",
    });
    call!(world, done, endpoints.set_endpoint_state: SetEndpointStateRequest {
 state: i32::from(EndpointState::Enabled), tenant_id: tenant, endpoint_id: id });
    call!(world, done, endpoints.delete_endpoint: DeleteEndpointRequest { tenant_id: tenant, endpoint_id: id, force: true });
}

async fn of_inbound_requests(mut world: World, done: &mut BTreeSet<String>) -> World {
    let tenant = world.deployment.tenant_id.clone();
    let body = r#"{"type":"a.b"}"#;
    let accepted = world.accepted("evt_1", body).await.inbound_request_id;
    let repeat = world.repeated("evt_1", body, Verdict::Duplicate).await;
    let rejected = world.rejected("evt_2", body).await;
    call!(world, done, inbound.read_inbound_payload: ReadInboundPayloadRequest {
        tenant_id: &tenant, inbound_request_id: &accepted, reason: "look",
    });
    call!(world, done, inbound.hold_inbound_request: HoldInboundRequestRequest {
        tenant_id: &tenant, inbound_request_id: &accepted, reason: "law",
    });
    call!(world, done, inbound.release_inbound_request: ReleaseInboundRequestRequest {
        tenant_id: &tenant, inbound_request_id: &accepted, reason: "law",
    });
    call!(world, done, inbound.replay_inbound_request: ReplayInboundRequestRequest {
        tenant_id: &tenant, inbound_request_id: &accepted, reason: "again",
    });
    call!(world, done, inbound.accept_inbound_request: AcceptInboundRequestRequest {
        tenant_id: &tenant, inbound_request_id: repeat.inbound_request_id, reason: "it is none",
    });
    call!(world, done, sources.rotate_source_secret: RotateSourceSecretRequest {
        tenant_id: &tenant, source_id: &world.source_id, secret: secret(2),
    });
    call!(world, done, inbound.reverify_inbound_request: ReverifyInboundRequestRequest {
        tenant_id: &tenant, inbound_request_id: rejected.inbound_request_id, reason: "rotated",
    });
    world
}

async fn of_sources(world: &World, done: &mut BTreeSet<String>) {
    use posthorn::v1::CreateSourceRequest;
    let tenant = &world.deployment.tenant_id;
    let settings = SourceSettings {
        provider: "standard_webhooks".to_owned(),
        ..SourceSettings::default()
    };
    let made = call!(world, done, sources.create_source: CreateSourceRequest {
        tenant_id: tenant, settings: settings.clone(),
    });
    let source = made.source.expect("the answer holds it");
    let id = &source.source_id;
    call!(world, done, sources.update_source: UpdateSourceRequest {
        tenant_id: tenant, source_id: id, etag: source.etag, update_mask: mask("name"),
        settings: SourceSettings { name: "named".to_owned(), ..settings },
    });
    call!(world, done, sources.set_source_state: SetSourceStateRequest {
        tenant_id: tenant, source_id: id, state: i32::from(SourceState::Paused), reason: "tests",
    });
    call!(world, done, sources.delete_source: DeleteSourceRequest { tenant_id: tenant, source_id: id });
}

/// What a record says of each field: its path, the old and the new value.
fn changes(record: &AuditRecord) -> Vec<(&str, Option<&str>, Option<&str>)> {
    let changes = record.changes.iter();
    let change = changes.map(|change| {
        let (old, new) = (change.old_value.as_deref(), change.new_value.as_deref());
        (change.field.as_str(), old, new)
    });
    change.collect()
}

async fn a_record_names_what_changed_and_shows_no_secret(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let (admin, tenant) = (&deployment.admin, &deployment.tenant_id);
    let url = deployment.receiver.url("/one");
    let made = admin.create_endpoint(&url, &["*"]).await;
    let endpoint = made.endpoint.expect("the answer holds it");
    let other = deployment.receiver.url("/other");
    let update = UpdateEndpointRequest {
        tenant_id: tenant.clone(),
        endpoint_id: endpoint.endpoint_id.clone(),
        settings: Some(EndpointSettings {
            url: other.clone(),
            ..EndpointSettings::default()
        }),
        update_mask: Some(mask("url")),
        etag: endpoint.etag,
        request_id: "once".to_owned(),
    };
    // A repeat changes nothing, and leaves no record.
    for _ in 0..2 {
        let updated = admin.endpoints().update_endpoint(update.clone()).await;
        updated.expect("it is updated");
    }
    let records = records_of(admin, "UpdateEndpoint").await;
    assert_eq!(records.len(), 1, "{records:?}");
    assert_eq!(records[0].request_id, "once");
    assert_eq!(records[0].tenant_id, *tenant);
    assert_eq!(records[0].target, endpoint.endpoint_id);
    let (url, other) = (Some(url.as_str()), Some(other.as_str()));
    assert_eq!(changes(&records[0]), [("settings.url", url, other)]);
    let line = format!("audit_id={}", records[0].audit_id);
    assert!(deployment.control.logged(&line).await, "{line}");

    let own = format!("whsec_{}", "QUJDRA".repeat(8));
    let rotation = RotateEndpointSecretRequest {
        tenant_id: tenant.clone(),
        endpoint_id: endpoint.endpoint_id.clone(),
        secret: own.clone(),
        ..RotateEndpointSecretRequest::default()
    };
    let rotated = admin.endpoints().rotate_endpoint_secret(rotation).await;
    rotated.expect("it is rotated");
    let rotations = records_of(admin, "RotateEndpointSecret").await;
    let changed = changes(&rotations[0]);
    assert!(!changed.is_empty(), "the fingerprints differ");
    let all = super::records(admin, ListAuditRequest::default()).await;
    let text = format!("{all:?}");
    for secret in [own.as_str(), made.secret.as_str()] {
        assert!(
            !text.contains(secret.trim_start_matches("whsec_")),
            "{text}"
        );
    }
}

/// A claim of one character too many.
const LONG: [u8; 101] = [b'x'; 101];

/// A creation under a claimed name.
fn claiming(actor: &'static [u8]) -> Option<Request<CreateEventTypeRequest>> {
    let mut request = Request::new(CreateEventTypeRequest {
        name: "order.paid".to_owned(),
        ..CreateEventTypeRequest::default()
    });
    let value = tonic::metadata::MetadataValue::try_from(actor).ok()?;
    request.metadata_mut().insert("posthorn-actor", value);
    Some(request)
}

async fn a_caller_may_say_who_it_is(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let operator = deployment.client(&[Role::Operator]).await;
    for actor in [b"".as_slice(), b" ", b"a\tb", &LONG] {
        let request = claiming(actor).expect("HTTP has such values");
        let answer = operator.event_types().create_event_type(request).await;
        assert_invalid("a claim", answer, "posthorn-actor");
    }
    let request = claiming(&LONG[1..]).expect("HTTP has such values");
    let answer = operator.event_types().create_event_type(request).await;
    answer.expect("it is created");
    let records = records_of(&deployment.admin, "CreateEventType").await;
    assert_eq!(records.len(), 1, "{records:?}");
    assert_eq!(records[0].claimed_actor.as_bytes(), &LONG[1..]);
}

async fn a_change_that_cannot_be_put_on_record_is_not_made(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let admin = &deployment.admin;
    let mut sql = Sql::open(&deployment.control.database()).await;
    sql.run("alter table audit rename to audit_away").await;
    let create = || CreateEventTypeRequest {
        tenant_id: deployment.tenant_id.clone(),
        name: "order.paid".to_owned(),
        request_id: "once".to_owned(),
        ..CreateEventTypeRequest::default()
    };
    let refused = admin.event_types().create_event_type(create()).await;
    let refused = assert_refused("no record", refused, Code::Unavailable);
    assert!(refused.says_when_to_retry, "{refused:?}");
    sql.run("alter table audit_away rename to audit").await;
    let left = sql.texts("select name from event_type").await;
    assert_eq!(left, [""; 0]);
    let created = admin.event_types().create_event_type(create()).await;
    created.expect("nothing of the first call is left");
    assert_eq!(records_of(admin, "CreateEventType").await.len(), 1);
}

async fn what_posthorn_does_by_itself_is_recorded(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let admin = &deployment.admin;
    deployment.receiver.answer("/gone", Answer::Status(410));
    let url = deployment.receiver.url("/gone");
    let made = admin.create_endpoint(&url, &["*"]).await;
    let endpoint = made.endpoint.expect("the answer holds it").endpoint_id;
    admin.emit("a.b", "{}").await;
    let request = ListAuditRequest {
        method: "DisableGoneEndpoint".to_owned(),
        ..ListAuditRequest::default()
    };
    let found = await_records(admin, request.clone()).await;
    assert_eq!(found.len(), 1, "{found:?}");
    let record = &found[0];
    assert_eq!((record.key_id.as_str(), &record.target), ("", &endpoint));
    assert_eq!(record.tenant_id, deployment.tenant_id);
    assert!(record.reason.contains("410"), "{record:?}");
    let get = GetEndpointRequest {
        tenant_id: deployment.tenant_id.clone(),
        endpoint_id: endpoint,
    };
    let shown = admin.endpoints().get_endpoint(get).await;
    let shown = shown.expect("it is there").into_inner().endpoint;
    let shown = shown.expect("the answer holds it");
    assert_eq!(shown.state(), EndpointState::Disabled);
    resume(admin, &shown.endpoint_id).await;
    pause(admin, &shown.endpoint_id).await;
    assert_eq!(records(admin, request).await.len(), 1);
}
