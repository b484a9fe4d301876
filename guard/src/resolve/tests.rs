//! What the resolver makes of answers, asked of a real name server on loopback.

use std::{net::SocketAddr, sync::Arc};

use super::{ResolveError, Resolver};
use crate::{
    Policy, Target,
    testing::{NameServer, Reply},
};

fn addresses(list: &[&str]) -> Reply {
    Reply::Addresses(
        list.iter().map(|text| text.parse().expect(text)).collect(),
        60,
    )
}

async fn server(reply: Reply) -> NameServer {
    NameServer::start(move |_, _| reply.clone())
        .await
        .expect("a name server")
}

fn resolver(server: &NameServer, allow: &str) -> Resolver {
    let policy = Policy::new(allow.parse().expect(allow), []);
    Resolver::with_name_server(Arc::new(policy), server.address()).expect("a resolver")
}

async fn resolve(resolver: &Resolver, url: &str) -> Result<Vec<SocketAddr>, ResolveError> {
    let target = Target::parse(url, resolver.policy()).expect(url);
    resolver.resolve(&target).await
}

#[tokio::test]
async fn a_name_with_public_addresses_resolves_to_them() {
    let server = server(addresses(&["8.8.8.8", "9.9.9.9", "2606:4700::1111"])).await;
    let resolver = resolver(&server, "");
    let mut found = resolve(&resolver, "https://a.com:8443/")
        .await
        .expect("addresses");
    found.sort();
    let expected = ["8.8.8.8:8443", "9.9.9.9:8443", "[2606:4700::1111]:8443"];
    assert_eq!(found, expected.map(|text| text.parse().expect(text)));
}

/// One attempt must not become as many connections as somebody's name server likes.
#[tokio::test]
async fn g1_every_address_of_a_long_answer_is_judged_and_four_are_dialled() {
    let many: Vec<_> = (1..=60).map(|last| format!("8.8.8.{last}")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    let long = server(addresses(&[&many[..], &["2606:4700::1111"]].concat())).await;
    let found = resolve(&resolver(&long, ""), "https://a.com/")
        .await
        .expect("addresses");
    assert_eq!(found.len(), 4);
    assert_eq!(
        found[0],
        "[2606:4700::1111]:443".parse().expect("an address")
    );
    let inside_at_the_end = server(addresses(&[&many[..], &["10.0.0.1"]].concat())).await;
    let refused = resolve(&resolver(&inside_at_the_end, ""), "https://a.com/").await;
    assert!(
        matches!(refused, Err(ResolveError::NotAllowed)),
        "{refused:?}"
    );
}

#[tokio::test]
async fn one_denied_address_refuses_the_name_and_is_not_told() {
    for denied in [
        "10.0.0.1",
        "127.0.0.1",
        "169.254.169.254",
        "::1",
        "::ffff:8.8.8.8",
        "64:ff9b::10.0.0.1",
    ] {
        let server = server(addresses(&["8.8.8.8", denied])).await;
        let error = resolve(&resolver(&server, ""), "https://a.com/")
            .await
            .expect_err(denied);
        assert!(
            matches!(error, ResolveError::NotAllowed),
            "{denied}: {error:?}"
        );
        assert_eq!(error.to_string(), "target_not_allowed");
    }
}

#[tokio::test]
async fn a_nat64_answer_with_a_public_ipv4_is_admitted() {
    let server = server(addresses(&["64:ff9b::8.8.8.8"])).await;
    let found = resolve(&resolver(&server, ""), "https://a.com/")
        .await
        .expect("addresses");
    assert_eq!(
        found,
        ["[64:ff9b::808:808]:443".parse().expect("an address")]
    );
}

#[tokio::test]
async fn plain_http_needs_every_address_on_the_allow_list() {
    let both = server(addresses(&["10.0.0.1", "8.8.8.8"])).await;
    let listed = server(addresses(&["10.0.0.1"])).await;
    let url = "http://a.com:8080/";
    let error = resolve(&resolver(&both, "10.0.0.1:8080"), url)
        .await
        .expect_err("public too");
    assert!(matches!(error, ResolveError::NotAllowed), "{error:?}");
    let found = resolve(&resolver(&listed, "10.0.0.1:8080"), url)
        .await
        .expect("listed");
    assert_eq!(found, ["10.0.0.1:8080".parse().expect("an address")]);
}

#[tokio::test]
async fn no_name_no_answer_and_a_failing_server_are_never_a_pass() {
    for reply in [
        Reply::NoSuchName,
        Reply::ServerFailure,
        Reply::Silence,
        addresses(&[]),
    ] {
        let server = server(reply.clone()).await;
        let error = resolve(&resolver(&server, "0.0.0.0/0"), "https://a.com/")
            .await
            .expect_err("no address");
        assert!(
            matches!(error, ResolveError::Lookup(_)),
            "{reply:?}: {error:?}"
        );
    }
}

#[tokio::test]
async fn a_written_address_needs_no_lookup() {
    let server = server(Reply::Silence).await;
    let resolver = resolver(&server, "127.0.0.1:8080");
    let found = resolve(&resolver, "http://127.0.0.1:8080/")
        .await
        .expect("listed");
    assert_eq!(found, ["127.0.0.1:8080".parse().expect("an address")]);
    assert_eq!(server.questions(), 0);
}

#[tokio::test]
async fn every_answer_is_judged_anew_when_the_name_moves() {
    // The first lookup asks twice, for A and AAAA; from the third question on the name leads inside.
    let server = NameServer::start(|number, _| {
        let address = if number < 2 { "8.8.8.8" } else { "127.0.0.1" };
        Reply::Addresses(vec![address.parse().expect(address)], 0)
    });
    let server = server.await.expect("a name server");
    let resolver = resolver(&server, "");
    resolve(&resolver, "https://a.com/")
        .await
        .expect("public at first");
    let error = resolve(&resolver, "https://a.com/")
        .await
        .expect_err("private then");
    assert!(matches!(error, ResolveError::NotAllowed), "{error:?}");
}
