//! Which targets Posthorn may connect to, at which addresses, and what a connection may bring.
//!
//! A tenant chooses the URLs that Posthorn posts to, so each of them is an attempt to reach something inside the
//! operator's network until it is shown to be none. The guard judges in two steps: [`Target::parse`] judges what is
//! written, [`Resolver::resolve`] judges every address that a name leads to and returns the socket addresses that may
//! be dialled. The control plane does both when an endpoint is registered, a node does both before each connection.
//!
//! [`flood`] bounds what an HTTP/2 peer sends without asking anything, on every connection of both planes, and [`open_files`] makes
//! room for those connections.
//!
//! Everything but [`Resolver`], the policy's own sockets, [`flood`] and [`open_files`] is pure. The guard opens no connection itself, and it cannot recognise NAT64 prefixes of
//! a site's own: an operator who runs one has to keep such a node from reaching private networks by other means.

mod address;
mod allow;
pub mod flood;
mod name;
pub mod open_files;
mod order;
mod own;
mod policy;
mod port;
mod resolve;
pub mod tapped;
mod target;
mod target_error;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod this_host;

pub use address::{Verdict, verdict, verdict_from_dns};
pub use allow::{AllowList, AllowListError};
pub use own::Learned;
pub use policy::Policy;
pub use resolve::{ResolveError, Resolver, ResolverError};
pub use target::{Scheme, Target};
pub use target_error::TargetError;

/// What somebody outside the installation is told of a refusal: never more, and never an address.
pub const TARGET_NOT_ALLOWED: &str = "target_not_allowed";
