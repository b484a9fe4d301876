//! Room for sockets: a node at full capacity holds more of them than the usual soft limit of 1,024 open files.
//!
//! Only the soft limit is raised, and only as far as the hard one goes, which the operator sets.

use tracing::warn;

/// Files besides the connections to endpoints: logs, listeners, the link, lookups.
const OTHERS: u64 = 256;

/// Raises the soft limit so that every lease may have a connection while as many are idle, and the edge its own. Says so when it cannot.
pub(crate) fn make_room(capacity: u32, edge_connections: usize) {
    let wanted = u64::from(capacity) * 2 + edge_connections as u64 + OTHERS;
    match rlimit::increase_nofile_limit(wanted) {
        Ok(limit) if limit >= wanted => {}
        Ok(limit) => warn!(
            limit,
            wanted, "the limit of open files may be too low for the capacity"
        ),
        Err(error) => warn!(%error, wanted, "the limit of open files cannot be raised"),
    }
}
