//! Room for sockets: a plane at full capacity holds more of them than the usual soft limit of 1,024 open files.
//!
//! Only the soft limit is raised, and only as far as the hard one goes, which the operator sets. Planes in one process
//! share the limit, so what each wants is added up.

use std::{
    io,
    sync::atomic::{AtomicU64, Ordering},
};

/// What the planes of this process want together.
static WANTED: AtomicU64 = AtomicU64::new(0);

/// What became of the limit.
#[derive(Debug)]
pub enum Room {
    /// There is enough for everybody.
    Enough,
    /// The limit is this, and that was wanted.
    Short {
        /// The soft limit now.
        limit: u64,
        /// What the planes of this process want together.
        wanted: u64,
    },
    /// The limit cannot be raised.
    Unknown(io::Error),
}

/// Raises the soft limit by what is wanted besides what was wanted before.
pub fn make_room(more: u64) -> Room {
    let wanted = WANTED.fetch_add(more, Ordering::Relaxed) + more;
    match rlimit::increase_nofile_limit(wanted) {
        Ok(limit) if limit >= wanted => Room::Enough,
        Ok(limit) => Room::Short { limit, wanted },
        Err(error) => Room::Unknown(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_planes_want_is_added_up_and_what_is_too_much_is_said() {
        assert!(matches!(make_room(16), Room::Enough | Room::Short { .. }));
        let Room::Short { limit, wanted } = make_room(1 << 40) else {
            return;
        };
        assert!(
            limit < wanted && wanted >= (1 << 40) + 16,
            "{limit} {wanted}"
        );
    }
}
