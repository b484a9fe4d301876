//! References: which value of a request or of the configuration is meant.

use crate::json::Pointer;

/// The longest name of a reference, in bytes.
const NAME_BYTES_MAX: usize = 256;

/// A value of a request or of the configuration. The words are those of [`crate::scheme`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reference {
    /// A header, by its lower-case name.
    Header(String),
    /// A parameter of the query.
    Query(String),
    /// A field of the form.
    Form(String),
    /// A value of the JSON body.
    Json(Pointer),
    /// The name of the last member of an object of the JSON body.
    LastKey(Pointer),
    /// A value of one item of a batch.
    Item(Pointer),
    /// The name of the last member of an object of one item.
    ItemLastKey(Pointer),
    /// The hex SHA-256 of one item.
    ItemSha256,
    /// Another entry of the signature header.
    Sig(String),
    /// A setting of the source.
    Param(String),
    /// A claim of the JWT.
    Claim(Pointer),
    /// Fixed text.
    Literal(String),
    /// The raw body.
    Body,
    /// The body with gzip undone.
    BodyInflated,
    /// The hex SHA-256 of the body.
    BodySha256,
    /// The CRC-32 of the body in decimal.
    BodyCrc32,
    /// The method.
    Method,
    /// The path.
    Path,
    /// Path and query as received.
    PathQuery,
    /// The registered URL.
    Url,
    /// The secret that is tried.
    Secret,
    /// Those secrets that begin with this word and a colon, without both.
    Role(String),
    /// The form's fields, sorted and strung together.
    FormSorted,
    /// The digest of a handshake's answer.
    Digest,
}

impl Reference {
    /// Reads a reference.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if let Some(literal) = text.strip_prefix('=') {
            return Some(Self::Literal(literal.to_owned()));
        }
        match text.split_once(':') {
            Some((kind, name)) => Self::named(kind, name),
            None => Self::bare(text),
        }
    }

    fn named(kind: &str, name: &str) -> Option<Self> {
        if name.len() > NAME_BYTES_MAX {
            return None;
        }
        let given = (!name.is_empty()).then(|| name.to_owned());
        Some(match kind {
            "header" => Self::Header(given.filter(|name| is_token(name))?.to_ascii_lowercase()),
            "query" => Self::Query(given?),
            "form" => Self::Form(given?),
            "json" => Self::Json(Pointer::parse(name)?),
            "last_key" => Self::LastKey(Pointer::parse(name)?),
            "item" => Self::Item(Pointer::parse(name)?),
            "item_last_key" => Self::ItemLastKey(Pointer::parse(name)?),
            "sig" => Self::Sig(given?),
            "param" => Self::Param(given?),
            "secret" => Self::Role(given.filter(|name| is_token(name))?),
            "claim" => Self::Claim(Pointer::parse(&format!("/{}", given?))?),
            _ => return None,
        })
    }

    fn bare(text: &str) -> Option<Self> {
        Some(match text {
            "body" => Self::Body,
            "body_inflated" => Self::BodyInflated,
            "body_sha256" => Self::BodySha256,
            "body_crc32" => Self::BodyCrc32,
            "item_sha256" => Self::ItemSha256,
            "method" => Self::Method,
            "path" => Self::Path,
            "path_query" => Self::PathQuery,
            "url" => Self::Url,
            "secret" => Self::Secret,
            "form_sorted" => Self::FormSorted,
            "digest" => Self::Digest,
            _ => return None,
        })
    }

    /// Whether the value stands for the whole body.
    pub(crate) fn covers_body(&self) -> bool {
        matches!(
            self,
            Self::Body | Self::BodyInflated | Self::BodySha256 | Self::BodyCrc32 | Self::FormSorted
        )
    }
}

/// Whether a text can be the name of a header.
pub(crate) fn is_token(text: &str) -> bool {
    let is_mark = |byte: u8| b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || is_mark(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_read() {
        assert_eq!(
            Reference::parse("header:X-A"),
            Some(Reference::Header("x-a".into()))
        );
        assert_eq!(
            Reference::parse("=a:b"),
            Some(Reference::Literal("a:b".into()))
        );
        assert_eq!(Reference::parse("body"), Some(Reference::Body));
        assert_eq!(
            Reference::parse("query:hub.mode"),
            Some(Reference::Query("hub.mode".into()))
        );
        assert!(matches!(
            Reference::parse("json:"),
            Some(Reference::Json(_))
        ));
        assert!(matches!(
            Reference::parse("json:/a:b"),
            Some(Reference::Json(_))
        ));
        for bad in [
            "",
            "header:",
            "header:a b",
            "header:a\r\nb",
            "header:\u{e9}",
            "secret:",
            "header",
            "json:a",
            "cookie:a",
            "Body",
            "sig:",
            "json/a",
        ] {
            assert_eq!(Reference::parse(bad), None, "{bad}");
        }
    }
}
