//! The parent of workers: it starts one, watches it, notes what was wrong with which case, and starts another.

use std::{
    env, fs,
    fs::File,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use super::{
    FuzzError, memory,
    random::Random,
    report::{Fault, Finding, Row},
    target::{Target, load},
    worker::{Ending, Line},
};

/// How often a worker that says nothing is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// How long the good inputs may take.
const START: Duration = Duration::from_secs(120);
/// How long a worker may take to end after it closed its stdout.
const DEATH: Duration = Duration::from_secs(10);
/// How many findings of one target are told, and their inputs kept.
const TOLD: usize = 50;

/// How much is run of a target, and what is too much.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The seed of all cases.
    pub seed: u64,
    /// The first case.
    pub from: u64,
    /// One more than the last case.
    pub to: u64,
    /// No case begins later than this.
    pub time: Duration,
    /// How long one case may take.
    pub hang: Duration,
    /// How much more memory than good inputs a case may take, in MB.
    pub memory_mb: u64,
    /// Where inputs of findings are kept.
    pub keep: PathBuf,
    /// Whether every input is kept, also that of a good case.
    pub keep_all: bool,
}

/// Runs cases of a target in other processes. The first findings are told as they come, and their inputs kept; the
/// row counts all.
///
/// # Errors
/// If there is no such target, a worker cannot be started, or it does not accept good inputs.
pub fn run(target: &str, plan: &Plan, tell: &mut dyn FnMut(&Finding)) -> Result<Row, FuzzError> {
    let loaded = load(target)?.ok_or_else(|| FuzzError::UnknownTarget(target.to_owned()))?;
    let start = Instant::now();
    let row = Row::new(target);
    let mut watch =
        Watch { name: target, target: loaded.as_ref(), plan, row, next: plan.from, told: 0, tell };
    while watch.next < plan.to && start.elapsed() < plan.time {
        if watch.one_worker(plan.time.saturating_sub(start.elapsed()))? == Next::Done {
            break;
        }
    }
    watch.row.seconds = start.elapsed().as_secs_f64();
    Ok(watch.row)
}

/// What is known of a target while it runs.
struct Watch<'a> {
    name: &'a str,
    target: &'a dyn Target,
    plan: &'a Plan,
    row: Row,
    next: u64,
    told: usize,
    tell: &'a mut dyn FnMut(&Finding),
}

/// What follows on a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// The next case, by the same worker.
    Case,
    /// Another worker: this one is gone, or is no measure any more.
    Worker,
    /// Nothing: all that was asked for is done.
    Done,
}

/// A running worker.
struct Worker {
    child: Child,
    lines: Receiver<Line>,
    folder: tempfile::TempDir,
}

/// What the parent learns from waiting.
enum News {
    Line(Line),
    /// The worker is gone.
    Gone,
    /// The case takes too long.
    Late,
    /// The worker holds so much more memory than is allowed, in KiB, that it may take the machine down.
    Bloated(u64),
}

impl Watch<'_> {
    /// Runs one worker to its end.
    fn one_worker(&mut self, time: Duration) -> Result<Next, FuzzError> {
        let mut worker = self.start(time)?;
        let baseline = self.baseline(&mut worker)?;
        loop {
            let case = match worker.wait(START, None) {
                News::Line(Line::Begin(case)) => case,
                News::Gone => return worker.ended_well().map(|()| Next::Done),
                _ => return Err(worker.lost("did not begin a case")),
            };
            self.next = case + 1;
            if self.one_case(case, baseline, &mut worker)? == Next::Worker {
                return Ok(Next::Worker);
            }
        }
    }

    /// Waits for the end of a case, whatever it is.
    fn one_case(&mut self, case: u64, baseline: u64, worker: &mut Worker) -> Result<Next, FuzzError> {
        let bloated = 2 * (baseline + memory::kib(self.plan.memory_mb));
        let news = worker.wait(self.plan.hang, Some(bloated));
        self.row.cases += 1;
        if self.plan.keep_all {
            self.keep(case)?;
        }
        match news {
            News::Line(Line::End(ending, peak, text)) => {
                self.end(case, ending, text)?;
                self.memory(case, peak.saturating_sub(baseline))
            }
            News::Line(_) => Err(worker.lost("did not end a case")),
            News::Gone => self.found(case, Fault::Crash, worker.last_words()),
            News::Late => {
                self.found(case, Fault::Hang, format!("no result within {} s", self.plan.hang.as_secs_f64()))
            }
            News::Bloated(held) => self.memory(case, held.saturating_sub(baseline)),
        }
    }

    fn start(&self, time: Duration) -> Result<Worker, FuzzError> {
        let folder = tempfile::Builder::new().prefix("fuzz-").tempdir()?;
        let room = folder.path().join("room");
        fs::create_dir(&room)?;
        let mut command = Command::new(env::current_exe()?);
        let numbers = [self.plan.seed, self.next, self.plan.to, time.as_millis() as u64];
        command.args(["--worker", self.name]).args(numbers.map(|number| number.to_string())).arg(&room);
        command.current_dir(folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(File::create(folder.path().join(STDERR))?);
        let mut child = command.spawn()?;
        let (tell, lines) = mpsc::channel();
        if let Some(stdout) = child.stdout.take() {
            thread::spawn(move || {
                let lines = BufReader::new(stdout).lines().map_while(Result::ok);
                lines.filter_map(|line| line.parse().ok()).try_for_each(|line| tell.send(line))
            });
        }
        Ok(Worker { child, lines, folder })
    }

    /// Waits until the good inputs have run; the memory that they took, in KiB.
    fn baseline(&self, worker: &mut Worker) -> Result<u64, FuzzError> {
        match worker.wait(START, None) {
            News::Line(Line::Ready(memory)) => Ok(memory),
            News::Line(Line::BadSeed(text)) => Err(FuzzError::BadSeed { target: self.name.to_owned(), text }),
            _ => Err(worker.lost("did not run the good inputs")),
        }
    }

    /// Notes how a case ended by itself.
    fn end(&mut self, case: u64, ending: Ending, text: String) -> Result<(), FuzzError> {
        let fault = match ending {
            Ending::Accepted => {
                self.row.accepted += 1;
                return Ok(());
            }
            Ending::Rejected => {
                self.row.reject(text);
                return Ok(());
            }
            Ending::Panic => Fault::Panic,
            Ending::Untyped => Fault::Untyped,
            Ending::Broken => Fault::Broken,
        };
        self.found(case, fault, text).map(drop)
    }

    /// Notes memory over the baseline, in KiB.
    fn memory(&mut self, case: u64, over: u64) -> Result<Next, FuzzError> {
        self.row.note_memory(case, over);
        if over <= memory::kib(self.plan.memory_mb) {
            return Ok(Next::Case);
        }
        self.found(case, Fault::Memory, format!("{:.0} MB over the baseline", memory::mb(over)))
    }

    /// Notes a finding; tells it and keeps its input, unless there were many.
    fn found(&mut self, case: u64, fault: Fault, text: String) -> Result<Next, FuzzError> {
        self.row.count(fault);
        if self.told < TOLD {
            self.told += 1;
            let (target, seed, kept) = (self.name.to_owned(), self.plan.seed, self.keep(case)?);
            (self.tell)(&Finding { target, seed, case, fault, text, kept });
        }
        Ok(Next::Worker)
    }

    /// Makes the input of a case again, and writes it to the folder for that.
    fn keep(&self, case: u64) -> Result<PathBuf, FuzzError> {
        let input = self.target.spoilt(&mut Random::new(self.plan.seed, self.name, case));
        fs::create_dir_all(&self.plan.keep)?;
        let name = format!("{}-{}-{case}", self.name, self.plan.seed);
        let path = self.plan.keep.join(format!("{name}.{}", input.extension));
        fs::write(&path, &input.bytes)?;
        if !input.with.is_null() {
            fs::write(self.plan.keep.join(format!("{name}.with.json")), input.with.to_string())?;
        }
        Ok(path)
    }
}

const STDERR: &str = "stderr.txt";

impl Worker {
    /// Waits for a line, up to `limit`, as long as no more than `memory` KiB are held.
    fn wait(&mut self, limit: Duration, memory: Option<u64>) -> News {
        let start = Instant::now();
        while start.elapsed() < limit {
            match self.lines.recv_timeout(LOOK.min(limit)) {
                Ok(line) => return News::Line(line),
                Err(RecvTimeoutError::Disconnected) => return News::Gone,
                Err(RecvTimeoutError::Timeout) => {
                    let held = memory::resident(self.child.id());
                    if memory.is_some_and(|memory| held > memory) {
                        return News::Bloated(held);
                    }
                }
            }
        }
        News::Late
    }

    /// How it ended. One that said its last word and does not end is made to.
    fn status(&mut self) -> Option<ExitStatus> {
        let start = Instant::now();
        while start.elapsed() < DEATH {
            match self.child.try_wait() {
                Ok(None) => thread::sleep(LOOK),
                ended => return ended.ok().flatten(),
            }
        }
        self.kill();
        self.child.wait().ok()
    }

    /// It should have ended by itself, and well.
    fn ended_well(&mut self) -> Result<(), FuzzError> {
        match self.status() {
            Some(status) if status.success() => Ok(()),
            _ => Err(self.lost("ended between two cases")),
        }
    }

    fn kill(&mut self) {
        // Gone already if it died by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// How it ended, and the end of what it wrote to stderr.
    fn last_words(&mut self) -> String {
        let status = self.status().map(|status| status.to_string()).unwrap_or_default();
        let said = fs::read(self.folder.path().join(STDERR)).unwrap_or_default();
        let said = String::from_utf8_lossy(&said[said.len().saturating_sub(500)..]).into_owned();
        format!("{status} {}", said.trim())
    }

    fn lost(&mut self, what: &str) -> FuzzError {
        self.kill();
        FuzzError::Worker(format!("{what}: {}", self.last_words()))
    }
}

/// Whoever started a worker takes it down.
impl Drop for Worker {
    fn drop(&mut self) {
        self.kill();
    }
}
