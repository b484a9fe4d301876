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

/// Whether a name does not exist or nobody could say: the one is final, the other is not.
#[tokio::test]
async fn case_18_no_such_name_and_no_answer_are_told_apart_and_neither_is_a_pass() {
    for (reply, exists) in [
        (Reply::NoSuchName, Some(false)),
        (addresses(&[]), Some(false)),
        (Reply::ServerFailure, None),
        (Reply::Silence, None),
    ] {
        let server = server(reply.clone()).await;
        let error = resolve(&resolver(&server, "0.0.0.0/0,a.com"), "https://a.com/")
            .await
            .expect_err("no address");
        let told = match error {
            ResolveError::NoSuchName => Some(false),
            ResolveError::NoAnswer(_) => None,
            ResolveError::NotAllowed => Some(true),
        };
        assert_eq!(told, exists, "{reply:?}");
    }
}

/// Services inside are known by name. Where the operator allows what a name leads to, or the name, it is a target.
#[tokio::test]
async fn case_7_a_name_is_allowed_by_all_its_addresses_or_by_itself() {
    let (inside, mixed) = (&["10.0.0.1"][..], &["10.0.0.1", "8.8.8.8"][..]);
    for (allow, url, answer, is_allowed) in [
        ("10.0.0.0/8", "http://app:8080/", inside, true),
        ("10.0.0.0/8", "http://app:8080/", mixed, false),
        ("10.0.0.0/8", "http://app.ns.svc:8080/", inside, true),
        ("10.0.0.0/8", "http://app.internal./", inside, true),
        ("10.0.0.0/8", "https://api_v2.a.com./", inside, true),
        ("192.168.0.0/16", "http://app:8080/", inside, false),
        // Listed by name: wherever it leads.
        ("app:8080", "http://app:8080/", inside, true),
        ("app", "http://app:22/", mixed, true),
        ("*.internal", "http://a.b.internal/", inside, true),
        (
            "hooks.a.com:5432",
            "https://hooks.a.com:5432/",
            inside,
            true,
        ),
        // A public name needs no list for what is public.
        ("", "https://api_v2.a.com./", &["8.8.8.8"], true),
        ("", "https://api_v2.a.com./", inside, false),
    ] {
        let server = server(addresses(answer)).await;
        let result = resolve(&resolver(&server, allow), url).await;
        assert_eq!(
            result.is_ok(),
            is_allowed,
            "{allow} {url} {answer:?}: {result:?}"
        );
    }
}

#[tokio::test]
async fn case_7_localhost_is_the_loopback_that_the_list_allows_and_nobody_is_asked() {
    let server = server(addresses(&["10.0.0.1"])).await;
    for (allow, expected) in [
        ("127.0.0.0/8", Some(vec!["127.0.0.1:9000"])),
        ("::1", Some(vec!["[::1]:9000"])),
        (
            "127.0.0.0/8,::1",
            Some(vec!["[::1]:9000", "127.0.0.1:9000"]),
        ),
        ("localhost", Some(vec!["[::1]:9000", "127.0.0.1:9000"])),
        ("10.0.0.0/8", None),
    ] {
        for host in ["localhost", "LOCALHOST.", "a.localhost"] {
            if allow == "localhost" && host == "a.localhost" {
                continue;
            }
            let url = format!("http://{host}:9000/");
            let found = resolve(&resolver(&server, allow), &url).await.ok();
            let expected = expected.as_ref().map(|list| {
                let list = list.iter().map(|text| text.parse().expect(text));
                list.collect::<Vec<SocketAddr>>()
            });
            assert_eq!(found, expected, "{allow} {host}");
        }
    }
    assert_eq!(server.questions(), 0);
}

#[tokio::test]
async fn a_listed_name_that_leads_to_an_own_socket_is_refused() {
    let server = server(addresses(&["127.0.0.1"])).await;
    let own = "127.0.0.1:8080".parse().expect("an address");
    let policy = Policy::new("app".parse().expect("a list"), [own]);
    let resolver = Resolver::with_name_server(Arc::new(policy), server.address());
    let resolver = resolver.expect("a resolver");
    let refused = resolve(&resolver, "http://app:8080/").await;
    assert!(
        matches!(refused, Err(ResolveError::NotAllowed)),
        "{refused:?}"
    );
    assert!(resolve(&resolver, "http://app:8081/").await.is_ok());
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
