//! What every Posthorn process shows its operators: logs on stderr, metrics and health over HTTP, an orderly end.
//!
//! Both planes depend on this crate and on nothing of each other. It promises no delivery of logs or metrics: they
//! describe the process and are no part of any guarantee.

mod build;
mod causes;
mod ending;
mod followed;
mod logging;
mod memory;
mod operations;
mod readiness;
mod settings;
mod shutdown;

pub use build::register_build;
pub use causes::with_causes;
pub use ending::ended;
pub use followed::Followed;
pub use logging::{LogArgs, LogError, LogFormat, init_logging};
pub use memory::keep_memory_in;
pub use operations::Operations;
pub use prometheus_client;
pub use prometheus_client::registry::Registry;
pub use readiness::Readiness;
pub use settings::{defaults, with_variable};
pub use shutdown::shutdown_on_signal;
