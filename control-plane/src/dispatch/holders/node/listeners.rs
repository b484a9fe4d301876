//! Where a node listens: nothing of the control plane's own goes there while its session stands.

use std::net::SocketAddr;

use posthorn_guard::{Verdict, verdict};

use crate::error::Error;

/// How many listeners a node may have.
const LISTENERS_MAX: usize = 256;

/// Reads the listeners of a hello. Public ones are left out: whoever has a node's key could otherwise keep the control plane
/// from a provider.
pub(super) fn parse(listeners: &[String]) -> Result<Vec<SocketAddr>, Error> {
    let refused = |rule: String| Error::invalid("hello.listeners", rule);
    if listeners.len() > LISTENERS_MAX {
        return Err(refused(format!("must be at most {LISTENERS_MAX}")));
    }
    let sockets = listeners.iter().map(|text| text.parse::<SocketAddr>());
    let sockets: Result<Vec<_>, _> = sockets.collect();
    let mut sockets = sockets.map_err(|_| refused("must be addresses with ports".to_owned()))?;
    sockets.retain(|socket| verdict(socket.ip()) == Verdict::Denied);
    Ok(sockets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_listeners_are_believed_and_what_is_none_is_refused() {
        let of = |texts: &[&str]| {
            let texts: Vec<_> = texts.iter().map(|&text| text.to_owned()).collect();
            parse(&texts).map(|sockets| sockets.len()).ok()
        };
        assert_eq!(of(&[]), Some(0));
        assert_eq!(
            of(&["10.0.0.1:80", "0.0.0.0:80", "[::1]:80", "[fd00::1]:1"]),
            Some(4)
        );
        assert_eq!(
            of(&["8.8.8.8:443", "[2606:4700::1111]:443", "10.0.0.1:443"]),
            Some(1)
        );
        assert_eq!(of(&["10.0.0.1"]), None);
        assert_eq!(of(&["localhost:80"]), None);
        assert_eq!(of(&["10.0.0.1:80"; 256]), Some(256));
        assert_eq!(of(&["10.0.0.1:80"; 257]), None);
    }
}
