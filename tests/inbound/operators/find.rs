//! Finding inbound requests: by source, verdict, type, provider's id and time, page by page.

use posthorn::v1::{InboundChannel, InboundRequest, ListInboundRequestsRequest, Verdict};
use posthorn_harness::StoreKind;
use tonic::Code;

use super::{World, secret, source};
use crate::support::{
    hand_edge::provider_of,
    refusal::{assert_invalid, assert_refused},
    time::from_now,
};

on_both! {
    requests_are_found_by_source_verdict_type_id_and_time,
    a_page_belongs_to_its_question,
    a_list_names_what_is_wrong_with_its_question,
}

/// A world with requests of every verdict from two sources, newest first.
async fn found(store: StoreKind) -> (World, Vec<InboundRequest>) {
    let mut world = World::start(store).await;
    let second = source(&world.deployment.admin, "second").await;
    let provider = provider_of(&second, &secret(1));
    for round in 0..3 {
        let id = format!("evt_{round}");
        let body = format!(r#"{{"type":"charge.round{}","round":{round}}}"#, round % 2);
        world.accepted(&id, &body).await;
        world.repeated(&id, &body, Verdict::Duplicate).await;
        world.repeated(&id, "{}", Verdict::Conflict).await;
        world.rejected(&id, &body).await;
        world.quarantined(&id).await;
        // The other source has ids of its own.
        let answer = world.edge.post(&provider, &id, body).await;
        assert!((200..300).contains(&answer.status), "{answer:?}");
    }
    let all = list(&world, ListInboundRequestsRequest::default(), 500).await;
    assert_eq!(all.len(), 18, "{all:?}");
    (world, all)
}

/// Every request that matches, page by page.
async fn list(
    world: &World,
    request: ListInboundRequestsRequest,
    page_size: i32,
) -> Vec<InboundRequest> {
    let mut request = ListInboundRequestsRequest {
        tenant_id: world.deployment.tenant_id.clone(),
        page_size,
        ..request
    };
    let mut listed = Vec::new();
    loop {
        let mut inbound = world.deployment.admin.inbound();
        let answer = inbound.list_inbound_requests(request.clone()).await;
        let page = answer.expect("requests are listed").into_inner();
        assert!(i32::try_from(page.requests.len()).is_ok_and(|length| length <= page_size));
        listed.extend(page.requests);
        if page.next_page_token.is_empty() {
            return listed;
        }
        request.page_token = page.next_page_token;
    }
}

/// What can be asked of these requests.
fn questions(all: &[InboundRequest]) -> Vec<ListInboundRequestsRequest> {
    let mut questions = vec![ListInboundRequestsRequest::default()];
    let mut ask = |request| questions.push(request);
    let known = |one: &InboundRequest| (one.source_id.clone(), one.provider_event_id.clone());
    for one in all {
        let any = ListInboundRequestsRequest::default;
        let (source_id, provider_event_id) = known(one);
        let (verdict, event_type) = (one.verdict, one.event_type.clone());
        ask(ListInboundRequestsRequest {
            source_id: source_id.clone(),
            ..any()
        });
        ask(ListInboundRequestsRequest { verdict, ..any() });
        ask(ListInboundRequestsRequest {
            event_type: event_type.clone(),
            ..any()
        });
        ask(ListInboundRequestsRequest {
            received_from: one.received_at,
            ..any()
        });
        ask(ListInboundRequestsRequest {
            received_before: one.received_at,
            ..any()
        });
        if !provider_event_id.is_empty() {
            let by_id = ListInboundRequestsRequest {
                source_id,
                provider_event_id,
                ..any()
            };
            ask(ListInboundRequestsRequest {
                verdict,
                ..by_id.clone()
            });
            ask(ListInboundRequestsRequest {
                event_type,
                ..by_id.clone()
            });
            ask(by_id);
        }
    }
    questions
}

/// Whether a request answers a question.
fn matches(question: &ListInboundRequestsRequest, one: &InboundRequest) -> bool {
    let at = one.received_at.expect("a request has its time");
    let at = (at.seconds, at.nanos);
    let from = question.received_from.map(|at| (at.seconds, at.nanos));
    let before = question.received_before.map(|at| (at.seconds, at.nanos));
    (question.source_id.is_empty() || one.source_id == question.source_id)
        && (question.verdict == 0 || one.verdict == question.verdict)
        && (question.event_type.is_empty() || one.event_type == question.event_type)
        && (question.provider_event_id.is_empty()
            || one.provider_event_id == question.provider_event_id)
        && from.is_none_or(|from| at >= from)
        && before.is_none_or(|before| at < before)
}

async fn requests_are_found_by_source_verdict_type_id_and_time(store: StoreKind) {
    let (world, all) = found(store).await;
    for question in questions(&all) {
        let expected = all
            .iter()
            .filter(|one| matches(&question, one))
            .cloned()
            .collect::<Vec<_>>();
        for page_size in [1, 2, 500] {
            let listed = list(&world, question.clone(), page_size).await;
            assert_eq!(listed, expected, "{question:?} by {page_size}");
        }
    }
    // What a list shows of a request.
    let accepted = all.iter().find(|one| one.verdict() == Verdict::Accepted);
    let accepted = accepted.expect("some are accepted");
    assert!(accepted.headers.is_empty() && !accepted.held);
    assert_eq!(accepted.channel(), InboundChannel::Webhook);
    assert_eq!(accepted.remote_address, "192.0.2.7");
    assert_eq!(accepted.body_sha256.len(), 64);
    let event = accepted.event_id.trim_start_matches("evt_");
    assert_eq!(accepted.inbound_request_id, format!("in_{event}"));
}

async fn a_page_belongs_to_its_question(store: StoreKind) {
    let (world, all) = found(store).await;
    let request = ListInboundRequestsRequest {
        tenant_id: world.deployment.tenant_id.clone(),
        source_id: all[0].source_id.clone(),
        page_size: 1,
        ..ListInboundRequestsRequest::default()
    };
    let mut inbound = world.deployment.admin.inbound();
    let answer = inbound.list_inbound_requests(request.clone()).await;
    let page_token = answer
        .expect("requests are listed")
        .into_inner()
        .next_page_token;
    let other = ListInboundRequestsRequest {
        source_id: String::new(),
        page_token: page_token.clone(),
        ..request.clone()
    };
    let answer = inbound.list_inbound_requests(other).await;
    assert_invalid("another source", answer, "page_token");
    let stranger = world.other_tenant().await;
    let foreign = ListInboundRequestsRequest {
        tenant_id: stranger.tenant_id.clone(),
        page_token,
        ..request.clone()
    };
    let answer = stranger.inbound().list_inbound_requests(foreign).await;
    assert_invalid("another tenant", answer, "page_token");
    // Another tenant has none, whatever it asks for, and may not ask for this one's.
    let own = ListInboundRequestsRequest {
        tenant_id: String::new(),
        ..request.clone()
    };
    let answer = stranger.inbound().list_inbound_requests(own).await;
    let page = answer.expect("requests are listed").into_inner();
    assert_eq!(
        (page.requests.len(), page.next_page_token.as_str()),
        (0, "")
    );
    let answer = stranger.inbound().list_inbound_requests(request).await;
    assert_refused("named", answer, Code::PermissionDenied);
}

async fn a_list_names_what_is_wrong_with_its_question(store: StoreKind) {
    let world = World::start(store).await;
    let any = ListInboundRequestsRequest {
        tenant_id: world.deployment.tenant_id.clone(),
        ..ListInboundRequestsRequest::default()
    };
    let mut inbound = world.deployment.admin.inbound();
    let wrong = [
        (
            "source_id",
            ListInboundRequestsRequest {
                source_id: "src_1".to_owned(),
                ..any.clone()
            },
        ),
        (
            "verdict",
            ListInboundRequestsRequest {
                verdict: 6,
                ..any.clone()
            },
        ),
        (
            "event_type",
            ListInboundRequestsRequest {
                event_type: "no type".to_owned(),
                ..any.clone()
            },
        ),
        (
            "provider_event_id",
            ListInboundRequestsRequest {
                provider_event_id: "1".to_owned(),
                ..any.clone()
            },
        ),
        (
            "page_size",
            ListInboundRequestsRequest {
                page_size: -1,
                ..any.clone()
            },
        ),
        (
            "received_before",
            ListInboundRequestsRequest {
                received_from: Some(from_now(0)),
                received_before: Some(from_now(-1)),
                ..any
            },
        ),
    ];
    for (field, request) in wrong {
        let answer = inbound.list_inbound_requests(request).await;
        assert_invalid(field, answer, field);
    }
}
