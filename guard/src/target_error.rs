//! Why a URL cannot be a target: a text for whoever sent the URL, and a code for machines.

/// Why a URL is refused. No text names an address that was not written by whoever sent the URL.
#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
pub enum TargetError {
    /// Longer than 2,048 bytes.
    #[error("the URL is longer than 2048 bytes")]
    TooLong,
    /// The parser could not read it.
    #[error("not a URL with a host")]
    Syntax,
    /// It has a blank, a control character or a backslash.
    #[error("the URL has a blank, a control character or a backslash")]
    Character,
    /// The scheme is neither https nor http.
    #[error("the scheme must be https")]
    Scheme,
    /// It has a user name or password.
    #[error("the URL must not have a user name or password")]
    UserInfo,
    /// It has a fragment.
    #[error("the URL must not have a fragment")]
    Fragment,
    /// An address in another spelling than dotted decimal or plain IPv6.
    #[error(
        "an IP address must be written plainly: dotted decimal, or IPv6 without an IPv4 inside"
    )]
    AddressSpelling,
    /// The host's name is none, or is single or private and the allow list has nothing that could permit it.
    #[error(
        "the host must be a public name of at least two labels, or an IP address, unless the installation allows it"
    )]
    Name,
    /// Plain http, and the allow list does not permit it there.
    #[error("plain http is not allowed there; use https")]
    PlainHttp,
    /// A port of a well-known service or below 1024, and the allow list does not permit it.
    #[error("the port is not allowed; use 443 or one above 1023 that is no other service's")]
    Port,
    /// The address is denied.
    #[error("{}", crate::TARGET_NOT_ALLOWED)]
    Address,
}

impl TargetError {
    /// A short, stable code for machines.
    pub fn reason(self) -> &'static str {
        match self {
            Self::TooLong => "url_too_long",
            Self::Syntax => "url_syntax",
            Self::Character => "url_character",
            Self::Scheme => "url_scheme",
            Self::UserInfo => "url_user_info",
            Self::Fragment => "url_fragment",
            Self::AddressSpelling => "address_spelling",
            Self::Name => "host_name",
            Self::PlainHttp => "plain_http",
            Self::Port => "port",
            Self::Address => crate::TARGET_NOT_ALLOWED,
        }
    }
}
