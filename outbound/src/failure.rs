//! Why a request has no answer.

/// Writes the variants, their words and the list of all from one table.
macro_rules! failures {
    ($($(#[$doc:meta])+ $variant:ident $word:literal)+) => {
        /// Why a request has no answer: one word for each cause that somebody would mend in another way.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Failure {
            $($(#[$doc])+ $variant,)+
        }

        impl Failure {
            /// Every one.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The word for it, as in attempts, metrics and logs.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }
    };
}

failures! {
    /// The URL leads to an address that the guard does not allow.
    TargetNotAllowed "target_not_allowed"
    /// A name server says that there is no such name, or that it has no address.
    DnsNoSuchName "dns_no_such_name"
    /// No name server gave an answer that can be used.
    DnsNoAnswer "dns_no_answer"
    /// Nobody listens at the port, or a firewall says so.
    ConnectionRefused "connection_refused"
    /// There is no route to the host or its network.
    HostUnreachable "host_unreachable"
    /// No address took the connection in time.
    ConnectTimeout "connect_timeout"
    /// This side could not open a connection: no file descriptor or port left, or its own system forbids it.
    LocalError "local_error"
    /// The certificate has expired.
    TlsCertificateExpired "tls_certificate_expired"
    /// The certificate is not valid yet.
    TlsCertificateNotYetValid "tls_certificate_not_yet_valid"
    /// Nobody that is trusted issued the certificate.
    TlsUnknownIssuer "tls_unknown_issuer"
    /// The certificate came without the intermediate one that leads to a public authority.
    TlsIncompleteChain "tls_incomplete_chain"
    /// The certificate is for another name.
    TlsWrongName "tls_wrong_name"
    /// There is no version or cipher that both sides speak.
    TlsNoCommonProtocol "tls_no_common_protocol"
    /// The other side wants a client certificate.
    TlsClientCertificateWanted "tls_client_certificate_wanted"
    /// What came was no TLS.
    TlsNotTls "tls_not_tls"
    /// The other side hung up in the handshake.
    TlsClosed "tls_closed"
    /// The handshake was not done in time.
    TlsTimeout "tls_timeout"
    /// Something else of TLS.
    TlsError "tls_error"
    /// The request went out, and the head of an answer did not come in time.
    AnswerTimeout "answer_timeout"
    /// The connection was reset.
    ConnectionReset "connection_reset"
    /// The connection was closed before the whole head of an answer.
    ConnectionClosed "connection_closed"
    /// The answer was no HTTP.
    AnswerNotHttp "answer_not_http"
    /// The answer's status line or a header field breaks the rules of HTTP.
    AnswerMalformed "answer_malformed"
    /// The answer was over a limit.
    ResponseTooLarge "response_too_large"
    /// The answer has a status that ends nothing: 101, one above 599, or more than eight below 200.
    UnexpectedStatus "unexpected_status"
    /// The other side reset the HTTP/2 stream, went away, or broke the rules of HTTP/2.
    Http2Error "http2_error"
    /// Something else of HTTP.
    ProtocolError "protocol_error"
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
