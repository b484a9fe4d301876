//! What a head says: host, target, method, expectation, coding, address. BH11 to BH17, BH21 to BH24, BH30, BH31, BH33,
//! BH39, BH42, and the path's part of BC1.

use posthorn_data_plane::EdgeConfig;

use super::{OTHER_SOURCE, SOURCE, Then, World, head, patient, post, refuses, with};

#[tokio::test]
async fn bh11_bytes_beyond_ascii_are_kept_in_values_and_refused_in_the_host() {
    let (world, mut requests) = World::answering(patient()).await;
    let request = [
        head("host: e\r\n").trim_end().as_bytes(),
        b"\r\nx-a: \xff\xfe\r\n\r\n",
    ]
    .concat();
    assert_eq!(world.ask(request).await.status, 200);
    let headers = requests.request().await.headers;
    assert_eq!(headers[1].value.as_ref(), b"\xff\xfe");
    let bad = [
        format!("POST /in/{SOURCE} HTTP/1.1\r\nhost: e").as_bytes(),
        b"\xff\r\n\r\n",
    ]
    .concat();
    let answer = world.ask(bad).await;
    assert!(answer.status == 400 && answer.closes());
}

#[tokio::test]
async fn bh12_bh13_bh14_no_host_two_hosts_and_hosts_that_are_none_are_refused() {
    let long = "h".repeat(300);
    let hosts = [
        "",
        "user@e",
        "user:pass@e",
        "e:port",
        "e:99999",
        "e f",
        "e/f",
        &long,
    ];
    let mut rows: Vec<String> = hosts
        .iter()
        .map(|host| head(&format!("host: {host}\r\n")))
        .collect();
    rows.push(head(""));
    rows.push(head("host: e\r\nhost: e\r\n"));
    rows.push(
        head("host: e\r\n")
            .replace("1.1", "1.0")
            .replace("host: e\r\n", ""),
    );
    let rows: Vec<&[u8]> = rows.iter().map(String::as_bytes).collect();
    refuses(Then::Closes, 400, &rows).await;
}

#[tokio::test]
async fn bh14_only_hosts_of_the_list_are_served() {
    let config = EdgeConfig {
        hosts: ["in.example", "other.example:8443"]
            .map(|host| host.parse().expect("a host"))
            .to_vec(),
        ..patient()
    };
    let (world, _requests) = World::answering(config).await;
    for (host, status) in [
        ("in.example", 200),
        ("IN.example:1234", 200),
        ("other.example:8443", 200),
        ("other.example", 421),
        ("evil.example", 421),
        ("127.0.0.1", 421),
    ] {
        assert_eq!(
            world.ask(head(&format!("host: {host}\r\n"))).await.status,
            status,
            "{host}"
        );
    }
}

#[tokio::test]
async fn bh15_a_target_for_another_host_is_refused_and_one_for_the_same_is_not() {
    let absolute = |authority: &str| {
        format!("POST http://{authority}/in/{SOURCE}?a=b HTTP/1.1\r\nhost: e\r\n\r\n")
    };
    let (world, mut requests) = World::answering(patient()).await;
    assert_eq!(world.ask(absolute("e")).await.status, 200);
    assert_eq!(
        requests.request().await.path_query,
        format!("/in/{SOURCE}?a=b")
    );
    refuses(
        Then::Closes,
        400,
        &[absolute("f").as_bytes(), absolute("u@e").as_bytes()],
    )
    .await;
}

#[tokio::test]
async fn bh16_bh17_methods_that_no_source_takes_are_refused_with_those_that_one_may() {
    let (world, mut requests) = World::answering(patient()).await;
    for line in [
        "CONNECT e:443",
        "OPTIONS *",
        &format!("TRACE /in/{SOURCE}"),
        &format!("PUT /in/{SOURCE}"),
        &format!("DELETE /in/{SOURCE}"),
        &format!("PATCH /in/{SOURCE}"),
        &format!("PURGE /in/{SOURCE}"),
    ] {
        let answer = world
            .ask(format!("{line} HTTP/1.1\r\nhost: e\r\n\r\n"))
            .await;
        assert_eq!(answer.status, 405, "{line}");
        assert_eq!(answer.header("allow"), Some("POST"), "{line}");
    }
    assert!(!requests.has_request());
}

#[tokio::test]
async fn bh17_methods_of_handshakes_are_the_control_planes_to_answer() {
    let (world, mut requests) = World::answering(patient()).await;
    for method in ["GET", "HEAD", "OPTIONS"] {
        let mut client = world.client().await;
        client
            .send(format!(
                "{method} /in/{SOURCE}?challenge=c HTTP/1.1\r\nhost: e\r\n\r\n"
            ))
            .await;
        let answer = client.answer_to(method == "HEAD").await;
        assert_eq!(
            (answer.status, answer.header("content-length")),
            (200, Some("5")),
            "{method}"
        );
        let request = requests.request().await;
        assert_eq!(request.method, method);
        assert_eq!(request.path_query, format!("/in/{SOURCE}?challenge=c"));
        client.send(post("next")).await;
        assert_eq!(client.answer().await.status, 200, "{method}");
        requests.request().await;
    }
}

#[tokio::test]
async fn bh21_heads_that_are_too_long_or_have_too_many_headers_are_refused() {
    let many = head(&format!("host: e\r\n{}", "a: b\r\n".repeat(64)));
    let long = head(&format!("host: e\r\na: {}\r\n", "b".repeat(17 * 1024)));
    let endless = format!("POST / HTTP/1.1\r\nhost: e\r\na: {}", "b".repeat(17 * 1024));
    refuses(
        Then::Closes,
        431,
        &[many.as_bytes(), long.as_bytes(), endless.as_bytes()],
    )
    .await;
}

#[tokio::test]
async fn bh21_a_head_that_is_too_long_in_two_writes_is_refused() {
    let (world, mut requests) = World::answering(patient()).await;
    let mut client = world.client().await;
    let lines = |bytes: usize| format!("a: {}\r\n", "b".repeat(bytes));
    client
        .send(format!(
            "POST /in/{SOURCE} HTTP/1.1\r\nhost: e\r\n{}",
            lines(12 * 1024)
        ))
        .await;
    client.send(format!("{}\r\n", lines(8 * 1024))).await;
    let answer = client.answer().await;
    assert!(answer.status == 431 && answer.closes());
    assert!(!requests.has_request());
}

#[tokio::test]
async fn sixty_four_headers_and_a_target_of_four_kib_are_taken() {
    let (world, mut requests) = World::answering(patient()).await;
    let path = format!("/in/{SOURCE}?");
    let target = format!("{path}{}", "q".repeat(4 * 1024 - path.len()));
    let lines = "a: b\r\n".repeat(63);
    let answer = world
        .ask(format!("POST {target} HTTP/1.1\r\nhost: e\r\n{lines}\r\n"))
        .await;
    assert_eq!(answer.status, 200);
    let request = requests.request().await;
    assert_eq!((request.headers.len(), request.path_query), (64, target));
}

#[tokio::test]
async fn bh22_targets_that_are_too_long_are_refused() {
    let target = |bytes: usize| {
        format!(
            "POST /in/{SOURCE}?{} HTTP/1.1\r\nhost: e\r\n\r\n",
            "q".repeat(bytes)
        )
    };
    refuses(
        Then::Closes,
        414,
        &[target(70 * 1024).as_bytes(), target(5 * 1024).as_bytes()],
    )
    .await;
}

#[tokio::test]
async fn bh23_targets_with_bytes_that_none_has_are_refused() {
    refuses(
        Then::Closes,
        400,
        &[
            b"POST /in/\xff HTTP/1.1\r\nhost: e\r\n\r\n",
            b"POST /in/a b HTTP/1.1\r\nhost: e\r\n\r\n",
            b"POST /in/a\x7f HTTP/1.1\r\nhost: e\r\n\r\n",
            b"POST /in/a#b HTTP/1.1\r\nhost: e\r\n\r\n",
            b"POST in/a HTTP/1.1\r\nhost: e\r\n\r\n",
        ],
    )
    .await;
}

#[tokio::test]
async fn bh24_bc1_paths_that_no_source_can_have_are_not_found() {
    let (world, mut requests) = World::answering(patient()).await;
    for path in [
        "/".to_owned(),
        "/in/".to_owned(),
        format!("/in/{SOURCE}//"),
        format!("//in/{SOURCE}"),
        format!("/in//{SOURCE}"),
        format!("/in/{OTHER_SOURCE}/%2e%2e/{SOURCE}"),
        format!("/in/{OTHER_SOURCE}%2f..%2f{SOURCE}"),
        format!("/in/%2e%2e/in/{SOURCE}"),
        format!("/in/{SOURCE}%00"),
        "/in/src_1".to_owned(),
        "/in/evt_01hzy3v7gq8ye9p0abcdefghjk".to_owned(),
    ] {
        let answer = world
            .ask(format!("POST {path} HTTP/1.1\r\nhost: e\r\n\r\n"))
            .await;
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (404, "{\"error\":\"path\"}"),
            "{path}"
        );
    }
    assert!(!requests.has_request());
}

#[tokio::test]
async fn bc1_a_source_that_nobody_knows_is_the_control_planes_to_answer() {
    let (world, mut requests) = World::answering(patient()).await;
    let answer = world.ask(post("a").replace(SOURCE, OTHER_SOURCE)).await;
    assert_eq!(answer.status, 200);
    assert_eq!(requests.request().await.source_id, OTHER_SOURCE);
}

#[tokio::test]
async fn bh30_expectations_besides_100_continue_are_refused() {
    refuses(
        Then::Stays,
        417,
        &[with("POST", "expect: x\r\n", "a").as_bytes()],
    )
    .await;
}

#[tokio::test]
async fn bh31_upgrades_are_passed_over() {
    let (world, mut requests) = World::answering(patient()).await;
    for protocol in ["h2c", "websocket"] {
        let lines = format!("connection: upgrade\r\nupgrade: {protocol}\r\n");
        assert_eq!(
            world.ask(with("POST", &lines, "a")).await.status,
            200,
            "{protocol}"
        );
        assert_eq!(requests.request().await.body, "a");
    }
}

#[tokio::test]
async fn bh33_a_body_where_the_method_has_none_is_refused() {
    let rows = ["GET", "HEAD", "OPTIONS"].map(|method| with(method, "", "body"));
    // The answer to HEAD has no body.
    refuses(Then::Closes, 400, &[rows[0].as_bytes(), rows[2].as_bytes()]).await;
    let (world, _requests) = World::answering(patient()).await;
    let mut client = world.client().await;
    client.send(&rows[1]).await;
    assert_eq!(client.answer_to(true).await.status, 400);
    client.closed().await;
}

#[tokio::test]
async fn bh39_codings_besides_gzip_are_refused_and_gzip_is_the_control_planes_to_judge() {
    let rows = ["br", "gzip, gzip", "deflate", "gzip, identity"]
        .map(|coding| with("POST", &format!("content-encoding: {coding}\r\n"), "a"));
    let twice = with(
        "POST",
        "content-encoding: gzip\r\ncontent-encoding: gzip\r\n",
        "a",
    );
    let mut rows: Vec<&[u8]> = rows.iter().map(String::as_bytes).collect();
    rows.push(twice.as_bytes());
    refuses(Then::Stays, 415, &rows).await;
    let (world, mut requests) = World::answering(patient()).await;
    for coding in ["gzip", "GZIP", "identity"] {
        let answer = world
            .ask(with(
                "POST",
                &format!("content-encoding: {coding}\r\n"),
                "\u{1f}a",
            ))
            .await;
        assert_eq!(answer.status, 200, "{coding}");
        assert_eq!(requests.request().await.body, "\u{1f}a");
    }
}

#[tokio::test]
async fn bh42_forwarded_addresses_are_believed_of_trusted_proxies_only_and_to_a_depth() {
    let lines = |chain: &str| format!("connection: close\r\nx-forwarded-for: {chain}\r\n");
    let chain = format!("203.0.113.9{}", ", 127.0.0.1".repeat(1_000));
    let (world, mut requests) = World::answering(patient()).await;
    assert_eq!(
        world.ask(with("POST", &lines(&chain), "a")).await.status,
        200
    );
    assert_eq!(requests.request().await.remote_address, "127.0.0.1");
    let config = EdgeConfig {
        trusted_proxies: vec!["127.0.0.0/8".parse().expect("a range")],
        ..patient()
    };
    let (world, mut requests) = World::answering(config).await;
    for (chain, address) in [
        (chain.as_str(), "127.0.0.1"),
        ("198.51.100.1, 203.0.113.9", "203.0.113.9"),
        ("198.51.100.1, 203.0.113.9, 127.0.0.2", "203.0.113.9"),
    ] {
        let answer = world.ask(with("POST", &lines(chain), "a")).await;
        assert!(answer.status == 200 && answer.closes());
        assert_eq!(
            requests.request().await.remote_address,
            address,
            "{chain:.60}"
        );
    }
}
