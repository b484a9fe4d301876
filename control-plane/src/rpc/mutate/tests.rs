//! What a repeat gets.

use super::*;
use crate::{registry::fixture, rpc::calls::fixture::caller as fixture_caller};
use posthorn::v1::{CreateTenantRequest, CreateTenantResponse, Tenant};

const NOW: i64 = 1_764_000_000_000;

/// The caller with key number `key`.
fn caller(key: u64) -> Caller {
    fixture_caller(key, 1)
}

fn request(request_id: &str) -> CreateTenantRequest {
    CreateTenantRequest {
        request_id: request_id.to_owned(),
        ..CreateTenantRequest::default()
    }
}

fn response() -> CreateTenantResponse {
    let tenant = Tenant {
        tenant_id: "tnt_1".to_owned(),
        ..Tenant::default()
    };
    CreateTenantResponse {
        tenant: Some(tenant),
    }
}

fn call(caller: &Caller, request_id: &str, now: i64) -> Call {
    Call::new(caller, &request(request_id), now).unwrap()
}

/// Makes changes to a database of its own.
async fn mutations() -> (Store, Mutations, tempfile::TempDir) {
    let (store, directory) = fixture::store().await;
    let core = fixture::core(&store, fixture::vault(1)).await;
    let mutations = Mutations::new(&core);
    (store, mutations, directory)
}

/// Makes a call; whether it was new.
async fn is_fresh(mutations: &Mutations, call: Call) -> Result<bool, Error> {
    let mut is_fresh = false;
    let change = async |_: &mut RegistryTx| {
        is_fresh = true;
        Ok(Made::new(response(), Record::of(None, "tnt_1")))
    };
    assert_eq!(mutations.make(call, change).await?, response());
    Ok(is_fresh)
}

#[tokio::test]
async fn a_repeat_gets_the_first_answer_for_a_day() {
    let (store, mutations, _directory) = mutations().await;
    let caller = caller(1);
    assert!(
        is_fresh(&mutations, call(&caller, "one", NOW))
            .await
            .unwrap()
    );
    assert!(
        !is_fresh(&mutations, call(&caller, "one", NOW + REMEMBERED_MS))
            .await
            .unwrap()
    );
    let earlier = call(&caller, "one", NOW).earlier(&store).await.unwrap();
    assert_eq!(earlier, Some(response()));
    assert!(
        is_fresh(&mutations, call(&caller, "one", NOW + REMEMBERED_MS + 1))
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn another_id_or_caller_or_none_is_another_call() {
    let (_, mutations, _directory) = mutations().await;
    assert!(
        is_fresh(&mutations, call(&caller(1), "one", NOW))
            .await
            .unwrap()
    );
    assert!(
        is_fresh(&mutations, call(&caller(1), "two", NOW))
            .await
            .unwrap()
    );
    assert!(
        is_fresh(&mutations, call(&caller(2), "one", NOW))
            .await
            .unwrap()
    );
    for _ in 0..2 {
        assert!(
            is_fresh(&mutations, call(&caller(1), "", NOW))
                .await
                .unwrap()
        );
    }
}

#[tokio::test]
async fn a_request_id_with_other_content_is_refused() {
    let (store, mutations, _directory) = mutations().await;
    let caller = caller(1);
    assert!(
        is_fresh(&mutations, call(&caller, "one", NOW))
            .await
            .unwrap()
    );
    let content = CreateTenantRequest {
        settings: Some(v1::TenantSettings::default()),
        ..request("one")
    };
    let other = Call::new(&caller, &content, NOW).unwrap();
    let earlier = other.earlier::<CreateTenantResponse>(&store).await;
    assert!(matches!(earlier, Err(Error::AlreadyExists(..))));
    assert!(matches!(
        is_fresh(&mutations, other).await,
        Err(Error::AlreadyExists(..))
    ));
}

#[tokio::test]
async fn a_call_that_failed_can_be_made_again() {
    let (_, mutations, _directory) = mutations().await;
    let caller = caller(1);
    let change = async |_: &mut RegistryTx| Err(Error::StaleEtag);
    let failed: Result<CreateTenantResponse, _> =
        mutations.make(call(&caller, "one", NOW), change).await;
    assert!(matches!(failed, Err(Error::StaleEtag)));
    assert!(
        is_fresh(&mutations, call(&caller, "one", NOW))
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn of_many_equal_calls_at_once_one_is_made() {
    let (_, mutations, _directory) = mutations().await;
    let caller = caller(1);
    let calls = (0..8).map(|_| {
        let (mutations, call) = (mutations.clone(), call(&caller, "one", NOW));
        tokio::spawn(async move { is_fresh(&mutations, call).await.unwrap() })
    });
    let mut fresh = 0;
    for call in calls.collect::<Vec<_>>() {
        fresh += u32::from(call.await.unwrap());
    }
    assert_eq!(fresh, 1);
}

#[tokio::test]
async fn old_request_ids_are_forgotten() {
    let (store, mutations, _directory) = mutations().await;
    let caller = caller(1);
    for (request_id, now) in [("old", NOW), ("new", NOW + 2)] {
        assert!(
            is_fresh(&mutations, call(&caller, request_id, now))
                .await
                .unwrap()
        );
    }
    assert_eq!(store.request_prune(NOW + 1).await.unwrap(), 1);
    assert!(
        !is_fresh(&mutations, call(&caller, "new", NOW + 2))
            .await
            .unwrap()
    );
}

#[test]
fn a_request_id_is_printable_and_short() {
    let long = "x".repeat(129);
    for text in ["\0", "a\n", "ä", &long] {
        let call = Call::new(&caller(1), &request(text), NOW);
        assert!(matches!(call, Err(Error::Invalid(_))), "{text:?}");
    }
    for text in ["", "a b", &long[1..]] {
        assert!(Call::new(&caller(1), &request(text), NOW).is_ok());
    }
}
