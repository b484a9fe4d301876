//! The data: events, deliveries, attempts, and what providers posted. Every key starts with the shard.

pub(super) mod action;
pub(super) mod attempt;
pub(super) mod backlog;
pub(super) mod dead_letter;
pub(super) mod delivery;
pub(super) mod emit;
pub(super) mod event;
pub(super) mod inbound;
pub(super) mod inbound_action;
pub(super) mod outcome;
pub(super) mod poll;
mod trace;
