//! How much of each kind one tenant can have. The comments are the texts of `--help`.

use clap::Args;

/// How much each tenant can have of what is kept in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
pub struct TenantLimits {
    /// How many event types a tenant can declare
    #[arg(
        long = "tenant-event-types-max",
        value_name = "COUNT",
        default_value = "10000"
    )]
    pub event_types_max: u32,

    /// How many endpoints a tenant can have, handlers of its consumers among them
    #[arg(
        long = "tenant-endpoints-max",
        value_name = "COUNT",
        default_value = "10000"
    )]
    pub endpoints_max: u32,

    /// How many sources a tenant can have
    #[arg(
        long = "tenant-sources-max",
        value_name = "COUNT",
        default_value = "1000"
    )]
    pub sources_max: u32,

    /// How many API keys a tenant can have, and how many the whole installation. Those that have ended make room
    #[arg(
        long = "tenant-api-keys-max",
        value_name = "COUNT",
        default_value = "1000"
    )]
    pub api_keys_max: u32,
}

impl Default for TenantLimits {
    fn default() -> Self {
        posthorn_telemetry::defaults()
    }
}
