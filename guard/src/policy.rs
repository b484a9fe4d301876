//! What one deployment permits: the deny list, the operator's allow list, and the installation's own sockets.

use std::{net::SocketAddr, sync::Arc};

use crate::{
    AllowList, Verdict,
    own::{Learned, OwnSockets},
    verdict, verdict_from_dns,
};

/// What a deployment permits. Cheap to ask; made once, after the process's own listeners are bound. Those of other processes
/// are learned later.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    allow: AllowList,
    own: Arc<OwnSockets>,
}

impl Policy {
    /// A policy with the operator's allow list and the installation's own sockets, which are denied whatever that list
    /// says: listeners, the database, the control plane.
    ///
    /// An own socket at an unspecified address, such as `0.0.0.0:9464`, stands for its port at every address of this host.
    pub fn new(allow: AllowList, own: impl IntoIterator<Item = SocketAddr>) -> Self {
        let own = Arc::new(OwnSockets::new(own));
        Self { allow, own }
    }

    /// Denies sockets of another process of the installation as well, until what is returned is dropped.
    pub fn learn(&self, sockets: impl IntoIterator<Item = SocketAddr>) -> Learned {
        self.own.learn(sockets)
    }

    /// This process's own sockets as others may reach them, for other processes of the installation to learn.
    pub fn own_sockets(&self) -> Vec<SocketAddr> {
        self.own.to_tell()
    }

    /// Whether an address that somebody wrote may be connected to.
    pub fn admits(&self, address: SocketAddr) -> bool {
        self.admits_only_listed(address)
            || !self.is_own(address) && verdict(address.ip()) == Verdict::Public
    }

    /// Whether an address that the DNS answered with may be connected to.
    pub fn admits_from_dns(&self, address: SocketAddr) -> bool {
        self.admits_only_listed(address)
            || !self.is_own(address) && verdict_from_dns(address.ip()) == Verdict::Public
    }

    /// Whether the allow list permits the address: what plain http and unusual ports need.
    pub fn admits_only_listed(&self, address: SocketAddr) -> bool {
        self.allow.covers(address) && !self.is_own(address)
    }

    /// Whether the allow list names the host at the port, so that its addresses are admitted unless they are the
    /// installation's own.
    pub fn lists_name(&self, name: &str, port: u16) -> bool {
        self.allow.covers_name(name, port)
    }

    /// Whether an address of a name that the allow list names may be connected to.
    pub fn admits_of_listed_name(&self, address: SocketAddr) -> bool {
        !self.is_own(address)
    }

    /// Whether the allow list names the port at any address: without that, plain http and unusual ports need no lookup
    /// to be refused.
    pub fn lists_port(&self, port: u16) -> bool {
        self.allow.covers_port(port)
    }

    fn is_own(&self, address: SocketAddr) -> bool {
        self.own.hold(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(allow: &str, own: &[&str]) -> Policy {
        let own = own.iter().map(|text| text.parse().expect(text));
        Policy::new(allow.parse().expect(allow), own)
    }

    fn at(text: &str) -> SocketAddr {
        text.parse().expect(text)
    }

    #[test]
    fn without_an_allow_list_only_public_addresses_are_admitted() {
        let policy = policy("", &[]);
        assert!(policy.admits(at("8.8.8.8:443")));
        assert!(policy.admits(at("[2606:4700::1111]:443")));
        assert!(!policy.admits(at("127.0.0.1:443")));
        assert!(!policy.admits_only_listed(at("8.8.8.8:443")));
    }

    #[test]
    fn the_allow_list_admits_a_private_address_at_its_ports() {
        let policy = policy("10.0.0.0/8:8443", &[]);
        assert!(policy.admits(at("10.1.2.3:8443")));
        assert!(policy.admits_from_dns(at("10.1.2.3:8443")));
        assert!(!policy.admits(at("10.1.2.3:8444")));
    }

    #[test]
    fn own_sockets_are_denied_whatever_the_allow_list_says() {
        let policy = policy(
            "127.0.0.0/8,::1,5.6.7.8",
            &["127.0.0.1:50051", "0.0.0.0:9464", "5.6.7.8:443"],
        );
        for own in [
            "127.0.0.1:50051",
            "[::ffff:127.0.0.1]:50051",
            "127.0.0.2:9464",
            "[::1]:9464",
            "0.0.0.0:9464",
            "5.6.7.8:443",
        ] {
            assert!(!policy.admits(at(own)), "{own}");
            assert!(!policy.admits_from_dns(at(own)), "{own}");
        }
        assert!(policy.admits(at("127.0.0.1:8080")));
        assert!(policy.admits(at("5.6.7.8:444")));
    }
    #[test]
    fn g3_sockets_of_other_processes_are_denied_while_they_are_known() {
        let policy = policy("10.0.0.0/8,127.0.0.0/8,64:ff9b::/96,::1", &[]);
        let (grpc, wrapped) = (at("10.0.0.1:50051"), at("[64:ff9b::a00:1]:50051"));
        assert!(policy.admits(grpc) && policy.admits(wrapped));
        let (first, second) = (
            policy.learn([grpc]),
            policy.learn([grpc, at("0.0.0.0:9464")]),
        );
        drop(first);
        for denied in [
            "10.0.0.1:50051",
            "[::ffff:10.0.0.1]:50051",
            "[64:ff9b::a00:1]:50051",
            "127.0.0.9:9464",
            "[::1]:9464",
        ] {
            assert!(!policy.admits(at(denied)), "{denied}");
            assert!(!policy.admits_from_dns(at(denied)), "{denied}");
            assert!(!policy.admits_of_listed_name(at(denied)), "{denied}");
        }
        assert!(policy.admits(at("10.0.0.1:50052")));
        drop(second);
        assert!(policy.admits(grpc));
    }

    #[test]
    fn g3_a_listener_at_every_address_is_told_as_each_of_them() {
        let told = policy("", &["0.0.0.0:9464", "10.0.0.1:443"]).own_sockets();
        for one in [
            "0.0.0.0:9464",
            "127.0.0.1:9464",
            "[::1]:9464",
            "10.0.0.1:443",
        ] {
            assert!(told.contains(&at(one)), "{one}");
        }
    }
}
