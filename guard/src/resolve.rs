//! From a target to the addresses that may be dialled.
//!
//! A name is looked up as an absolute name with the system's name servers. Every address of the answer must be admitted:
//! one bad address refuses the name, also one that would not be dialled. What is returned is for one connection; an answer is kept for its time to live but
//! at most 30 s, so an operator's change of the DNS is seen within that time.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig, ResolverOpts},
    net::{DnsError, NetError, runtime::TokioRuntimeProvider},
    proto::{op::ResponseCode, rr::Name},
};

use crate::{Policy, Target, name, order};

/// How long a lookup may take in all.
const LOOKUP_MAX: Duration = Duration::from_secs(2);
/// How long an answer is kept at most.
const ANSWER_KEPT_MAX: Duration = Duration::from_secs(30);
/// How long it is remembered at most that a name does not exist.
const ABSENCE_KEPT_MAX: Duration = Duration::from_secs(5);
/// How many answers are kept.
const ANSWERS_KEPT_MAX: u64 = 4_096;

/// Looks names up and judges what they lead to.
#[derive(Clone)]
pub struct Resolver {
    policy: Arc<Policy>,
    lookup: TokioResolver,
}

/// Why a target has no address to dial.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// An address behind the target is denied. The text is fixed and names no address.
    #[error("{}", crate::TARGET_NOT_ALLOWED)]
    NotAllowed,
    /// A name server said that there is no such name, or that it has no address.
    #[error("there is no such name")]
    NoSuchName,
    /// No name server gave an answer that can be used within 2 s, so nobody knows. Never a pass.
    #[error("no name server answered")]
    NoAnswer(#[source] Option<NetError>),
}

/// Why no resolver could be made.
#[derive(Debug, thiserror::Error)]
#[error("the resolver's configuration cannot be used")]
pub struct ResolverError(#[source] NetError);

impl Resolver {
    /// A resolver with the system's configuration. Where the system has none, every lookup of a name fails; addresses
    /// that are written need no lookup.
    ///
    /// # Errors
    ///
    /// Fails when the configuration cannot be used.
    pub fn from_system(policy: Arc<Policy>) -> Result<Self, ResolverError> {
        match TokioResolver::builder_tokio() {
            Ok(mut builder) => {
                limit(builder.options_mut());
                let lookup = builder.build().map_err(ResolverError)?;
                Ok(Self { policy, lookup })
            }
            Err(_) => Self::with_config(policy, ResolverConfig::default()),
        }
    }

    /// A resolver that asks one name server, over UDP.
    ///
    /// # Errors
    ///
    /// Fails when the configuration cannot be used.
    pub fn with_name_server(
        policy: Arc<Policy>,
        server: SocketAddr,
    ) -> Result<Self, ResolverError> {
        let mut connection = ConnectionConfig::udp();
        connection.port = server.port();
        let server = NameServerConfig::new(server.ip(), true, vec![connection]);
        Self::with_config(policy, ResolverConfig::from_name_servers(vec![server]))
    }

    /// The policy that it judges by.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The addresses to dial for the target, one after the other: at least one, at most four, every one admitted.
    pub async fn resolve(&self, target: &Target) -> Result<Vec<SocketAddr>, ResolveError> {
        let addresses = match (target.literal(), target.name()) {
            (Some(address), _) => vec![address],
            (None, Some(name)) if name::is_localhost(name) => self.this_host(target),
            (None, _) => self.look_up(target).await?,
        };
        let admits = |address: &SocketAddr| self.admits(target, *address);
        if !addresses.is_empty() && addresses.iter().all(admits) {
            Ok(order::dialled(&addresses))
        } else {
            Err(ResolveError::NotAllowed)
        }
    }

    /// Where a host of the operator's settings is, as the system reads its name; nothing is judged. Empty: nobody says.
    pub async fn whereabouts(&self, host: &str, port: u16) -> Vec<SocketAddr> {
        let looked_up = tokio::time::timeout(LOOKUP_MAX, self.lookup.lookup_ip(host)).await;
        let Ok(Ok(answer)) = looked_up else {
            return Vec::new();
        };
        answer.iter().map(|ip| SocketAddr::new(ip, port)).collect()
    }

    /// Whether the target may be reached at the address: asked again with the peer of a connection that was made.
    pub fn admits(&self, target: &Target, address: SocketAddr) -> bool {
        let is_listed_name = |name| self.policy.lists_name(name, target.port());
        if target.name().is_some_and(is_listed_name) {
            self.policy.admits_of_listed_name(address)
        } else if target.needs_listing() {
            self.policy.admits_only_listed(address)
        } else if target.literal().is_some() {
            self.policy.admits(address)
        } else {
            self.policy.admits_from_dns(address)
        }
    }

    /// What `localhost` leads to, without asking anybody. It is both families' loopback; an operator who allows one of them
    /// means that one.
    fn this_host(&self, target: &Target) -> Vec<SocketAddr> {
        let loopback = [
            IpAddr::V6(Ipv6Addr::LOCALHOST),
            IpAddr::V4(Ipv4Addr::LOCALHOST),
        ];
        let addresses = loopback.map(|ip| SocketAddr::new(ip, target.port()));
        let admitted = addresses.into_iter();
        admitted.filter(|one| self.admits(target, *one)).collect()
    }

    async fn look_up(&self, target: &Target) -> Result<Vec<SocketAddr>, ResolveError> {
        // In ASCII as the parser left it: hickory's own reading of international names refuses underscores.
        let name = format!("{}.", target.name().unwrap_or_default());
        let name = Name::from_ascii(name).map_err(|_| ResolveError::NoSuchName)?;
        let answer = tokio::time::timeout(LOOKUP_MAX, self.lookup.lookup_ip(name))
            .await
            .map_err(|_| ResolveError::NoAnswer(None))?
            .map_err(named)?;
        let addresses = answer
            .iter()
            .map(|ip: IpAddr| SocketAddr::new(ip, target.port()));
        let addresses: Vec<_> = addresses.collect();
        if addresses.is_empty() {
            return Err(ResolveError::NoSuchName);
        }
        Ok(addresses)
    }

    fn with_config(policy: Arc<Policy>, config: ResolverConfig) -> Result<Self, ResolverError> {
        let mut builder =
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        limit(builder.options_mut());
        let lookup = builder.build().map_err(ResolverError)?;
        Ok(Self { policy, lookup })
    }
}

fn named(error: NetError) -> ResolveError {
    match &error {
        NetError::Dns(DnsError::NoRecordsFound(none))
            if matches!(
                none.response_code,
                ResponseCode::NXDomain | ResponseCode::NoError
            ) =>
        {
            ResolveError::NoSuchName
        }
        _ => ResolveError::NoAnswer(Some(error)),
    }
}

/// The limits that hold whatever the system's configuration says.
fn limit(options: &mut ResolverOpts) {
    options.timeout = LOOKUP_MAX / 2;
    options.attempts = 2;
    options.cache_size = ANSWERS_KEPT_MAX;
    options.positive_max_ttl = Some(ANSWER_KEPT_MAX);
    options.negative_max_ttl = Some(ABSENCE_KEPT_MAX);
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
}

#[cfg(test)]
mod tests;
