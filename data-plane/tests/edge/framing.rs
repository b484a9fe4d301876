//! Where a request ends: what could be read in two ways is refused, and the connection closed. BH1 to BH10, BH18 to
//! BH20, BH25 and BH26.

use super::{Then, World, head, patient, post, refuses};

#[tokio::test]
async fn bh1_a_length_beside_a_transfer_coding_is_refused() {
    refuses(
        Then::Closes,
        400,
        &[
            head("host: e\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n").as_bytes(),
            head("host: e\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n").as_bytes(),
        ],
    )
    .await;
}

#[tokio::test]
async fn bh2_to_bh5_a_length_that_is_said_twice_or_is_no_number_is_refused() {
    let lengths = [
        "+2",
        "-1",
        "0x2",
        "18446744073709551616",
        "2, 2",
        "2,2",
        "",
        "2 2",
        "2;",
        "1e1",
    ];
    let mut rows: Vec<String> = lengths
        .iter()
        .map(|length| head(&format!("host: e\r\ncontent-length: {length}\r\n")))
        .collect();
    rows.push(head(
        "host: e\r\ncontent-length: 2\r\ncontent-length: 3\r\n",
    ));
    rows.push(head(
        "host: e\r\ncontent-length: 2\r\nContent-Length: 2\r\n",
    ));
    let rows: Vec<&[u8]> = rows.iter().map(String::as_bytes).collect();
    refuses(Then::Closes, 400, &rows).await;
}

#[tokio::test]
async fn bh6_a_transfer_coding_that_does_not_end_in_chunked_is_refused() {
    let codings = [
        "identity",
        "xchunked",
        "chunked, identity",
        "chunked, chunked",
        "",
        "gzip",
        "chunked;a",
    ];
    let mut rows: Vec<String> = codings
        .iter()
        .map(|coding| head(&format!("host: e\r\ntransfer-encoding: {coding}\r\n")))
        .collect();
    rows.push(head(
        "host: e\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
    ));
    let rows: Vec<&[u8]> = rows.iter().map(String::as_bytes).collect();
    refuses(Then::Closes, 400, &rows).await;
}

#[tokio::test]
async fn bh7_a_transfer_coding_besides_chunked_is_not_implemented() {
    refuses(
        Then::Closes,
        501,
        &[head("host: e\r\ntransfer-encoding: gzip, chunked\r\n").as_bytes()],
    )
    .await;
}

#[tokio::test]
async fn bh8_a_transfer_coding_in_http_1_0_and_a_blank_before_the_colon_are_refused() {
    refuses(
        Then::Closes,
        400,
        &[
            head("host: e\r\ntransfer-encoding: chunked\r\n")
                .replace("1.1", "1.0")
                .as_bytes(),
            head("host: e\r\ncontent-length : 2\r\n").as_bytes(),
            head("host : e\r\n").as_bytes(),
        ],
    )
    .await;
}

#[tokio::test]
async fn bh9_header_lines_that_are_none_are_refused() {
    refuses(
        Then::Closes,
        400,
        &[
            head("host: e\r\na: b\r\n folded\r\n").as_bytes(),
            head("host: e\r\na: b\r\n\tfolded\r\n").as_bytes(),
            head("host: e\r\na: b\0c\r\n").as_bytes(),
            head("host: e\r\na: b\rc\r\n").as_bytes(),
            head("host: e\r\nno colon\r\n").as_bytes(),
            head("host: e\r\n: no name\r\n").as_bytes(),
            head("host: e\r\na b: c\r\n").as_bytes(),
            b"POST /in/x HTTP/1.1\r\nhost: e\r\na\xff: b\r\n\r\n",
        ],
    )
    .await;
}

#[tokio::test]
async fn bh10_lines_that_end_in_lf_alone_are_refused_without_waiting_for_more() {
    let whole = post("body").replace("\r\n", "\n");
    refuses(
        Then::Closes,
        400,
        &[
            whole.as_bytes(),
            b"POST / HTTP/1.1\n",
            b"POST / HTTP/1.1\r\nhost: e\n",
            b"POST / HTTP/1.1\r\nhost: e\r\n\n",
            b"\n",
        ],
    )
    .await;
}

#[tokio::test]
async fn bh18_request_lines_that_are_none_are_refused() {
    let rows = [
        "PO(ST / HTTP/1.1",
        "POST / HTTP/1.2",
        "POST / HTTP/2.0",
        "POST / HTTP/1.1 ",
        "POST /",
        "POST  / HTTP/1.1",
        " POST / HTTP/1.1",
        "POST / http/1.1",
    ]
    .map(|line| format!("{line}\r\nhost: e\r\n\r\n"));
    let rows: Vec<&[u8]> = rows.iter().map(String::as_bytes).collect();
    refuses(Then::Closes, 400, &rows).await;
}

#[tokio::test]
async fn bh19_the_greeting_of_http_2_without_tls_is_closed_without_an_answer() {
    let (world, _requests) = World::answering(patient()).await;
    let mut client = world.client().await;
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    client.closed().await;
}

#[tokio::test]
async fn bh20_the_greeting_of_tls_without_tls_is_refused() {
    refuses(
        Then::Closes,
        400,
        &[b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"],
    )
    .await;
}

#[tokio::test]
async fn bh25_chunks_that_are_none_are_refused() {
    let chunked = head("host: e\r\ntransfer-encoding: chunked\r\n");
    let extension = format!("1;{}\r\na\r\n0\r\n\r\n", "e".repeat(40 * 1024));
    let rows = [
        "g\r\na\r\n0\r\n\r\n",
        "11111111111111111\r\n",
        "1\na\r\n0\r\n\r\n",
        "1\r\na\n0\r\n\r\n",
        "1\r\nab\r\n0\r\n\r\n",
        &extension,
    ]
    .map(|chunks| format!("{chunked}{chunks}"));
    let rows: Vec<&[u8]> = rows.iter().map(String::as_bytes).collect();
    refuses(Then::Closes, 400, &rows).await;
}

#[tokio::test]
async fn bh26_too_many_and_too_long_trailers_are_refused() {
    let chunked = head("host: e\r\ntransfer-encoding: chunked\r\n");
    let many = format!("{chunked}1\r\na\r\n0\r\n{}\r\n", "a: b\r\n".repeat(70));
    let long = format!(
        "{chunked}1\r\na\r\n0\r\na: {}\r\n\r\n",
        "b".repeat(60 * 1024)
    );
    refuses(Then::Closes, 400, &[many.as_bytes(), long.as_bytes()]).await;
}

#[tokio::test]
async fn chunked_bodies_arrive_whole_and_the_next_request_after_them() {
    let (world, mut requests) = World::answering(patient()).await;
    let mut client = world.client().await;
    let chunked = head("host: e\r\ntransfer-encoding: Chunked\r\n");
    client
        .send(format!(
            "{chunked}5;a=b\r\nhello\r\n6\r\n world\r\n0\r\ntrailer: x\r\n\r\n"
        ))
        .await;
    client.send(post("next")).await;
    assert_eq!(client.answer().await.status, 200);
    assert_eq!(client.answer().await.status, 200);
    assert_eq!(requests.request().await.body, "hello world");
    assert_eq!(requests.request().await.body, "next");
}
