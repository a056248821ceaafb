//! `crash [OPTIONS]`: trainings that are killed at random moments. `crash --help` lists the options.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this program is the report it prints")]

use std::env;
use std::ffi::OsString;
use std::io::stdout;
use std::path::PathBuf;
use std::process::ExitCode;

use tests::crash::{CrashError, Orders, Plan, Report, run, work};

const HELP: &str = "\
crash [OPTIONS]

  --kills N       how many processes are killed, 200 unless given
  --seed N        the seed of the moments and of the training, 42 unless given
  --folder DIR    where the runs are made, and kept if something was wrong; target/crash unless given
  --json          the report as JSON";

fn main() -> ExitCode {
    let args: Vec<OsString> = env::args_os().skip(1).collect();
    if args.first().is_some_and(|arg| arg == "--worker") {
        return worked(&args[1..]);
    }
    if args == ["--help"] {
        println!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let Some((plan, json)) = asked(&args) else {
        eprintln!("{HELP}");
        return ExitCode::from(2);
    };
    match run(&plan, &mut |finding| eprintln!("{finding}")) {
        Ok(report) => {
            print(&report, json);
            if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => failed(&error),
    }
}

fn print(report: &Report, json: bool) {
    if json {
        println!("{:#}", report.json());
    } else {
        println!("{report}");
    }
}

fn failed(error: &CrashError) -> ExitCode {
    eprintln!("crash: {error}");
    ExitCode::FAILURE
}

/// What is asked for on the command line, and whether the answer is to be JSON.
fn asked(args: &[OsString]) -> Option<(Plan, bool)> {
    let mut plan = Plan { kills: 200, seed: 42, folder: PathBuf::from("target").join("crash") };
    let mut json = false;
    let mut args = args.iter();
    while let Some(name) = args.next() {
        match name.to_str()? {
            "--json" => json = true,
            "--kills" => plan.kills = args.next()?.to_str()?.parse().ok()?,
            "--seed" => plan.seed = args.next()?.to_str()?.parse().ok()?,
            "--folder" => plan.folder = PathBuf::from(args.next()?),
            _ => return None,
        }
    }
    Some((plan, json))
}

/// Works as [`run`] orders: a folder, whether to resume, and a seed.
fn worked(args: &[OsString]) -> ExitCode {
    let orders = || {
        let [out, resume, seed] = args else { return None };
        let (resume, seed) = (resume.to_str()?.parse().ok()?, seed.to_str()?.parse().ok()?);
        Some(Orders { out: PathBuf::from(out), resume, seed })
    };
    match orders().map(|orders| work(&orders, &mut stdout())) {
        Some(Ok(())) => ExitCode::SUCCESS,
        Some(Err(error)) => failed(&error),
        None => ExitCode::from(2),
    }
}
