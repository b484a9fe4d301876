use super::*;

const SOURCE: &str = "/in/src_01hzy3v7gq8ye9p0abcdefghjk";

fn head(method: &str, target: &str, fields: &[(&str, &str)]) -> Head {
    let field = |(name, value): &(&str, &str)| Header {
        name: (*name).to_owned(),
        value: value.as_bytes().to_vec().into(),
    };
    Head {
        method: method.parse().expect("a method"),
        target: target.as_bytes().to_vec().into(),
        fields: fields.iter().map(field).collect(),
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "it is a table")]
fn a_head_is_refused_for_the_first_thing_that_is_wrong() {
    let host = ("host", "e");
    let none = Length::Known(0);
    for (method, target, fields, length, expected) in [
        ("POST", SOURCE, vec![host], Length::Known(9), None),
        ("POST", SOURCE, vec![host], Length::Unknown, None),
        ("GET", SOURCE, vec![host], none, None),
        (
            "GET",
            SOURCE,
            vec![host],
            Length::Unknown,
            Some(Refusal::BodyUnexpected),
        ),
        (
            "HEAD",
            SOURCE,
            vec![host],
            Length::Known(1),
            Some(Refusal::BodyUnexpected),
        ),
        ("TRACE", SOURCE, vec![], none, Some(Refusal::Method)),
        ("CONNECT", "e:1", vec![host], none, Some(Refusal::Method)),
        ("OPTIONS", "*", vec![], none, Some(Refusal::Method)),
        ("PUT", SOURCE, vec![host], none, Some(Refusal::Method)),
        ("PUT", "/elsewhere", vec![host], none, Some(Refusal::Path)),
        ("POST", SOURCE, vec![], none, Some(Refusal::Host)),
        ("POST", SOURCE, vec![host, host], none, Some(Refusal::Host)),
        (
            "POST",
            SOURCE,
            vec![("host", "other")],
            none,
            Some(Refusal::OtherHost),
        ),
        (
            "POST",
            "http://f/",
            vec![host],
            none,
            Some(Refusal::Authority),
        ),
        (
            "POST",
            SOURCE,
            vec![host, ("expect", "100-Continue")],
            none,
            None,
        ),
        (
            "POST",
            SOURCE,
            vec![host, ("expect", "200-ok")],
            none,
            Some(Refusal::Expectation),
        ),
        (
            "POST",
            SOURCE,
            vec![host, ("content-encoding", "GZip")],
            none,
            None,
        ),
        (
            "POST",
            SOURCE,
            vec![host, ("content-encoding", "zstd")],
            none,
            Some(Refusal::Coding),
        ),
    ] {
        let hosts = Hosts::new(vec!["e".parse().expect("a host")]);
        let head = head(method, target, &fields);
        let refusal = head.accept(length, &hosts).err();
        assert_eq!(refusal, expected, "{method} {target} {fields:?}");
    }
}

#[test]
fn an_accepted_head_says_whom_it_is_for() {
    let target = format!("{SOURCE}?a=b");
    let accepted = head("POST", &target, &[("host", "any.example:80")])
        .accept(Length::Known(0), &Hosts::default())
        .expect("it is good");
    assert_eq!(accepted.path_query, target);
    assert_eq!(Some(accepted.source), target::source(&target));
}
