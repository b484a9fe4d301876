//! Which program it is that is looked at.

use prometheus_client::{metrics::info::Info, registry::Registry};

/// Shows the version of a program: `posthorn_build_info{program,version} 1`.
pub fn register_build(registry: &mut Registry, program: &'static str, version: &'static str) {
    let build = Info::new([("program", program), ("version", version)]);
    registry.register("posthorn_build", "The program and its version", build);
}
