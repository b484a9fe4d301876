//! The control plane: registry, secrets, schedule, signatures, and every durable write.
//!
//! [`ControlPlane::bind`] opens the database, brings its schema up to date, takes ownership and binds the listeners, so
//! that the caller knows the addresses; [`ControlPlane::serve`] runs until it is cancelled, then drains. The crate's
//! layers are in ARCHITECTURE.md; the short of it: `rpc` is thin and knows no SQL, `store` knows nothing else, `dispatch`
//! moves events to nodes, `model`, `retry` and `sign` are pure.

mod audit;
pub mod bootstrap;
mod budget;
mod cdn_loop;
mod clock;
pub mod config;
mod core;
mod dispatch;
mod entropy;
mod error;
mod fetch;
mod inbound;
mod incoming;
mod lock;
mod loops;
mod metrics;
mod model;
mod outage;
mod plane;
mod registry;
mod retry;
mod rpc;
mod server;
mod sign;
mod store;
mod vault;

pub use self::core::Given;
pub use clock::Clock;
pub use config::{Config, PublicUrl, PublicUrlError};
pub use entropy::Entropy;
pub use plane::{ControlPlane, StartError};
