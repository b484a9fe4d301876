//! The node from outside: its link to the control plane, and its edge. `support` is what it needs around it.

#![expect(clippy::panic, reason = "what fails here is a test")]

mod edge;
mod link;
mod support;
