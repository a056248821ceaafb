//! The command `inpaint`: trains video-inpainting LoRAs for LTX-2.3, and checks datasets.
//!
//! Exit codes: 0 done; 2 the request or its data is at fault; 1 the machine, the checkpoint or this program; 130
//! interrupted. With `--json`, stdout is one JSON object and nothing else.

mod args;
mod assets;
mod check;
mod progress;
mod say;
mod train;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Command};

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Train(args) => train::train(&args),
        Command::Check(args) => check::check(&args),
    }
}
