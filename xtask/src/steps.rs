//! `cargo xtask test`: what CI runs, the cheapest first.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::command::{Failure, cargo, root, run};
use crate::{gpu, setup, tidy};

type Work = Box<dyn Fn() -> Result<(), Failure>>;

/// The golden numbers that ship with the tree.
pub(crate) fn default_golden() -> PathBuf {
    root().join("tests").join("golden")
}

/// Runs every step until one fails, and ends with a table of their wall times.
pub(crate) fn test() -> Result<(), Failure> {
    let (times, result) = run_steps(steps());
    println!("\n{}", table(&times, result.is_ok()));
    result
}

fn steps() -> Vec<(&'static str, Work)> {
    vec![
        ("set-up", Box::new(|| setup::setup().and_then(|()| setup::components()))),
        ("format", Box::new(|| run(in_root(&["fmt", "--all", "--check"])))),
        ("tidy", Box::new(tidy::tidy)),
        ("clippy", Box::new(|| run(clippy()))),
        ("build", Box::new(|| run(in_root(&["test", "--workspace", "--release", "--no-run"])))),
        ("golden", Box::new(|| run(shipped_golden()?))),
        ("tests", Box::new(|| run(in_root(&["test", "--workspace", "--release"])))),
        ("docs", Box::new(|| run(docs()))),
        ("cuda", Box::new(gpu::check_cuda)),
    ]
}

fn in_root(args: &[&str]) -> Command {
    let mut command = cargo();
    command.args(args).current_dir(root());
    command
}

/// Warnings are errors for the whole tree, tests and binaries included.
fn clippy() -> Command {
    in_root(&["clippy", "--workspace", "--all-targets", "--release", "--", "-D", "warnings"])
}

/// Builds a program of the package `tests` as a part of the workspace. Its package alone would take other features
/// than the workspace's, and compile burn once more.
pub(crate) fn build(program: &str) -> Command {
    in_root(&["build", "--workspace", "--release", "--bin", program])
}

/// Our side of the bench of a training step, built.
pub(crate) fn build_step() -> Result<PathBuf, Failure> {
    run(build("step"))?;
    Ok(target()?.join("release").join("step"))
}

/// A program, ready for its arguments: what [`build`], or a build of all tests, made.
pub(crate) fn built(program: &str) -> Result<Command, Failure> {
    Ok(Command::new(target()?.join("release").join(program)))
}

/// The target folder.
pub(crate) fn target() -> Result<PathBuf, Failure> {
    let own = env::current_exe().map_err(|e| Failure::new(format!("cannot find this program: {e}")))?;
    // This program lies in `debug` or `release` of it.
    Ok(own.ancestors().nth(2).unwrap_or(Path::new("target")).to_owned())
}

/// The table of the numbers that ship with the tree.
fn shipped_golden() -> Result<Command, Failure> {
    let mut command = built("golden")?;
    command.arg(default_golden());
    Ok(command)
}

fn docs() -> Command {
    let mut command = in_root(&["doc", "--workspace", "--no-deps", "--release"]);
    command.env("RUSTDOCFLAGS", "-Dwarnings");
    command
}

fn run_steps(steps: Vec<(&'static str, Work)>) -> (Vec<(&'static str, Duration)>, Result<(), Failure>) {
    let mut times = Vec::new();
    for (name, work) in steps {
        println!("==> {name}");
        let start = Instant::now();
        let result = work();
        times.push((name, start.elapsed()));
        println!("==> {name}: {:.1} s", start.elapsed().as_secs_f64());
        if result.is_err() {
            return (times, result);
        }
    }
    (times, Ok(()))
}

fn table(times: &[(&str, Duration)], passed: bool) -> String {
    let last = times.len().saturating_sub(1);
    let line = |(index, (name, time)): (usize, &(&str, Duration))| {
        let word = if passed || index < last { "ok" } else { "FAILED" };
        format!("{name:<8} {:>8.1} s  {word}\n", time.as_secs_f64())
    };
    let total: Duration = times.iter().map(|(_, time)| *time).sum();
    let lines: String = times.iter().enumerate().map(line).collect();
    format!("{lines}{:<8} {:>8.1} s", "all", total.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_stops_the_rest_and_is_handed_on() {
        let steps: Vec<(&str, Work)> = vec![
            ("one", Box::new(|| Ok(()))),
            ("two", Box::new(|| Err(Failure::usage("broken")))),
            ("three", Box::new(|| panic!("must not run"))),
        ];
        let (times, result) = run_steps(steps);
        assert_eq!(result.map_err(|failure| failure.code()), Err(2));
        assert_eq!(times.len(), 2);
        let table = table(&times, false);
        assert_eq!(table.matches("ok").count(), 1);
        assert!(table.lines().nth(1).is_some_and(|line| line.starts_with("two") && line.ends_with("FAILED")));
    }
}
