//! Retention of inbound requests, and the legal holds that stop it.

use posthorn::v1::{
    HoldInboundRequestRequest, InboundActionKind, InboundRequest, ReadInboundPayloadRequest,
    ReleaseInboundRequestRequest, Role, Verdict,
};
use posthorn_harness::{Client, StoreKind};
use tonic::{Code, Response, Status};

use super::World;
use crate::support::{
    passing::pass,
    refusal::{assert_invalid, assert_refused, reason},
    time::{DAY, HOUR},
    unknown,
};

on_both! {
    what_was_not_accepted_goes_after_three_days_unless_it_is_held,
    a_held_body_outlives_its_event,
    a_hold_is_placed_and_lifted_by_operators_of_the_tenant,
}

/// Places a hold, or lifts it. Returns the request as it is then.
async fn hold(client: &Client, id: &str, held: bool) -> Result<Response<InboundRequest>, Status> {
    let (tenant_id, reason) = (client.tenant_id.clone(), "a court asked".to_owned());
    let inbound_request_id = id.to_owned();
    let answer = if held {
        let request = HoldInboundRequestRequest {
            tenant_id,
            inbound_request_id,
            reason,
            ..HoldInboundRequestRequest::default()
        };
        let answer = client.inbound().hold_inbound_request(request).await?;
        answer.map(|it| it.request)
    } else {
        let request = ReleaseInboundRequestRequest {
            tenant_id,
            inbound_request_id,
            reason,
            ..ReleaseInboundRequestRequest::default()
        };
        let answer = client.inbound().release_inbound_request(request).await?;
        answer.map(|it| it.request)
    };
    Ok(answer.map(|request| request.expect("the answer holds it")))
}

/// Reads a request's body. None: it is erased.
async fn body(world: &World, id: &str) -> Option<String> {
    let request = ReadInboundPayloadRequest {
        tenant_id: world.deployment.tenant_id.clone(),
        inbound_request_id: id.to_owned(),
        reason: "to see".to_owned(),
    };
    match world
        .deployment
        .admin
        .inbound()
        .read_inbound_payload(request)
        .await
    {
        Ok(answer) => {
            let body = answer.into_inner().body;
            Some(String::from_utf8(body.to_vec()).expect("it is text"))
        }
        Err(status) => {
            assert_eq!(status.code(), Code::FailedPrecondition, "{status:?}");
            assert_eq!(reason(&status), "PAYLOAD_ERASED", "{status:?}");
            None
        }
    }
}

async fn what_was_not_accepted_goes_after_three_days_unless_it_is_held(store: StoreKind) {
    let mut world = World::start(store).await;
    let held = world.rejected("evt_1", r#"{"n":1}"#).await;
    let _goes = world.rejected("evt_2", r#"{"n":2}"#).await;
    let _goes_too = world.quarantined("evt_3").await;
    let accepted = world.accepted("evt_4", r#"{"type":"a.b"}"#).await;
    let placed = hold(&world.deployment.admin, &held.inbound_request_id, true).await;
    assert!(placed.expect("it is held").into_inner().held);
    // Two days are not enough.
    for (days, left) in [(2, 2), (4, 1)] {
        pass(&mut world.deployment, 2 * DAY).await;
        assert_eq!(world.count(Verdict::Rejected).await, left, "{days} days");
        assert_eq!(
            world.count(Verdict::Quarantined).await,
            left - 1,
            "{days} days"
        );
        assert_eq!(world.count(Verdict::Accepted).await, 1, "{days} days");
    }
    let kept = world.newest(Verdict::Rejected, 1).await;
    assert_eq!(kept.body_sha256, held.body_sha256);
    let id = &kept.inbound_request_id;
    assert_eq!(body(&world, id).await.as_deref(), Some(r#"{"n":1}"#));
    // Lifted, it goes with the next round.
    hold(&world.deployment.admin, id, false)
        .await
        .expect("it is lifted");
    pass(&mut world.deployment, HOUR).await;
    assert_eq!(world.count(Verdict::Rejected).await, 0);
    // A repeat is still known, however old the accepted request is.
    let now = world.newest(Verdict::Accepted, 1).await;
    assert_eq!(now.body_sha256, accepted.body_sha256);
}

async fn a_held_body_outlives_its_event(store: StoreKind) {
    let mut world = World::start(store).await;
    let (first, other) = (r#"{"type":"a.b","n":1}"#, r#"{"type":"a.b","n":2}"#);
    for id in ["evt_held", "evt_free"] {
        let accepted = world.accepted(id, first).await;
        let repeat = world.repeated(id, first, Verdict::Duplicate).await;
        let conflict = world.repeated(id, other, Verdict::Conflict).await;
        if id == "evt_held" {
            for record in [accepted, repeat, conflict] {
                let placed = hold(&world.deployment.admin, &record.inbound_request_id, true).await;
                placed.expect("it is held");
            }
        }
    }
    pass(&mut world.deployment, 40 * DAY).await;

    for (verdict, expected) in [
        (Verdict::Accepted, first),
        (Verdict::Duplicate, first),
        (Verdict::Conflict, other),
    ] {
        let records = world.list(verdict).await;
        assert_eq!(records.len(), 2, "{records:?}");
        for record in records {
            let id = &record.inbound_request_id;
            let is_held = record.provider_event_id == "evt_held";
            assert_eq!(record.held, is_held, "{record:?}");
            assert_eq!(
                body(&world, id).await.as_deref(),
                is_held.then_some(expected)
            );
            if !is_held {
                let refused = hold(&world.deployment.admin, id, true).await;
                assert_refused("it is erased", refused, Code::FailedPrecondition);
            }
        }
    }
    // Lifted, the copies go.
    for verdict in [Verdict::Accepted, Verdict::Duplicate] {
        for record in world.list(verdict).await {
            let id = &record.inbound_request_id;
            hold(&world.deployment.admin, id, false)
                .await
                .expect("it is lifted");
            assert_eq!(body(&world, id).await, None, "{record:?}");
        }
    }
}

async fn a_hold_is_placed_and_lifted_by_operators_of_the_tenant(store: StoreKind) {
    let mut world = World::start(store).await;
    let id = world
        .accepted("evt_1", r#"{"type":"a.b"}"#)
        .await
        .inbound_request_id;
    let operator = world.deployment.client(&[Role::Operator]).await;
    for held in [true, true, false, false, true] {
        let answer = hold(&operator, &id, held).await;
        let now = answer.expect("it is changed").into_inner();
        assert_eq!(now.held, held);
        assert_eq!(world.get(&id).await.request, Some(now));
    }
    // What changes nothing is not logged.
    let (hold_kind, release) = (InboundActionKind::Hold, InboundActionKind::Release);
    assert_eq!(world.kinds(&id).await, [hold_kind, release, hold_kind]);
    let viewer = world.deployment.client(&[Role::Viewer]).await;
    let answer = hold(&viewer, &id, false).await;
    assert_refused("a viewer", answer, Code::PermissionDenied);
    let stranger = world.other_tenant().await;
    for id in [id.as_str(), unknown::INBOUND] {
        let answer = hold(&stranger, id, false).await;
        assert_refused("another tenant", answer, Code::NotFound);
    }
    let request = HoldInboundRequestRequest {
        tenant_id: world.deployment.tenant_id.clone(),
        inbound_request_id: id.clone(),
        ..HoldInboundRequestRequest::default()
    };
    let answer = operator.inbound().hold_inbound_request(request).await;
    assert_invalid("no reason", answer, "reason");
    assert!(world.get(&id).await.request.is_some_and(|now| now.held));
}
