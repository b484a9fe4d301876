//! What a provider's pages say of its requests' size, and of its patience.

use serde::Deserialize;

/// How long the bodies of a provider are, and how long it waits for an answer.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsRule {
    /// The longest body that it sends, in bytes. None: nobody says.
    pub body_max: Option<u32>,
    /// How long it waits for an answer, in milliseconds. None: nobody says.
    pub answer_within_ms: Option<u32>,
    /// The page that this rests on; `unconfirmed` when it is common knowledge alone.
    pub page: String,
}
