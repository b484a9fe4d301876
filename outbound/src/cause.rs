//! From an error of the system, of TLS or of HTTP to the word for it.
//!
//! Only the word goes further: the texts of errors may name addresses, and are for the log of the process alone.

use std::{error::Error, io};

use rustls::{AlertDescription, CertificateError, OtherError};

use crate::{Failure, trust::IncompleteChain};

/// An error while connecting.
pub fn of_connect(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::TimedOut => Failure::ConnectTimeout,
        io::ErrorKind::ConnectionReset => Failure::ConnectionReset,
        io::ErrorKind::ConnectionRefused => Failure::ConnectionRefused,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            Failure::HostUnreachable
        }
        _ => Failure::LocalError,
    }
}

/// An error in a TLS handshake.
pub fn of_handshake(error: &io::Error) -> Failure {
    match inner(error).and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(error) => of_tls(error),
        None => match error.kind() {
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof => Failure::TlsClosed,
            io::ErrorKind::TimedOut => Failure::TlsTimeout,
            _ => Failure::TlsError,
        },
    }
}

/// An error of a request, whatever library tells of it: what lies deepest in it has the word.
pub fn of_request(error: &(dyn Error + 'static)) -> Failure {
    let mut http = None;
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(failure) = of_cause(error) {
            return failure;
        }
        http = error.downcast_ref::<hyper::Error>().or(http);
        cause = error.source();
    }
    http.map_or(Failure::ProtocolError, of_http)
}

fn of_cause(error: &(dyn Error + 'static)) -> Option<Failure> {
    if let Some(error) = error.downcast_ref::<io::Error>() {
        return Some(of_io(error));
    }
    let error = error.downcast_ref::<h2::Error>()?;
    Some(error.get_io().map_or(Failure::Http2Error, of_io))
}

fn of_io(error: &io::Error) -> Failure {
    let inner = inner(error);
    let of_inner = |inner: &(dyn Error + Send + Sync + 'static)| {
        let of_tls = inner.downcast_ref::<rustls::Error>().map(of_tls);
        of_tls.or_else(|| inner.downcast_ref::<io::Error>().map(of_io))
    };
    if let Some(failure) = inner.and_then(of_inner) {
        return failure;
    }
    match error.kind() {
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::NotConnected => Failure::ConnectionReset,
        io::ErrorKind::UnexpectedEof => Failure::ConnectionClosed,
        io::ErrorKind::TimedOut => Failure::AnswerTimeout,
        _ => inner.map_or_else(|| of_connect(error), |inner| of_text(&inner.to_string())),
    }
}

/// The HTTP/2 library keeps no more of an error beneath it than its text.
fn of_text(text: &str) -> Failure {
    let wanted = format!("{:?}", AlertDescription::CertificateRequired);
    if text.contains(&wanted) {
        Failure::TlsClientCertificateWanted
    } else {
        Failure::Http2Error
    }
}

fn of_http(error: &hyper::Error) -> Failure {
    if error.is_parse_too_large() {
        Failure::ResponseTooLarge
    } else if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        Failure::ConnectionClosed
    } else if error.is_timeout() {
        Failure::AnswerTimeout
    } else if error.is_parse() {
        // hyper tells by its text alone that the first line names no version of HTTP.
        let is_other = error.to_string().contains("HTTP version");
        if is_other {
            Failure::AnswerNotHttp
        } else {
            Failure::AnswerMalformed
        }
    } else {
        Failure::ProtocolError
    }
}

fn of_tls(error: &rustls::Error) -> Failure {
    match error {
        rustls::Error::InvalidCertificate(error) => of_certificate(error),
        rustls::Error::PeerIncompatible(_) | rustls::Error::NoApplicationProtocol => {
            Failure::TlsNoCommonProtocol
        }
        rustls::Error::InvalidMessage(_) => Failure::TlsNotTls,
        rustls::Error::AlertReceived(alert) => of_alert(*alert),
        _ => Failure::TlsError,
    }
}

fn of_certificate(error: &CertificateError) -> Failure {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            Failure::TlsCertificateExpired
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            Failure::TlsCertificateNotYetValid
        }
        // The second: of somebody whose name is that of a root, and who is not it.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            Failure::TlsUnknownIssuer
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            Failure::TlsWrongName
        }
        CertificateError::Other(OtherError(error)) if error.is::<IncompleteChain>() => {
            Failure::TlsIncompleteChain
        }
        _ => Failure::TlsError,
    }
}

fn of_alert(alert: AlertDescription) -> Failure {
    match alert {
        AlertDescription::HandshakeFailure
        | AlertDescription::ProtocolVersion
        | AlertDescription::InsufficientSecurity
        | AlertDescription::NoApplicationProtocol => Failure::TlsNoCommonProtocol,
        AlertDescription::CertificateRequired | AlertDescription::NoCertificate => {
            Failure::TlsClientCertificateWanted
        }
        _ => Failure::TlsError,
    }
}

/// What somebody wrapped in an error of the system's kind.
fn inner(error: &io::Error) -> Option<&(dyn Error + Send + Sync + 'static)> {
    error.get_ref()
}
