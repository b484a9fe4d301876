//! The ledger: what each handler did with a request, and with its replays.

use posthorn::v1::{
    DeleteEndpointRequest, ExplicitRetry, Handler, Handling, ListEndpointsRequest,
    ListHandlingsRequest, ReplayInboundRequestRequest, RetryPolicy, Role, retry_policy::Schedule,
};
use posthorn_harness::StoreKind;

use super::World;
use crate::support::{
    DEADLINE,
    hand_consumer::{HandConsumer, handler},
    time::millis,
};

on_both! {
    the_ledger_says_what_each_handler_did,
}

/// A handler that takes everything, and is handed what it refused at once.
fn patient(name: &str) -> Handler {
    let explicit = ExplicitRetry {
        delays: vec![millis(0); 3],
    };
    Handler {
        retry_policy: Some(RetryPolicy {
            schedule: Some(Schedule::Explicit(explicit)),
        }),
        ..handler(name, &["*"])
    }
}

/// What was done with a request, two at a time.
async fn handlings(world: &World, id: &str) -> Vec<Handling> {
    let mut request = ListHandlingsRequest {
        tenant_id: world.deployment.tenant_id.clone(),
        inbound_request_id: id.to_owned(),
        page_size: 2,
        ..ListHandlingsRequest::default()
    };
    let mut inbound = world.deployment.admin.inbound();
    let mut every = Vec::new();
    loop {
        let page = inbound.list_handlings(request.clone()).await;
        let page = page.expect("it is there").into_inner();
        assert!(page.handlings.len() <= 2, "{:?}", page.handlings);
        every.extend(page.handlings);
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            return every;
        }
    }
}

/// What one handler did, in the order of its tries.
fn of<'a>(handlings: &'a [Handling], name: &str) -> Vec<&'a Handling> {
    let of = handlings.iter().filter(|one| one.handler == name);
    of.collect()
}

fn effects<'a>(handlings: &'a [Handling], name: &str) -> Vec<&'a str> {
    let of = of(handlings, name).into_iter();
    of.map(|one| one.effect.as_str()).collect()
}

async fn the_ledger_says_what_each_handler_did(store: StoreKind) {
    let mut world = World::start(store).await;
    let client = world.deployment.client(&[Role::Consumer]).await;
    // What an endpoint does is no handling.
    let url = world.deployment.receiver.url("/");
    world.deployment.admin.create_endpoint(&url, &["*"]).await;
    let mut book = HandConsumer::ready(&client, "billing", vec![patient("book")], 1).await;
    let mut mail = HandConsumer::ready(&client, "billing", vec![patient("mail")], 1).await;
    let record = world.accepted("evt_1", r#"{"type":"a.b"}"#).await;
    let id = &record.inbound_request_id;
    world
        .deployment
        .receiver
        .received("/")
        .await_count(1, DEADLINE)
        .await;

    let handout = book.handout().await;
    assert_eq!(
        (&handout.inbound_request_id, &handout.source_id),
        (id, &world.source_id)
    );
    book.nack(&handout, "the ledger is locked", false).await;
    book.credit(1).await;
    let handout = book.handout().await;
    book.ack(&handout, "booked as 7").await;
    let handout = mail.handout().await;
    mail.ack(&handout, "").await;

    let found = handlings(&world, id).await;
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(
        found
            .iter()
            .all(|one| one.group == "billing" && one.started_at.is_some())
    );
    let [failed, booked] = of(&found, "book")[..] else {
        panic!("{found:?}");
    };
    assert_eq!((failed.attempt, failed.succeeded), (1, false));
    assert_eq!(
        (&*failed.effect, &*failed.error),
        ("", "the ledger is locked")
    );
    assert_eq!((booked.attempt, booked.succeeded), (2, true));
    assert_eq!((&*booked.effect, &*booked.error), ("booked as 7", ""));
    assert_eq!(failed.delivery_id, booked.delivery_id);
    let [mailed] = of(&found, "mail")[..] else {
        panic!("{found:?}");
    };
    assert!(mailed.succeeded && mailed.effect.is_empty() && mailed.attempt == 1);
    assert_ne!(mailed.delivery_id, booked.delivery_id);

    replay(&world, id, &mut book).await;
    let found = handlings(&world, id).await;
    let expected = ["", "booked as 7", "was booked before"];
    assert_eq!(effects(&found, "book"), expected);

    // A handler that is deleted leaves what it did.
    drop(book);
    delete(&world, "billing/book").await;
    let later = handlings(&world, id).await;
    assert_eq!(later.len(), found.len());
    assert_eq!(of(&later, "book").len(), 0);
    assert_eq!(effects(&later, ""), expected);
}

/// Replays the request, and takes the event of that.
async fn replay(world: &World, id: &str, book: &mut HandConsumer) {
    let request = ReplayInboundRequestRequest {
        tenant_id: world.deployment.tenant_id.clone(),
        inbound_request_id: id.to_owned(),
        reason: "once more".to_owned(),
        ..ReplayInboundRequestRequest::default()
    };
    let mut inbound = world.deployment.admin.inbound();
    let replayed = inbound.replay_inbound_request(request).await;
    let replayed = replayed.expect("it is replayed").into_inner();
    book.credit(1).await;
    let handout = book.handout().await;
    assert_eq!(handout.event_id, replayed.event_id);
    assert_eq!(handout.source_id, world.source_id);
    assert!(
        handout.inbound_request_id.is_empty(),
        "nobody waits for an answer"
    );
    book.ack(&handout, "was booked before").await;
}

/// Deletes the handler of this name.
async fn delete(world: &World, name: &str) {
    let mut endpoints = world.deployment.admin.endpoints();
    let request = ListEndpointsRequest {
        tenant_id: world.deployment.tenant_id.clone(),
        ..ListEndpointsRequest::default()
    };
    let listed = endpoints
        .list_endpoints(request)
        .await
        .expect("they are listed");
    let mut listed = listed.into_inner().endpoints.into_iter();
    let found = listed.find(|one| one.settings.as_ref().is_some_and(|s| s.name == name));
    let request = DeleteEndpointRequest {
        tenant_id: world.deployment.tenant_id.clone(),
        endpoint_id: found.expect("there is one").endpoint_id,
        ..DeleteEndpointRequest::default()
    };
    endpoints
        .delete_endpoint(request)
        .await
        .expect("it is deleted");
}
