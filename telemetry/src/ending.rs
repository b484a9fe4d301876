//! How a program ends.

use std::{error::Error, process::ExitCode};

use crate::with_causes;

/// The code that a program exits with. Why it failed is logged, and printed on stderr too: whatever is logged, whoever
/// started it learns what to mend.
pub fn ended(program: &str, result: Result<(), Box<dyn Error>>) -> ExitCode {
    let Err(error) = result else {
        return ExitCode::SUCCESS;
    };
    let causes = with_causes(error.as_ref());
    tracing::error!(error = causes, "{program} ended");
    eprintln!("{program}: {causes}");
    ExitCode::FAILURE
}
