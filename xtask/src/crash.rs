//! `cargo xtask crash`: trainings that are killed, which the program `crash` of the package `tests` does.

use std::ffi::{OsStr, OsString};

use crate::command::{Failure, replace, run};
use crate::{setup, steps};

/// Builds the program and becomes it. Runs are made in the target folder unless told otherwise.
pub(crate) fn crash(args: &[OsString]) -> Result<(), Failure> {
    setup::setup()?;
    run(steps::build("crash"))?;
    let mut command = steps::built("crash")?;
    if !args.iter().any(|arg| arg == OsStr::new("--folder")) {
        command.arg("--folder").arg(steps::target()?.join("crash"));
    }
    command.args(args);
    replace(command)
}
