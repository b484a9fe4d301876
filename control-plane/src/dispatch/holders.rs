//! Who makes attempts: nodes, and the streams of consumers. A holder takes leases as far as its credit goes, says what became
//! of each, and hears what is durable.
//!
//! [`Holder`] is what both have in common: one stream, from its welcome to its end. `held` is what a stream holds, `table`
//! which streams stand, `lost` what becomes of leases whose holder is gone. A [`Protocol`] is what tells nodes (`node`) and
//! consumers (`consumer`) apart: the messages, and until when a lease may be held.

pub(crate) mod consumer;
mod held;
mod holder;
mod lost;
mod node;
pub(crate) mod stream;
mod table;

use self::holder::{Holder, Outgoing, StreamEnd};
pub(super) use self::{
    holder::Protocol,
    lost::run_sweeps,
    node::{HOLD_MAX, Told},
    table::{Holders, Opened},
};
pub(crate) use self::{
    node::{SessionParts, converse},
    table::{About, Connected},
};
