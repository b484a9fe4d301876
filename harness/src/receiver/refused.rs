//! An address where nobody listens.

use std::net::SocketAddr;

use tokio::net::TcpSocket;

/// A port of 127.0.0.1 that refuses connections, kept from anyone else as long as this lives.
#[derive(Debug)]
pub struct Refused {
    socket: TcpSocket,
}

impl Refused {
    /// Takes a free port.
    pub fn new() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket can be made");
        // Bound and never listening: the system answers with a reset.
        socket
            .bind(SocketAddr::from(([127, 0, 0, 1], 0)))
            .expect("loopback has a free port");
        Self { socket }
    }

    /// A URL there.
    pub fn url(&self) -> String {
        let addr = self
            .socket
            .local_addr()
            .expect("a bound socket has an address");
        format!("http://{addr}/")
    }
}

impl Default for Refused {
    fn default() -> Self {
        Self::new()
    }
}
