//! Event types: declared, changed, deleted.

use posthorn::v1::{
    CreateEventTypeRequest, DeleteEventTypeRequest, GetEventTypeRequest, ListEventTypesRequest,
    UpdateEventTypeRequest,
};
use posthorn_harness::{Deployment, StoreKind};
use prost_types::FieldMask;
use tonic::Code;

use crate::support::refusal::{assert_invalid, assert_refused};

on_both! {
    an_event_type_is_changed_and_deleted,
}

async fn an_event_type_is_changed_and_deleted(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let mut types = deployment.admin.event_types();
    let tenant_id = deployment.tenant_id.clone();
    let create = |name: &str| CreateEventTypeRequest {
        tenant_id: tenant_id.clone(),
        name: name.to_owned(),
        description: "what happened".to_owned(),
        ..CreateEventTypeRequest::default()
    };
    for name in ["order.paid", "invoice.sent"] {
        types
            .create_event_type(create(name))
            .await
            .expect("it is declared");
    }
    let result = types.create_event_type(create("order.paid")).await;
    assert_refused("declared before", result, Code::AlreadyExists);
    for name in ["", "a..b", "*", "a b"] {
        assert_invalid(name, types.create_event_type(create(name)).await, "name");
    }
    let list = ListEventTypesRequest {
        tenant_id: tenant_id.clone(),
        ..ListEventTypesRequest::default()
    };
    let listed = types.list_event_types(list).await.expect("they are listed");
    let names = listed
        .into_inner()
        .event_types
        .into_iter()
        .map(|one| one.name);
    assert_eq!(names.collect::<Vec<_>>(), ["invoice.sent", "order.paid"]);

    let get = GetEventTypeRequest {
        tenant_id: tenant_id.clone(),
        name: "order.paid".to_owned(),
    };
    let shown = types
        .get_event_type(get.clone())
        .await
        .expect("it is there");
    let shown = shown.into_inner().event_type.expect("the event type");
    let update = UpdateEventTypeRequest {
        tenant_id: tenant_id.clone(),
        name: shown.name,
        description: "money came".to_owned(),
        etag: shown.etag,
        update_mask: Some(FieldMask {
            paths: vec!["description".to_owned()],
        }),
        ..UpdateEventTypeRequest::default()
    };
    let changed = types
        .update_event_type(update.clone())
        .await
        .expect("it is changed");
    let changed = changed.into_inner().event_type.expect("the event type");
    assert_eq!(changed.description, "money came");
    let unmasked = UpdateEventTypeRequest {
        update_mask: None,
        ..update.clone()
    };
    let result = types.update_event_type(unmasked).await;
    assert_invalid("no mask", result, "update_mask");
    let result = types.update_event_type(update).await;
    assert_refused("an old etag", result, Code::Aborted);

    for name in ["order.paid", "invoice.sent"] {
        let delete = DeleteEventTypeRequest {
            tenant_id: tenant_id.clone(),
            name: name.to_owned(),
            ..DeleteEventTypeRequest::default()
        };
        types
            .delete_event_type(delete)
            .await
            .expect("it is deleted");
    }
    assert_refused("deleted", types.get_event_type(get).await, Code::NotFound);
    // Without a declared type any can be emitted again.
    deployment.admin.emit("whatever", "{}").await;
}
