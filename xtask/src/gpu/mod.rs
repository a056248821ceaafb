//! `cargo xtask gpu`: what measures a GPU, in one folder that can travel, and tables of what came back.

mod floor;
mod results;
mod stages;
mod table;
mod travel;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::command::{Failure, cargo, root, run};
use crate::{bench, python, steps};
use travel::Luggage;

const HELP: &str = "\
cargo xtask gpu [OPTIONS]

Without options: builds our side for CUDA, which needs no CUDA here, and puts it with PyTorch's side into target/gpu.
Carry that folder to a machine with a GPU and PyTorch, and there: bash stages.sh all

  --dry-run         the same for the CPU, and every stage at tiny size, here
  --python PYTHON   a Python that has PyTorch; for --dry-run one is made unless it is given
  --binary FILE     our side, if it is built already
  --results FOLDER  what the stages wrote: into benches/results, and as a table";

/// What was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    dry_run: bool,
    python: Option<PathBuf>,
    binary: Option<PathBuf>,
    results: Option<PathBuf>,
}

impl Options {
    /// None if it is help that is asked for.
    fn parse(args: &[OsString]) -> Result<Option<Self>, Failure> {
        let mut options = Self::default();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let name = arg.to_string_lossy();
            let mut path = || {
                let value = args.next().map(PathBuf::from);
                value.map(Some).ok_or_else(|| Failure::usage(format!("{name} wants a path\n\n{HELP}")))
            };
            match name.as_ref() {
                "--dry-run" => options.dry_run = true,
                "--python" => options.python = path()?,
                "--binary" => options.binary = path()?,
                "--results" => options.results = path()?,
                "--help" => return Ok(None),
                other => return Err(Failure::usage(format!("there is no option `{other}`\n\n{HELP}"))),
            }
        }
        Ok(Some(options))
    }
}

/// Packs, and rehearses if asked to; or makes tables.
pub(crate) fn gpu(args: &[OsString]) -> Result<(), Failure> {
    let Some(options) = Options::parse(args)? else {
        println!("{HELP}");
        return Ok(());
    };
    if let Some(folder) = &options.results {
        let file = report(folder, &root().join("benches").join("results"))?;
        println!("\nwritten to {}", file.display());
        return Ok(());
    }
    let folder = pack(&options)?;
    if options.dry_run { rehearse(&options, &folder) } else { Ok(()) }
}

/// Type-checks what the feature `cuda` adds, in every crate that has it. What does not depend on burn is that of the lint.
pub(crate) fn check_cuda() -> Result<(), Failure> {
    let mut command = cargo();
    command.args(["check", "--workspace", "--all-targets", "--release", "--features", "cuda"]);
    command.current_dir(root());
    run(command)
}

/// Builds for CUDA lie apart: with other features everything is compiled anew.
fn cuda_target() -> PathBuf {
    root().join("target-cuda")
}

fn pack(options: &Options) -> Result<PathBuf, Failure> {
    let python = match &options.python {
        Some(python) => python.clone(),
        None => python::any_python()?.into(),
    };
    let binary = match &options.binary {
        Some(binary) => binary.clone(),
        None => build(options.dry_run)?,
    };
    let folder = steps::target()?.join(if options.dry_run { "gpu-dry-run" } else { "gpu" });
    let luggage = Luggage { binary, python, may_need_ffmpeg: options.dry_run };
    luggage.pack(&folder)?;
    Ok(folder)
}

/// Our side: for CUDA without FFmpeg; or for the CPU, as a part of the workspace so that nothing is compiled twice.
fn build(for_cpu: bool) -> Result<PathBuf, Failure> {
    if for_cpu {
        run(steps::build("gpu"))?;
        return Ok(steps::target()?.join("release").join("gpu"));
    }
    let mut command = cargo();
    command.args([
        "build",
        "--release",
        "--package",
        "benches",
        "--no-default-features",
        "--features",
        "cuda",
    ]);
    command.args(["--bin", "gpu", "--target-dir"]).arg(cuda_target()).current_dir(root());
    run(command)?;
    Ok(cuda_target().join("release").join("gpu"))
}

/// Every stage at tiny size, and the tables of what came of it.
fn rehearse(options: &Options, folder: &Path) -> Result<(), Failure> {
    let python = match &options.python {
        Some(python) => python.clone(),
        None => bench::python()?.interpreter(),
    };
    let results = folder.join("results");
    stages::run_all_tiny(folder, &python, &results)?;
    report(&results, folder).map(drop)
}

/// Reads what stages wrote, prints tables, and keeps the lines in one file below `kept`.
fn report(folder: &Path, kept: &Path) -> Result<PathBuf, Failure> {
    let results = results::Results::read(folder)?;
    println!("{}", table::markdown(&results));
    results.keep(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Option<Options>, u8> {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        Options::parse(&words).map_err(|failure| failure.code())
    }

    #[test]
    fn options_are_understood_or_refused() {
        let wanted = Options { dry_run: true, python: Some("py".into()), ..Options::default() };
        assert_eq!(parse(&["--dry-run", "--python", "py"]), Ok(Some(wanted)));
        assert_eq!(parse(&[]), Ok(Some(Options::default())));
        assert_eq!(parse(&["--help"]), Ok(None));
        assert_eq!(parse(&["--results"]), Err(2));
        assert_eq!(parse(&["--dry"]), Err(2));
    }
}
