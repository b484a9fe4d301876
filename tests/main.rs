//! What Posthorn promises, checked against its real programs through its contract. This file is the table of contents.
//!
//! Each test starts what it needs: a control plane, a node, a receiver and a database of its own. Nothing sleeps and no
//! time is asserted. What runs on both databases has a name with `sqlite::` or `postgres::` in it.
//!
//! `scripts/test` builds the programs and puts in place what else is needed.

#![expect(
    clippy::panic,
    reason = "a test ends where its surroundings do not answer as they must"
)]
#![expect(
    clippy::too_many_lines,
    reason = "a story is told in one piece, and a table too"
)]

#[macro_use]
mod support;

/// Who may call what: every RPC with every kind of caller.
mod access;
/// Who is connected, and what waits.
mod admin;
/// Who did what, and what was denied to whom.
mod audit;
/// More waits for an endpoint than memory holds.
mod backlog;
/// Where in the source things may happen: sockets, SQL, clocks.
mod boundaries;
/// Services that take events over a stream of their own.
mod consume;
/// Processes and databases killed under load, full disks, cut networks: nothing acknowledged is lost.
mod crash;
/// What operators do to deliveries, and how they find them.
mod deliveries;
/// Orderly ends under load: what was acknowledged is there, what was held is given back.
mod drain;
/// Databases that would lose what they acknowledged, and those that somebody else uses.
mod durability;
/// Emitting: limits, idempotency, streams, and that bytes go out as they came in.
mod emit;
/// What gRPC takes on and what it refuses: connections, bytes, calls.
mod frame;
/// gRPC itself: broken messages, odd headers, limits of the transport.
mod grpc;
/// What providers post, from the edge to the ledger.
mod inbound;
/// The page of limits, held against the programs and the source.
mod limits;
/// Master keys that change, and that are missing.
mod master_key;
/// The protocol between nodes and the control plane, spoken by hand.
mod node;
/// What an operator does with grpcurl.
mod operators;
/// The commands of the pages, as a reader pastes them.
mod pages;
/// Sources that are pulled: beside a webhook, or instead of one.
mod poll;
/// Tenants, event types, endpoints and keys.
mod registry;
/// Orderly restarts keep everything.
mod restart;
/// What is old enough goes, unless it is still needed.
mod retention;
/// Failed attempts: when they are tried again, and when they are given up.
mod retries;
/// Secrets stay inside.
mod secrets;
/// The page of settings, held against what the programs print.
mod settings;
/// Signatures, checked by other people's code.
mod signing;
/// The single program with both planes.
mod standalone;
/// Programs that cannot start say why.
mod start;
/// What time ends and begins.
mod time;
/// TLS on every link.
mod tls;
/// The page of what fails and what to do, held against the contract.
mod troubleshooting;
