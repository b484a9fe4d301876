//! Places of calls: whose they are, who waits, and when they come back.

use std::time::Duration;

use tonic::Code;

use super::{
    fixture::{caller, claim, room},
    *,
};
use crate::rpc::access::kinds;

fn limits() -> Limits {
    Limits {
        scans_per_key: 1,
        emits_per_key: 3,
        calls: 4,
        waiting: 1,
        ..Limits::default()
    }
}

/// The reason of a refusal.
fn reason<T>(result: Result<T, crate::budget::Short>) -> Option<&'static str> {
    result.err().map(|short| short.reason())
}

#[test]
fn a_key_has_its_places_a_tenant_twice_as_many_and_all_no_more_than_there_are() {
    let limits = limits();
    let room = room(&limits);
    let scan = |key, tenant| claim(&room, &limits, Some(&caller(key, tenant)), kinds::SCAN);
    let first = scan(1, 1).try_take().unwrap();
    assert_eq!(reason(scan(1, 1).try_take()), Some("scans_per_key"));
    let second = scan(2, 1).try_take().unwrap();
    assert_eq!(reason(scan(3, 1).try_take()), Some("scans_per_tenant"));
    let emit = |key, tenant| claim(&room, &limits, Some(&caller(key, tenant)), kinds::EMIT);
    let emits = [emit(1, 1), emit(4, 2)].map(|claim| claim.try_take().unwrap());
    assert_eq!(reason(emit(5, 3).try_take()), Some("calls"));
    drop((first, second, emits));
    assert!(scan(1, 1).try_take().is_ok() && emit(5, 3).try_take().is_ok());
}

#[test]
fn revocation_is_behind_nothing_and_health_takes_nothing_of_a_key() {
    let limits = Limits {
        calls: 1,
        changes_per_key: 1,
        bytes: 1,
        ..Limits::default()
    };
    let room = room(&limits);
    let change = claim(&room, &limits, Some(&caller(1, 1)), kinds::CHANGE);
    let _taken = change.try_take().unwrap();
    assert_eq!(reason(change.try_take()), Some("changes_per_key"));
    assert_eq!(reason(change.try_pay(2)), Some("bytes"));
    let vital = claim(&room, &limits, Some(&caller(1, 1)), kinds::VITAL);
    assert!(vital.try_take().is_ok() && vital.try_pay(1_024).is_ok());
    let open = claim(&room, &limits, None, kinds::OPEN);
    let _four = [0; 4].map(|_| open.try_take().unwrap());
    assert_eq!(reason(open.try_take()), Some("open_calls"));
    assert!(open.try_pay(1_024).is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_list_waits_for_a_place_for_a_while_and_few_wait() {
    let limits = limits();
    let room = room(&limits);
    let scan = claim(&room, &limits, Some(&caller(1, 1)), kinds::SCAN);
    let taken = scan.try_take().unwrap();
    let other = scan.clone();
    let waiting = tokio::spawn(async move { other.take().await.is_ok() });
    tokio::task::yield_now().await;
    assert_eq!(reason(scan.take().await), Some("scans_per_key"));
    drop(taken);
    assert!(waiting.await.unwrap());
    let _taken = scan.try_take().unwrap();
    assert_eq!(reason(scan.take().await), Some("scans_per_key"));
}

#[tokio::test(start_paused = true)]
async fn a_key_that_uses_all_its_places_leaves_others_some_of_the_time() {
    let limits = Limits {
        scans_per_key: 2,
        ..Limits::default()
    };
    let room = room(&limits);
    let used = Duration::from_millis(100);
    let scan = claim(&room, &limits, Some(&caller(1, 1)), kinds::SCAN);
    // One after the other it never rests.
    for _ in 0..3 {
        let taken = scan.try_take().unwrap();
        tokio::time::advance(used).await;
        drop(taken);
    }
    let both = [0; 2].map(|_| scan.try_take().unwrap());
    tokio::time::advance(used).await;
    drop(both);
    assert_eq!(reason(scan.try_take()), Some("scans_per_key"));
    let began = crate::clock::monotonic();
    assert!(scan.take().await.is_ok());
    let rest = used * claim::SCAN_REST_TIMES;
    assert!(began.elapsed() >= rest && began.elapsed() < rest * 2);
}

#[tokio::test(start_paused = true)]
async fn a_message_waits_for_memory_and_is_refused_when_it_can_never_have_it() {
    let limits = Limits {
        bytes_per_key: 10,
        ..Limits::default()
    };
    let room = room(&limits);
    let stream = claim(&room, &limits, Some(&caller(1, 1)), kinds::EMITS);
    let paid = stream.try_pay(10).unwrap();
    let other = stream.clone();
    let waiting = tokio::spawn(async move { other.pay(1).await.is_ok() });
    tokio::task::yield_now().await;
    tokio::time::advance(Duration::from_mins(1)).await;
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    let plain = claim(&room, &limits, Some(&caller(1, 1)), kinds::EMIT);
    assert_eq!(reason(plain.pay(1).await), Some("bytes_per_key"));
    drop(paid);
    assert!(waiting.await.unwrap());
    assert_eq!(reason(stream.pay(11).await), Some("bytes_per_key"));
}

#[tokio::test]
async fn a_change_goes_on_without_its_caller_and_keeps_its_place_until_it_has_ended() {
    let limits = Limits {
        changes_per_key: 1,
        ..Limits::default()
    };
    let room = room(&limits);
    let change = claim(&room, &limits, Some(&caller(1, 1)), kinds::CHANGE);
    let permit = Permit {
        _places: change.try_take().unwrap(),
        _paid: Paid::default(),
    };
    let (go_on, goes_on) = tokio::sync::oneshot::channel::<()>();
    let call = async move {
        goes_on.await.ok();
        Ok(Response::new(Body::empty()))
    };
    let mut answering = run(call, permit, kinds::CHANGE);
    let mut context = Context::from_waker(std::task::Waker::noop());
    assert!(answering.as_mut().poll(&mut context).is_pending());
    drop(answering);
    assert_eq!(reason(change.try_take()), Some("changes_per_key"));
    go_on.send(()).unwrap();
    assert!(change.take().await.is_ok());
}

#[test]
fn who_is_refused_hears_the_limit_and_when_to_come_back() {
    let limits = limits();
    let room = room(&limits);
    let scan = claim(&room, &limits, Some(&caller(1, 1)), kinds::SCAN);
    let _taken = scan.try_take().unwrap();
    let status = scan.refused(scan.try_take().unwrap_err());
    assert_eq!(status.code(), Code::ResourceExhausted);
    let details = tonic_types::StatusExt::get_error_details(&status);
    assert!(details.retry_info().is_some());
    assert_eq!(
        status.message(),
        "this API key has as many lists and payloads under way as it may (1): repeat the call later"
    );
}
