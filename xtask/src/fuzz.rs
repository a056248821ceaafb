//! `cargo xtask fuzz`: mutation runs, which the program `fuzz` of the package `tests` does.

use std::ffi::{OsStr, OsString};

use crate::command::{Failure, replace, run};
use crate::{setup, steps};

/// Builds the program and becomes it. Inputs of findings are kept in the target folder unless told otherwise.
pub(crate) fn fuzz(args: &[OsString]) -> Result<(), Failure> {
    setup::setup()?;
    run(steps::build("fuzz"))?;
    let mut command = steps::built("fuzz")?;
    if !args.iter().any(|arg| arg == OsStr::new("--keep")) {
        command.arg("--keep").arg(steps::target()?.join("fuzz"));
    }
    command.args(args);
    replace(command)
}
