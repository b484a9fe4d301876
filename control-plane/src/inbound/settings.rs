//! How nodes treat sources: the limits that differ from those of every path.

use std::time::Duration;

use posthorn::node::v1;

use crate::{
    model::source::{BODY_BYTES_DEFAULT, LiveSource},
    registry::Registry,
};

/// How long an edge waits for an answer at most, in milliseconds, whatever a source asks for.
const ANSWER_WITHIN_MAX_MS: u32 = 11_000;
/// What an edge waits beyond the deadline of a computed answer, in milliseconds.
const ANSWER_SLACK_MS: u32 = 1_000;
/// How long an edge waits unless a source asks for something else, in milliseconds.
const ANSWER_WITHIN_DEFAULT_MS: u32 = 5_000;

/// What a node is told of the registry's sources, and of how long a body may take to come.
pub(super) fn edge_settings(registry: &Registry, body_timeout: Duration) -> v1::EdgeSettings {
    v1::EdgeSettings {
        body_within_ms: u32::try_from(body_timeout.as_millis()).unwrap_or(u32::MAX),
        sources: registry
            .sources()
            .filter_map(|live| edge_source(live))
            .collect(),
    }
}

/// What differs for one source. None: nothing.
fn edge_source(live: &LiveSource) -> Option<v1::EdgeSource> {
    let settings = &live.source.settings;
    let body_bytes_max = settings.body_bytes_max;
    let body_bytes_max = if body_bytes_max == BODY_BYTES_DEFAULT {
        0
    } else {
        body_bytes_max
    };
    let synchronous = settings.synchronous.as_ref();
    let answer_within_ms = synchronous.map_or(0, |synchronous| {
        let wanted = synchronous.deadline_ms.saturating_add(ANSWER_SLACK_MS);
        wanted.clamp(ANSWER_WITHIN_DEFAULT_MS, ANSWER_WITHIN_MAX_MS)
    });
    (body_bytes_max > 0 || answer_within_ms > 0).then(|| v1::EdgeSource {
        source_id: live.source.id.to_string(),
        body_bytes_max,
        answer_within_ms,
    })
}
