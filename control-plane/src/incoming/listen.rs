//! The socket that connections of gRPC come to.

use std::{io, net::SocketAddr};

use tokio::net::{TcpListener, TcpSocket};

/// How many connections may wait to be accepted, as far as the system allows it (`net.core.somaxconn`): a wave of them must
/// not make an honest one try again after a second.
const ACCEPT_QUEUE_MAX: u32 = 4_096;

/// Listens on an address, and says which that is where any port was asked for.
pub(crate) fn listen(addr: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let socket = match addr {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // So that a start does not wait until the connections of the process before it are forgotten.
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    let listener = socket.listen(ACCEPT_QUEUE_MAX)?;
    let addr = listener.local_addr()?;
    Ok((listener, addr))
}
