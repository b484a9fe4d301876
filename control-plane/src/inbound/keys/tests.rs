//! Keys of a server of the test on loopback.

use posthorn_guard::{Policy, Resolver};
use posthorn_verify::KeyForm;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    sync::mpsc,
};

use super::*;
use crate::entropy::Entropy;

/// A server whose answers are what is put into the channel, one for each request; the last one is repeated.
async fn server(answers: &[&str]) -> (KeyRequest, mpsc::UnboundedReceiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/jwks", listener.local_addr().unwrap());
    let mut answers = answers
        .iter()
        .map(|&text| text.to_owned())
        .collect::<Vec<_>>();
    answers.reverse();
    let (asked, requests) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut part = [0; 4_096];
            let _ = stream.read(&mut part).await.unwrap();
            let answer = answers.pop().unwrap();
            if answers.is_empty() {
                answers.push(answer.clone());
            }
            let _ = asked.send(());
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    let key = KeyRequest {
        url: url.parse().unwrap(),
        form: KeyForm::Jwks,
    };
    (key, requests)
}

fn ok(body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}")
}

const AWAY: &str = "HTTP/1.1 503 Away\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

fn keys() -> Keys {
    let policy = Policy::new("127.0.0.0/8".parse().unwrap(), []);
    let resolver = Resolver::from_system(Arc::new(policy)).unwrap();
    Keys::new(Fetch::new(resolver).unwrap())
}

/// Lets time pass for the keys, and not for the sockets.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

/// What a future comes to when it is asked once.
async fn once<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) -> Option<T> {
    tokio::select! {
        biased;
        done = future => Some(done),
        () = std::future::ready(()) => None,
    }
}

fn source() -> SourceId {
    SourceId::new(1_700_000_000_000, &mut Entropy::system())
}

fn body(fetched: Option<Fetched>) -> Option<String> {
    fetched.map(|fetched| String::from_utf8(fetched.body).unwrap())
}

fn count(requests: &mut mpsc::UnboundedReceiver<()>) -> usize {
    std::iter::from_fn(|| requests.try_recv().ok()).count()
}

#[tokio::test]
async fn a_key_is_asked_for_once_while_it_is_fresh_however_many_want_it() {
    let (key, mut requests) = server(&[&ok("one"), &ok("two")]).await;
    let keys = keys();
    let (a, b, c) = tokio::join!(
        keys.get(source(), &key),
        keys.get(source(), &key),
        keys.get(source(), &key)
    );
    for fetched in [a, b, c] {
        assert_eq!(body(fetched).as_deref(), Some("one"));
    }
    assert_eq!(count(&mut requests), 1);
    pass(FRESH_FOR).await;
    let stale = keys.get(source(), &key).await.unwrap();
    assert_eq!(stale.body, b"one", "nobody waits for what is only stale");
    let renewed = keys.renewed(source(), &key, &stale).await;
    assert_eq!(body(renewed).as_deref(), Some("two"));
    assert_eq!(count(&mut requests), 1);
}

#[tokio::test]
async fn a_key_outlives_the_absence_of_its_provider_by_a_day() {
    let (key, mut requests) = server(&[&ok("one"), AWAY]).await;
    let keys = keys();
    assert!(keys.get(source(), &key).await.is_some());
    pass(FRESH_FOR).await;
    for _ in 0..3 {
        assert_eq!(body(keys.get(source(), &key).await).as_deref(), Some("one"));
    }
    let former = keys.get(source(), &key).await.unwrap();
    assert_eq!(keys.renewed(source(), &key, &former).await, None);
    assert_eq!(count(&mut requests), 2, "one that is away is let alone");
    pass(STALE_FOR).await;
    assert_eq!(keys.get(source(), &key).await, None);
}

#[tokio::test]
async fn an_unknown_key_is_asked_for_again_at_most_every_half_minute() {
    let (key, mut requests) = server(&[&ok("one"), &ok("two")]).await;
    let keys = keys();
    let former = keys.get(source(), &key).await.unwrap();
    assert_eq!(keys.renewed(source(), &key, &former).await, None);
    assert_eq!(count(&mut requests), 1);
    pass(PAUSE).await;
    let renewed = keys.renewed(source(), &key, &former).await.unwrap();
    assert_eq!(renewed.body, b"two");
    assert_eq!(keys.renewed(source(), &key, &renewed).await, None);
    assert_eq!(count(&mut requests), 1);
}

#[tokio::test]
async fn a_request_that_is_given_up_leaves_its_fetch_to_the_others() {
    let (key, mut requests) = server(&[&ok("one")]).await;
    let keys = keys();
    {
        let mut first = std::pin::pin!(keys.get(source(), &key));
        assert!(once(first.as_mut()).await.is_none());
    }
    assert_eq!(body(keys.get(source(), &key).await).as_deref(), Some("one"));
    assert_eq!(count(&mut requests), 1);
}

#[tokio::test]
async fn only_so_many_addresses_are_remembered_and_none_with_a_key_is_forgotten() {
    let (key, _requests) = server(&[&ok("one")]).await;
    let keys = keys();
    assert!(keys.get(source(), &key).await.is_some());
    for number in 0..ADDRESSES_MAX + 10 {
        let url = format!("https://keys.example.org/{number}");
        assert!(keys.slot(source(), &url.parse().unwrap()).is_some());
    }
    let slots = keys.0.slots.lock();
    assert_eq!(slots.len(), ADDRESSES_MAX);
    assert!(slots.contains_key(&key.url));
}

#[tokio::test]
async fn a_source_tries_four_new_addresses_a_minute() {
    let (key, _requests) = server(&[&ok("one")]).await;
    let (keys, source, other) = (keys(), source(), source());
    let try_at = async |source, number: usize| {
        let url = key.url.join(&format!("/{number}")).unwrap();
        let form = key.form;
        keys.get(source, &KeyRequest { url, form }).await.is_some()
    };
    for number in 0..6 {
        assert_eq!(try_at(source, number).await, number < 4, "{number}");
    }
    assert!(try_at(source, 0).await, "what has answered is no try");
    assert!(try_at(other, 5).await);
    pass(MINUTE).await;
    assert!(try_at(source, 6).await);
}

#[test]
fn a_key_is_fresh_for_as_long_as_its_provider_says_within_limits() {
    for (directives, seconds) in [
        ("", 600),
        ("no-store", 600),
        ("public, max-age=3600", 3_600),
        ("Max-Age=\"7200\"", 7_200),
        ("max-age=0", 30),
        ("max-age=99999999", 86_400),
        ("max-age=-1", 600),
        ("max-age=text", 600),
    ] {
        let mut headers = HeaderMap::new();
        headers.insert(CACHE_CONTROL, directives.parse().unwrap());
        let fresh_for = fresh_for(&headers);
        assert_eq!(fresh_for, Duration::from_secs(seconds), "{directives}");
    }
    assert_eq!(fresh_for(&HeaderMap::new()), FRESH_FOR);
}
