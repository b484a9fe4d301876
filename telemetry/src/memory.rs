//! What is in a process's memory stays there: keys, secrets and payloads are in it.

use std::io;

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// Lets no core dump of this process be made, by its end or by another process of its user. What the system refuses of that is
/// logged, and no reason not to start.
pub fn keep_memory_in() {
    if let Err(error) = forbid_dumps() {
        tracing::warn!(%error, "the system could still write this process's memory to a file when it crashes");
    }
}

fn forbid_dumps() -> io::Result<()> {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, none)?;
    // A handler of dumps that the kernel pipes them to is not bound by the limit.
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

#[cfg(test)]
mod tests {
    use rustix::process::{dumpable_behavior, getrlimit};

    use super::*;

    #[test]
    fn s14_no_dump_of_the_process_can_be_made() {
        keep_memory_in();
        assert_eq!(getrlimit(Resource::Core).current, Some(0));
        let behavior = dumpable_behavior().expect("the system says");
        assert_eq!(behavior, DumpableBehavior::NotDumpable);
    }
}
