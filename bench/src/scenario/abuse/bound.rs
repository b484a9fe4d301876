//! What one key can make a control plane with default settings take at most, in MiB: the formula of `docs/limits.md`.

/// Messages of a key, twice `--grpc-bytes-per-key`: while they come, and while they are worked on.
const MESSAGES: f64 = 2.0 * 64.0;
/// What each stream sends ahead.
const WINDOW: f64 = 0.5;
/// `--grpc-emit-streams-per-key`
const EMIT_STREAMS: f64 = 32.0;
/// Payloads that wait for delivery.
const PAYLOADS: f64 = 64.0;
/// What the database's driver keeps once it has work to do.
const CACHES: f64 = 32.0;
/// `--grpc-node-streams-per-key`
const NODE_STREAMS: f64 = 128.0;
/// `--forward-bytes-per-key`
const FORWARDED: f64 = 128.0;

/// A key that emits, or makes changes.
pub(super) const CALLER: f64 = MESSAGES + EMIT_STREAMS * WINDOW + PAYLOADS + CACHES;
/// A node's key.
pub(super) const NODE: f64 = MESSAGES + NODE_STREAMS * WINDOW + FORWARDED + CACHES;
