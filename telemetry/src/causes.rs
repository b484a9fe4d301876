//! Errors with everything that caused them, for the last line of a program that cannot go on.

use std::{error::Error, iter};

/// The error and its causes, outermost first, in one line.
pub fn with_causes(error: &(dyn Error + 'static)) -> String {
    let chain = iter::successors(Some(error), |error| (*error).source());
    let texts = chain.map(ToString::to_string).collect::<Vec<_>>();
    texts.join(": ")
}

#[cfg(test)]
mod tests {
    use std::{fmt, io};

    use super::*;

    #[derive(Debug)]
    struct Outer(io::Error);

    impl fmt::Display for Outer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("cannot start")
        }
    }

    impl Error for Outer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }

    #[test]
    fn every_cause_is_named_outermost_first() {
        let error = Outer(io::Error::other("no room"));
        assert_eq!(with_causes(&error), "cannot start: no room");
    }
}
