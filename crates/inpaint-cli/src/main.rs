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

use std::{process::ExitCode, thread};

use clap::Parser;
use rayon::ThreadPoolBuilder;

use crate::args::{Cli, Command};

fn main() -> ExitCode {
    take_part();
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

/// Makes this thread, which runs whatever was asked for, one of those that work is shared among: it need not wake another
/// one and wait for it for every small part of a step. On a machine of one core it would be the only one, and whoever it
/// waits for could not work.
fn take_part() {
    if thread::available_parallelism().is_ok_and(|cores| cores.get() > 1) {
        // It fails where threads are there already, which do as well.
        let _ = ThreadPoolBuilder::new().use_current_thread().build_global();
    }
}
