//! What a node needs around it: a control plane made by hand, and an endpoint.

mod client;
mod control_plane;
mod endpoint;
mod forward;
mod node;

use std::time::Duration;

use posthorn::node::v1::{Outcome, Outcomes};

pub(crate) use client::{Answer, Client};
pub(crate) use control_plane::ControlPlane;
pub(crate) use endpoint::Endpoint;
pub(crate) use forward::{Answered, Forwarded, answer};
pub(crate) use node::{Node, connect};

/// Long enough for everything that is meant to happen; a test that waits so long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The only outcome of a message.
pub(crate) fn only(outcomes: Outcomes) -> Outcome {
    let [outcome]: [Outcome; 1] = outcomes.outcomes.try_into().expect("one outcome");
    outcome
}
