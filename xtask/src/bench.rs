//! `cargo xtask bench step`: our training step and PyTorch's by turns, each in its own process.

use std::fs;
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::command::{Failure, output, root, run, shown};
use crate::python::{Python, cannot};
use crate::steps;

/// Threads of either side.
const THREADS: &str = "2";
const LAYERS: usize = 4;
/// Tokens, and how often each side takes its turn.
const SIZES: [(usize, usize); 2] = [(512, 15), (2048, 11)];
/// Layers and tokens whose memory is predicted and measured.
const MEMORY: [(usize, usize); 6] = [(4, 512), (8, 512), (16, 512), (4, 2048), (8, 2048), (16, 2048)];

/// Prepares everything, compares the numbers of both sides once, and then their time and memory.
pub(crate) fn step() -> Result<(), Failure> {
    let bench = Bench { ours: steps::build_step()?, folder: folder()?, python: python()? };
    for (tokens, rounds) in SIZES {
        bench.compare(tokens, rounds)?;
    }
    println!("\nmemory of a step, by depth and tokens (MiB above the process itself)");
    for (layers, tokens) in MEMORY {
        run(bench.ours("prepare", layers, tokens))?;
        for how in ["recomputed", "kept", "averaged"] {
            let mut memory = bench.ours("memory", layers, tokens);
            memory.arg(how);
            run(memory)?;
        }
    }
    let mut soak = Command::new(&bench.ours);
    soak.arg("soak");
    println!();
    run(soak)
}

/// Where models, cases and the Python environment lie.
fn folder() -> Result<PathBuf, Failure> {
    let folder = steps::target()?.join("bench");
    fs::create_dir_all(&folder).map_err(|error| cannot("make", &folder, &error))?;
    Ok(folder)
}

/// The Python that has PyTorch.
pub(crate) fn python() -> Result<Python, Failure> {
    Python::prepare(&folder()?.join("python"), &scripts().join("requirements.txt"))
}

struct Bench {
    /// The binary that makes our steps.
    ours: PathBuf,
    /// Where models and cases lie.
    folder: PathBuf,
    python: Python,
}

impl Bench {
    fn ours(&self, what: &str, layers: usize, tokens: usize) -> Command {
        let mut command = Command::new(&self.ours);
        command.arg(what).arg(&self.folder).args([layers.to_string(), tokens.to_string()]);
        command.env("RAYON_NUM_THREADS", THREADS);
        command
    }

    fn pytorch(&self, what: &str, tokens: usize) -> Command {
        let mut command = self.python.command(scripts().join("step.py"));
        command.arg(what).arg(&self.folder);
        command.args([LAYERS.to_string(), tokens.to_string()]).env("OMP_NUM_THREADS", THREADS);
        command
    }

    fn compare(&self, tokens: usize, rounds: usize) -> Result<(), Failure> {
        println!("\nstep of {LAYERS} layers of width 512, {tokens} tokens, float32, {THREADS} threads");
        run(self.ours("prepare", LAYERS, tokens))?;
        output(self.pytorch("gradients", tokens))?;
        run(self.ours("check", LAYERS, tokens))?;
        let mut checkpointing = self.pytorch("serve", tokens);
        checkpointing.arg("--checkpointing");
        let mut sides = [
            Side::start("ours", self.ours("serve", LAYERS, tokens))?,
            Side::start("PyTorch", self.pytorch("serve", tokens))?,
            Side::start("PyTorch, checkpointing", checkpointing)?,
        ];
        // The first step of each warms it up.
        for round in 0..=rounds {
            for side in &mut sides {
                side.step(round > 0)?;
            }
        }
        let [ours, plain, lean] = sides.map(Side::finish);
        let (ours, plain, lean) = (ours?, plain?, lean?);
        println!("{:<24} {:>10} {:>10} {:>10}", "", "median s", "best s", "peak MiB");
        for Figures { name, median, best, peak } in [&ours, &plain, &lean] {
            println!("{name:<24} {median:>10.3} {best:>10.3} {:>10}", peak >> 20);
        }
        let ratio = |what, ratio: f64, of| println!("ratio {what}-{tokens} {ratio:.2} ({of})");
        ratio("step-time", ours.median / plain.median.min(lean.median), "ours / PyTorch's faster way");
        ratio("step-peak-memory", ours.peak as f64 / lean.peak as f64, "ours / PyTorch with checkpointing");
        Ok(())
    }
}

/// The scripts of the other side.
pub(crate) fn scripts() -> PathBuf {
    root().join("benches").join("pytorch")
}

/// A process that makes a step for every line that it reads, and answers with the seconds it took.
struct Side {
    name: &'static str,
    shown: String,
    process: Child,
    asks: Option<ChildStdin>,
    answers: Lines<BufReader<ChildStdout>>,
    times: Vec<f64>,
}

/// What a side came to.
struct Figures {
    name: &'static str,
    median: f64,
    best: f64,
    /// Bytes.
    peak: u64,
}

impl Side {
    fn start(name: &'static str, mut command: Command) -> Result<Self, Failure> {
        let shown = shown(&command);
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| Failure::new(format!("cannot start `{shown}`: {error}")))?;
        let asks = process.stdin.take();
        let Some(answers) = process.stdout.take() else {
            return Err(Failure::new(format!("`{shown}` does not speak")));
        };
        let answers = BufReader::new(answers).lines();
        Ok(Self { name, shown, process, asks, answers, times: Vec::new() })
    }

    fn step(&mut self, counts: bool) -> Result<(), Failure> {
        let asked =
            self.asks.as_mut().map_or(Ok(()), |asks| writeln!(asks, "step").and_then(|()| asks.flush()));
        asked.map_err(|error| Failure::new(format!("`{}` does not listen: {error}", self.shown)))?;
        let seconds: f64 = self.answer()?;
        if counts {
            self.times.push(seconds);
        }
        Ok(())
    }

    fn answer<T: std::str::FromStr>(&mut self) -> Result<T, Failure> {
        let line = self.answers.next().and_then(Result::ok).unwrap_or_default();
        line.trim().parse().map_err(|_| Failure::new(format!("`{}` answered `{line}`", self.shown)))
    }

    fn finish(mut self) -> Result<Figures, Failure> {
        // The end of its input ends the process.
        self.asks = None;
        let peak = self.answer()?;
        let ended = self.process.wait();
        ended.map_err(|error| Failure::new(format!("cannot wait for `{}`: {error}", self.shown)))?;
        self.times.sort_by(f64::total_cmp);
        let median = self.times[self.times.len() / 2];
        Ok(Figures { name: self.name, median, best: self.times[0], peak })
    }
}
