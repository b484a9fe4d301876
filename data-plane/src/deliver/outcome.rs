//! What the contract with the control plane calls a failure.

use posthorn::node::v1::ErrorKind;
use posthorn_outbound::Failure;

/// The contract's word.
pub(crate) fn reported(failure: Failure) -> ErrorKind {
    match failure {
        Failure::TargetNotAllowed => ErrorKind::TargetNotAllowed,
        Failure::DnsNoSuchName => ErrorKind::DnsNoSuchName,
        Failure::DnsNoAnswer => ErrorKind::DnsNoAnswer,
        Failure::ConnectionRefused => ErrorKind::ConnectionRefused,
        Failure::HostUnreachable => ErrorKind::HostUnreachable,
        Failure::ConnectTimeout => ErrorKind::ConnectTimeout,
        Failure::LocalError => ErrorKind::LocalError,
        Failure::TlsCertificateExpired => ErrorKind::TlsCertificateExpired,
        Failure::TlsCertificateNotYetValid => ErrorKind::TlsCertificateNotYetValid,
        Failure::TlsUnknownIssuer => ErrorKind::TlsUnknownIssuer,
        Failure::TlsIncompleteChain => ErrorKind::TlsIncompleteChain,
        Failure::TlsWrongName => ErrorKind::TlsWrongName,
        Failure::TlsNoCommonProtocol => ErrorKind::TlsNoCommonProtocol,
        Failure::TlsClientCertificateWanted => ErrorKind::TlsClientCertificateWanted,
        Failure::TlsNotTls => ErrorKind::TlsNotTls,
        Failure::TlsClosed => ErrorKind::TlsClosed,
        Failure::TlsTimeout => ErrorKind::TlsTimeout,
        Failure::TlsError => ErrorKind::TlsError,
        Failure::AnswerTimeout => ErrorKind::AnswerTimeout,
        Failure::ConnectionReset => ErrorKind::ConnectionReset,
        Failure::ConnectionClosed => ErrorKind::ConnectionClosed,
        Failure::AnswerNotHttp => ErrorKind::AnswerNotHttp,
        Failure::AnswerMalformed => ErrorKind::AnswerMalformed,
        Failure::ResponseTooLarge => ErrorKind::ResponseTooLarge,
        Failure::UnexpectedStatus => ErrorKind::UnexpectedStatus,
        Failure::Http2Error => ErrorKind::Http2Error,
        Failure::ProtocolError => ErrorKind::ProtocolError,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_reported_by_its_own_word() {
        for failure in Failure::ALL {
            let name = reported(*failure).as_str_name().to_ascii_lowercase();
            assert_eq!(name, format!("error_kind_{failure}"));
        }
    }
}
