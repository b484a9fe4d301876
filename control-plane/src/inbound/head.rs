//! The head of a request that a node forwarded: whether it can be one at all. The node's edge has looked before; what it
//! hands on is not believed for that. Lengths are not judged here.

use std::net::IpAddr;

use posthorn::node::v1;

/// Whether the head of a request is one that HTTP has, and is of the source that it names.
pub(super) fn is_well_formed(head: &v1::ForwardedRequest) -> bool {
    let is_token = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&byte)
    };
    let is_text = |byte: &u8| !matches!(byte, b'\r' | b'\n' | 0);
    let mut fields = head.headers.iter();
    let path = head.path_query.strip_prefix("/in/");
    let rest = path.and_then(|path| path.strip_prefix(head.source_id.as_str()));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('?'))
        && !head.path_query.chars().any(char::is_control)
        && head.remote_address.parse::<IpAddr>().is_ok()
        && fields.all(|field| {
            !field.name.is_empty()
                && field.name.bytes().all(is_token)
                && field.value.iter().all(is_text)
        })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn head() -> v1::ForwardedRequest {
        v1::ForwardedRequest {
            source_id: "src_1".to_owned(),
            path_query: "/in/src_1?a=b".to_owned(),
            headers: vec![field("x-a", b"b\xff")],
            remote_address: "2001:db8::1".to_owned(),
            ..v1::ForwardedRequest::default()
        }
    }

    fn field(name: &str, value: &'static [u8]) -> v1::Header {
        v1::Header {
            name: name.to_owned(),
            value: Bytes::from_static(value),
        }
    }

    #[test]
    fn a_head_is_one_that_http_has_and_is_of_its_source() {
        assert!(is_well_formed(&head()));
        for path_query in ["/in/src_1", "/in/src_1?"] {
            let path_query = path_query.to_owned();
            assert!(is_well_formed(&v1::ForwardedRequest {
                path_query,
                ..head()
            }));
        }
        for path_query in [
            "",
            "/",
            "/in/src_2",
            "/in/src_12",
            "/in/src_1\n",
            "/in/src_1?\u{0}",
        ] {
            let path_query = path_query.to_owned();
            let head = v1::ForwardedRequest {
                path_query,
                ..head()
            };
            assert!(!is_well_formed(&head), "{head:?}");
        }
        for field in [
            field("", b"a"),
            field("X-A", b"a"),
            field("x a", b"a"),
            field("x:a", b"a"),
            field("x", b"a\r"),
            field("x", b"a\n"),
            field("x", b"\0"),
        ] {
            let headers = vec![field];
            assert!(!is_well_formed(&v1::ForwardedRequest { headers, ..head() }));
        }
        for remote_address in ["", "somewhere", "192.0.2.7:80"] {
            let remote_address = remote_address.to_owned();
            assert!(!is_well_formed(&v1::ForwardedRequest {
                remote_address,
                ..head()
            }));
        }
    }
}
