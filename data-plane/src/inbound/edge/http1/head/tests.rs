use super::*;

const LIMITS: HeadLimits = HeadLimits {
    bytes: 16 * 1024,
    fields: 64,
    target_bytes: 4 * 1024,
};

/// The head, given in pieces of `piece` bytes, and what is left after it.
fn scan(bytes: &[u8], piece: usize) -> Result<Option<(Parsed, BytesMut)>, NoHead> {
    let mut scan = Scan::default();
    let mut buffer = BytesMut::new();
    let mut pieces = bytes.chunks(piece);
    while let Some(piece) = pieces.next() {
        buffer.extend_from_slice(piece);
        if let Some(parsed) = scan.head(&mut buffer, &LIMITS)? {
            pieces.for_each(|piece| buffer.extend_from_slice(piece));
            return Ok(Some((parsed, buffer)));
        }
    }
    Ok(None)
}

#[test]
fn a_head_is_the_same_however_it_comes() {
    let bytes = b"\r\nPOST /a?b HTTP/1.1\r\nHost: e\r\nX-A:  b \r\nContent-Length: 2\r\n\r\nabPOST";
    for piece in [1, 2, 7, 1_000] {
        let (parsed, left) = scan(bytes, piece)
            .expect("it is good")
            .expect("it is whole");
        assert_eq!(parsed.head.method, Method::POST);
        assert_eq!(parsed.head.target, "/a?b");
        let fields = parsed.head.fields.iter();
        let fields: Vec<_> = fields
            .map(|field| (field.name.as_str(), field.value.as_ref()))
            .collect();
        assert_eq!(
            fields,
            [("host", &b"e"[..]), ("x-a", b"b"), ("content-length", b"2")]
        );
        assert_eq!(parsed.framing, Framing::Length(2));
        assert!(parsed.keeps_alive && !parsed.expects_continue);
        assert_eq!(left, "abPOST");
    }
}

#[test]
fn what_follows_for_the_connection_is_read_from_the_head() {
    for (version, lines, keeps_alive, expects_continue) in [
        ("1.1", "", true, false),
        ("1.0", "", false, false),
        (
            "1.0",
            "connection: keep-alive\r\nexpect: 100-continue\r\n",
            false,
            false,
        ),
        ("1.1", "connection: x, CLOSE\r\n", false, false),
        (
            "1.1",
            "connection: x\r\nconnection: close\r\n",
            false,
            false,
        ),
        ("1.1", "expect: 100-Continue\r\n", true, true),
    ] {
        let head = format!("POST / HTTP/{version}\r\n{lines}\r\n");
        let (parsed, _) = scan(head.as_bytes(), 9)
            .expect("it is good")
            .expect("it is whole");
        let follows = (parsed.keeps_alive, parsed.expects_continue);
        assert_eq!(follows, (keeps_alive, expects_continue), "{head}");
    }
}

#[test]
fn heads_that_are_none_are_refused_however_they_come() {
    let long_line = format!("POST /{} HTTP/1.1\r\n\r\n", "a".repeat(4 * 1024));
    let longer_line = format!("POST /{}", "a".repeat(20 * 1024));
    let long_head = format!("POST / HTTP/1.1\r\na: {}\r\n\r\n", "b".repeat(16 * 1024));
    let many = format!("POST / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(65));
    for (bytes, refusal) in [
        ("POST / HTTP/1.1\n", Refusal::LineEnd),
        ("POST / HTTP/1.1\r\na: b\n\r\n", Refusal::LineEnd),
        ("\n", Refusal::LineEnd),
        ("\r\n\r\n", Refusal::Malformed),
        ("\u{16}\u{3}", Refusal::Malformed),
        (" POST", Refusal::Malformed),
        ("POST / HTTP/1.1\r\na\r\n\r\n", Refusal::Malformed),
        ("POST / HTTP/1.1\r\na: b\rc\r\n\r\n", Refusal::Malformed),
        ("POST / HTTP/3.0\r\n\r\n", Refusal::Malformed),
        (&long_line, Refusal::TargetLong),
        (&longer_line, Refusal::TargetLong),
        (&long_head, Refusal::HeadLong),
        (&many, Refusal::HeadLong),
    ] {
        for piece in [1, 5, 100_000] {
            let start = &bytes[..bytes.len().min(40)];
            let refused = scan(bytes.as_bytes(), piece).map(|_| ());
            assert_eq!(
                refused,
                Err(NoHead::Refused(refusal)),
                "{start:?} by {piece}"
            );
        }
    }
    let preface = scan(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 3).map(|_| ());
    assert_eq!(preface, Err(NoHead::OtherProtocol));
}

#[test]
fn the_length_of_a_body_is_said_once_or_not_at_all() {
    let (length, coding) = ("content-length", "transfer-encoding");
    for (fields, expected) in [
        (&[][..], Ok(Framing::Length(0))),
        (&[(length, "0")], Ok(Framing::Length(0))),
        (&[(length, "007")], Ok(Framing::Length(7))),
        (
            &[(length, "18446744073709551615")],
            Ok(Framing::Length(u64::MAX)),
        ),
        (&[(length, "18446744073709551616")], Err(Refusal::Framing)),
        (&[(length, "")], Err(Refusal::Framing)),
        (&[(length, "+1")], Err(Refusal::Framing)),
        (&[(length, "1"), (length, "1")], Err(Refusal::Framing)),
        (&[(length, "1"), (coding, "chunked")], Err(Refusal::Framing)),
        (&[(coding, "chunked")], Ok(Framing::Chunked)),
        (&[(coding, "CHUNKED")], Ok(Framing::Chunked)),
        (
            &[(coding, "chunked"), (coding, "chunked")],
            Err(Refusal::Framing),
        ),
        (&[(coding, "chunked, chunked")], Err(Refusal::Framing)),
        (&[(coding, "chunked,")], Err(Refusal::Framing)),
        (&[(coding, "gzip , chunked")], Err(Refusal::TransferCoding)),
        (
            &[(coding, "deflate, gzip, chunked")],
            Err(Refusal::TransferCoding),
        ),
        (&[(coding, "gzip")], Err(Refusal::Framing)),
    ] {
        let lines: Vec<_> = fields
            .iter()
            .map(|(name, value)| httparse::Header {
                name,
                value: value.as_bytes(),
            })
            .collect();
        assert_eq!(framing(&lines, true), expected, "{fields:?}");
        let has_coding = fields.iter().any(|(name, _)| *name == coding);
        assert!(!has_coding || framing(&lines, false).is_err(), "{fields:?}");
    }
}
