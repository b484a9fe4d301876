//! Names failures: which of the contract's error kinds an error of hyper, h2, rustls or the system is.
//!
//! Only the kind leaves the node; texts of errors may name addresses and are for the node's own log.

use std::{error::Error, io};

use posthorn::node::v1::ErrorKind;
use posthorn_guard::flood::Flooded;
use tracing::warn;

/// An endpoint sent more informational responses than are taken.
#[derive(Debug, thiserror::Error)]
#[error("too many informational responses")]
pub(crate) struct TooManyInformational;

/// The kind of an error that hyper reports for a request.
pub(crate) fn of_request(error: &hyper::Error) -> ErrorKind {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(kind) = of_cause(error) {
            return kind;
        }
        cause = error.source();
    }
    if error.is_parse_too_large() {
        ErrorKind::ResponseTooLarge
    } else if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        ErrorKind::ConnectionClosed
    } else if error.is_timeout() {
        ErrorKind::Timeout
    } else {
        ErrorKind::ProtocolError
    }
}

/// The kind of an error while connecting.
pub(crate) fn of_connect(error: &io::Error) -> ErrorKind {
    match error.kind() {
        io::ErrorKind::TimedOut => ErrorKind::Timeout,
        io::ErrorKind::ConnectionReset => ErrorKind::ConnectionReset,
        io::ErrorKind::ConnectionRefused
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable => ErrorKind::ConnectionRefused,
        // Such as no file descriptor left: nearer to no route than to anything else, and the operator's to mend.
        _ => {
            warn!(%error, "this host cannot open a connection");
            ErrorKind::ConnectionRefused
        }
    }
}

/// The kind of an error in a TLS handshake. A peer that hangs up in it has refused TLS.
pub(crate) fn of_handshake(error: &io::Error) -> ErrorKind {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => ErrorKind::ConnectionReset,
        _ => ErrorKind::TlsError,
    }
}

fn of_cause(error: &(dyn Error + 'static)) -> Option<ErrorKind> {
    if let Some(error) = error.downcast_ref::<io::Error>() {
        return of_io(error);
    }
    let error = error.downcast_ref::<h2::Error>()?;
    match error.get_io() {
        Some(error) => of_io(error),
        None => Some(ErrorKind::ProtocolError),
    }
}

fn of_io(error: &io::Error) -> Option<ErrorKind> {
    if let Some(inner) = error.get_ref() {
        if inner.is::<rustls::Error>() {
            return Some(ErrorKind::TlsError);
        }
        if inner.is::<TooManyInformational>() || inner.is::<Flooded>() {
            return Some(ErrorKind::ProtocolError);
        }
    }
    match error.kind() {
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::NotConnected => Some(ErrorKind::ConnectionReset),
        io::ErrorKind::UnexpectedEof => Some(ErrorKind::ConnectionClosed),
        io::ErrorKind::TimedOut => Some(ErrorKind::Timeout),
        _ => None,
    }
}
