//! The command `inpaint`: trains video-inpainting LoRAs for LTX-2.3, checks datasets, looks into LoRA files, and shows what
//! they do.
//!
//! Exit codes: 0 done; 2 the request or its data is at fault; 1 the machine, the checkpoint or this program; 130
//! interrupted. With `--json`, stdout is one JSON object and nothing else.

mod args;
mod assets;
mod check;
mod freed;
mod inspect;
mod preview;
mod progress;
mod say;
mod train;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Command};

fn main() -> ExitCode {
    match Cli::try_parse().map(|cli| cli.command) {
        Ok(Command::Train(args)) => train::train(&args),
        Ok(Command::Check(args)) => check::check(&args),
        Ok(Command::Inspect(args)) => inspect::inspect(&args),
        Ok(Command::Preview(args)) => preview::preview(&args),
        // A program that asked for JSON gets it for a wrong command line too; help and version are no errors.
        Err(error) if error.use_stderr() && std::env::args_os().any(|arg| arg == "--json") => {
            say::usage(&error.to_string(), true)
        }
        Err(error) => error.exit(),
    }
}
