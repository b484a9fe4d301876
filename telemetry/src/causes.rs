//! Errors with everything that caused them, for the last line of a program that cannot go on.

use std::{error::Error, iter};

/// The error and its causes, outermost first, in one line. What an error says of its cause is not said again.
pub fn with_causes(error: &(dyn Error + 'static)) -> String {
    let chain = iter::successors(Some(error), |error| (*error).source());
    let mut texts = Vec::<String>::new();
    for text in chain.map(ToString::to_string) {
        if !texts.last().is_some_and(|outer| outer.contains(&text)) {
            texts.push(text);
        }
    }
    texts.join(": ")
}

#[cfg(test)]
mod tests {
    use std::{fmt, io};

    use super::*;

    #[derive(Debug)]
    struct Outer(&'static str, io::Error);

    impl fmt::Display for Outer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Outer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.1)
        }
    }

    #[test]
    fn every_cause_is_named_outermost_first() {
        let error = Outer("cannot start", io::Error::other("no room"));
        assert_eq!(with_causes(&error), "cannot start: no room");
    }

    #[test]
    fn b4_a_cause_that_its_error_names_is_said_once() {
        let error = Outer("cannot start: no room", io::Error::other("no room"));
        assert_eq!(with_causes(&error), "cannot start: no room");
    }
}
