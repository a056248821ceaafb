//! Chores of this workspace: set-up, train, test, tidy, golden, bench, crash, fuzz, interop. `cargo xtask` alone lists them.
//!
//! This crate depends on nothing of this workspace, so that it builds in seconds, and where FFmpeg is missing it can
//! install it.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a chore talks to whoever started it")]

mod bench;
mod command;
mod crash;
mod files;
mod fuzz;
mod gpu;
mod interop;
mod layers;
mod probe;
mod python;
mod setup;
mod shots;
mod steps;
mod tidy;
mod tree;

use std::env;
use std::ffi::OsString;
use std::process::ExitCode;

use command::{Failure, cargo_run, replace};

const HELP: &str = "\
cargo xtask CHORE

  setup                  install what the build needs: FFmpeg's development packages, libclang, pkg-config
  train [ARGS]           set-up, then `inpaint train ARGS`; without ARGS the demo on the tiny model, into out/
  test                   set-up, then everything that CI runs
  tidy                   check the layers of the crates and the files of the tree
  golden [DIR] [--json]  compare with golden numbers; DIR is tests/golden of the workspace unless given
  bench step             our training step and PyTorch's, by turns: time, peak memory, numbers
  gpu [OPTIONS]          what measures a GPU, in one folder that can travel; `gpu --help` lists options
  check-cuda             type-check the feature `cuda`, on a machine that needs no CUDA
  crash [--kills N]      trainings killed at random moments must end with the bytes of an undisturbed one
  fuzz [--minutes N]     spoilt archives, images, videos and requests against a judge; `fuzz --help` lists more options
  interop                a LoRA of ours, read by peft and diffusers, must predict what we predict; needs python3
  shots REPORT [DIR]     pictures of a report at two widths, light and dark, by a Chromium that is installed; plays its reel
  help                   this list";

fn main() -> ExitCode {
    let args: Vec<OsString> = env::args_os().skip(1).collect();
    match chore(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("xtask: {failure}");
            ExitCode::from(failure.code())
        }
    }
}

fn chore(args: &[OsString]) -> Result<(), Failure> {
    let Some((name, rest)) = args.split_first() else {
        println!("{HELP}");
        return Ok(());
    };
    match name.to_string_lossy().as_ref() {
        "help" | "--help" | "-h" => println!("{HELP}"),
        "setup" => setup::setup()?,
        "train" => train(rest)?,
        "test" => steps::test()?,
        "tidy" => tidy::tidy()?,
        "golden" => golden(rest)?,
        "bench" => bench(rest)?,
        "gpu" => gpu::gpu(rest)?,
        "check-cuda" => gpu::check_cuda()?,
        "crash" => crash::crash(rest)?,
        "fuzz" => fuzz::fuzz(rest)?,
        "interop" => interop::interop()?,
        "shots" => shots::shots(rest)?,
        other => return Err(Failure::usage(format!("there is no chore `{other}`\n\n{HELP}"))),
    }
    Ok(())
}

fn train(args: &[OsString]) -> Result<(), Failure> {
    setup::setup()?;
    let mut command = cargo_run("inpaint-cli", "inpaint");
    command.arg("train").args(args);
    replace(command)
}

fn bench(args: &[OsString]) -> Result<(), Failure> {
    match args {
        [subject] if subject == "step" => bench::step(),
        _ => Err(Failure::usage(format!("a bench is `step`\n\n{HELP}"))),
    }
}

fn golden(args: &[OsString]) -> Result<(), Failure> {
    setup::setup()?;
    command::run(steps::build("golden"))?;
    let mut command = steps::built("golden")?;
    if args.iter().all(|arg| arg.to_string_lossy().starts_with('-')) {
        command.arg(steps::default_golden());
    }
    command.args(args);
    replace(command)
}
