//! What the settings of every program share: a variable for each flag, and what holds without flags.

use clap::{Arg, Args, Command};

/// Lets a flag `--some-flag` be given as `POSTHORN_SOME_FLAG` too, unless it names a variable itself. For
/// `#[command(mut_args = with_variable)]`, once in each program.
pub fn with_variable(arg: Arg) -> Arg {
    let Some(flag) = arg.get_long().filter(|_| arg.get_env().is_none()) else {
        return arg;
    };
    let variable = format!("POSTHORN_{}", flag.to_ascii_uppercase().replace('-', "_"));
    arg.env(variable)
}

/// What holds when no flag is given, whatever the environment says.
///
/// # Panics
/// When a flag has to be given: such settings have no defaults.
pub fn defaults<T: Args>() -> T {
    let command = T::augment_args(Command::new("defaults")).mut_args(|arg| arg.env(None));
    let matches = command.try_get_matches_from(["defaults"]);
    let settings = matches.and_then(|matches| T::from_arg_matches(&matches));
    settings.expect("every flag has a default or may be left out")
}
