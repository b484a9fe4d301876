//! Why a request was not accepted.
//!
//! A refusal says nothing about a secret or about the bytes that were expected.

/// The reason that a request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// No signature, token or credential where the scheme wants one.
    #[error("the request has no signature")]
    MissingSignature,
    /// The signature cannot be read: encoding, length, prefix, too many entries.
    #[error("the signature cannot be read")]
    MalformedSignature,
    /// The signature, token or credential is not that of any configured secret.
    #[error("the signature is wrong")]
    WrongSignature,
    /// A header that may be there once has several values.
    #[error("a header that may be given once is given twice")]
    AmbiguousHeader,
    /// A field, a parameter or an entry of a signature that may be there once has several values.
    #[error("a value that may be given once is given twice")]
    AmbiguousValue,
    /// What a handshake wants to have echoed is missing, too long or not printable.
    #[error("the challenge is not one that is echoed")]
    MalformedChallenge,
    /// A header's value is no text.
    #[error("a header cannot be read")]
    MalformedHeader,
    /// Something that is signed is not in the request.
    #[error("a signed value is missing")]
    MissingValue,
    /// Something that is signed has a form that it must not have.
    #[error("a signed value is malformed")]
    MalformedValue,
    /// No timestamp where the scheme wants one.
    #[error("the request has no timestamp")]
    MissingTimestamp,
    /// The timestamp cannot be read.
    #[error("the timestamp cannot be read")]
    MalformedTimestamp,
    /// The timestamp is older than the tolerance.
    #[error("the timestamp is too old")]
    Stale,
    /// The timestamp is further ahead than the tolerance.
    #[error("the timestamp is in the future")]
    FromTheFuture,
    /// The source has no secret that can be used with the scheme.
    #[error("the source has no usable secret")]
    NoSecret,
    /// The key that the request names is not a known one.
    #[error("the key is unknown")]
    UnknownKey,
    /// The key that the request names has to be fetched first.
    #[error("the key has not been fetched")]
    KeyNotFetched,
    /// The key's address is not one that the scheme allows.
    #[error("the key's address is not allowed")]
    ForbiddenKeyAddress,
    /// A certificate is unreadable, out of date, or for somebody else.
    #[error("the certificate is not acceptable")]
    BadCertificate,
    /// The body is not what the scheme says it is (JSON, form), too deep or too wide. Of [`crate::Verifier::verify`] it
    /// means that the sender is proved.
    #[error("the body cannot be read")]
    MalformedBody,
    /// A value that must be equal to a configured one is not.
    #[error("a required value differs")]
    Requirement,
    /// A JWT that cannot be read.
    #[error("the token cannot be read")]
    MalformedToken,
    /// A JWT of an algorithm that the scheme does not list.
    #[error("the token's algorithm is not allowed")]
    ForbiddenAlgorithm,
    /// A claim of a JWT is missing or wrong; the text names the claim.
    #[error("the claim is missing or wrong: {0}")]
    Claim(&'static str),
    /// A method that the scheme does not take.
    #[error("the method is not taken")]
    Method,
}

impl Refusal {
    /// A short name for metrics: `snake_case`, of a fixed set.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::MissingSignature => "missing_signature",
            Self::MalformedSignature => "malformed_signature",
            Self::WrongSignature => "wrong_signature",
            Self::AmbiguousHeader => "ambiguous_header",
            Self::AmbiguousValue => "ambiguous_value",
            Self::MalformedChallenge => "malformed_challenge",
            Self::MalformedHeader => "malformed_header",
            Self::MissingValue => "missing_value",
            Self::MalformedValue => "malformed_value",
            Self::MissingTimestamp => "missing_timestamp",
            Self::MalformedTimestamp => "malformed_timestamp",
            Self::Stale => "stale",
            Self::FromTheFuture => "from_the_future",
            Self::NoSecret => "no_secret",
            Self::UnknownKey => "unknown_key",
            Self::KeyNotFetched => "key_not_fetched",
            Self::ForbiddenKeyAddress => "forbidden_key_address",
            Self::BadCertificate => "bad_certificate",
            Self::MalformedBody => "malformed_body",
            Self::Requirement => "requirement",
            Self::MalformedToken => "malformed_token",
            Self::ForbiddenAlgorithm => "forbidden_algorithm",
            Self::Claim(_) => "claim",
            Self::Method => "method",
        }
    }
}
