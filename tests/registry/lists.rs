//! Lists come in pages, and a page's token belongs to its query.

use std::collections::BTreeSet;

use posthorn::v1::{ListEndpointsRequest, ListEventTypesRequest};
use posthorn_harness::{Deployment, StoreKind};

use super::settings;
use crate::support::refusal::assert_invalid;

on_both! {
    endpoints_are_listed_in_pages_that_belong_to_their_query,
}

async fn endpoints_are_listed_in_pages_that_belong_to_their_query(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let mut made = BTreeSet::new();
    for _ in 0..7 {
        let created = deployment
            .admin
            .create_endpoint_with(settings(&deployment, "/"))
            .await;
        made.insert(created.endpoint.expect("the answer holds it").endpoint_id);
    }
    let mut endpoints = deployment.admin.endpoints();
    let ask = |page_size, page_token: &str| ListEndpointsRequest {
        tenant_id: deployment.tenant_id.clone(),
        page_size,
        page_token: page_token.to_owned(),
    };
    let mut listed = Vec::new();
    let mut token = String::new();
    let mut first_token = String::new();
    loop {
        let page = endpoints.list_endpoints(ask(3, &token)).await;
        let page = page.expect("they are listed").into_inner();
        listed.extend(page.endpoints.into_iter().map(|one| one.endpoint_id));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
        first_token = token.clone();
    }
    assert_eq!(listed, made.into_iter().collect::<Vec<_>>());
    for page_size in [0, 500, 1_000_000_000] {
        let page = endpoints.list_endpoints(ask(page_size, "")).await;
        assert_eq!(
            page.expect("they are listed").into_inner().endpoints.len(),
            7
        );
    }
    assert_invalid(
        "-1",
        endpoints.list_endpoints(ask(-1, "")).await,
        "page_size",
    );
    let other = deployment.admin.create_tenant("other").await;
    let of_other = ListEndpointsRequest {
        tenant_id: other,
        ..ask(3, &first_token)
    };
    let result = endpoints.list_endpoints(of_other).await;
    assert_invalid("another tenant's", result, "page_token");
    let cut = &first_token[..first_token.len() - 2];
    for token in [cut, "x", "é", &"A".repeat(10_000), "AAAA"] {
        let result = endpoints.list_endpoints(ask(3, token)).await;
        assert_invalid(&format!("{token:.8}"), result, "page_token");
    }
    let elsewhere = ListEventTypesRequest {
        tenant_id: deployment.tenant_id.clone(),
        page_size: 3,
        page_token: first_token,
    };
    let result = deployment
        .admin
        .event_types()
        .list_event_types(elsewhere)
        .await;
    assert_invalid("another list's", result, "page_token");
}
