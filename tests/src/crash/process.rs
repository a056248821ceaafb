//! A worker as its parent sees it.

use std::{
    env,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use super::{
    CrashError,
    worker::{Line, Orders},
};

/// How long a worker may say nothing: it is a tiny run, but the machine may have other things to do.
const PATIENCE: Duration = Duration::from_secs(600);

/// A running worker, and what it has told so far.
pub(super) struct Worker {
    child: Child,
    lines: Receiver<Line>,
    /// All that was told, in order, each with the time since the start.
    pub(super) told: Vec<(Duration, Line)>,
    start: Instant,
}

/// How a worker ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Its run ended well.
    Done,
    /// Its run failed with this.
    Failed(String),
    /// It was killed, or died.
    Died,
}

impl Worker {
    pub(super) fn start(orders: &Orders) -> Result<Self, CrashError> {
        let mut command = Command::new(env::current_exe()?);
        command.arg("--worker").arg(&orders.out).args([orders.resume.to_string(), orders.seed.to_string()]);
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn()?;
        let (tell, lines) = mpsc::channel();
        if let Some(stdout) = child.stdout.take() {
            thread::spawn(move || {
                let lines = BufReader::new(stdout).lines().map_while(Result::ok);
                lines.filter_map(|line| line.parse().ok()).try_for_each(|line| tell.send(line))
            });
        }
        Ok(Self { child, lines, told: Vec::new(), start: Instant::now() })
    }

    /// Waits for a line that `is_wanted`; false if the worker ended before.
    pub(super) fn wait_for(&mut self, is_wanted: impl Fn(&Line) -> bool) -> Result<bool, CrashError> {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => {
                    let found = is_wanted(&line);
                    self.note(line);
                    if found {
                        return Ok(true);
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return Ok(false),
                Err(RecvTimeoutError::Timeout) => {
                    let last = self.told.last().map(|(_, line)| line.to_string()).unwrap_or_default();
                    let patience = PATIENCE.as_secs();
                    return Err(CrashError::Worker(format!("said nothing for {patience} s after `{last}`")));
                }
            }
        }
    }

    /// Lets it work for so long, if it does not end before.
    pub(super) fn leave(&mut self, time: Duration) {
        let start = Instant::now();
        while let Some(left) = time.checked_sub(start.elapsed()) {
            match self.lines.recv_timeout(left) {
                Ok(line) => self.note(line),
                Err(RecvTimeoutError::Timeout) => return,
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// SIGKILL, and then how it ended: it may have been done already.
    pub(super) fn kill(&mut self) -> Result<End, CrashError> {
        self.child.kill()?;
        self.end()
    }

    /// Waits for its end.
    pub(super) fn end(&mut self) -> Result<End, CrashError> {
        while self.wait_for(|_| false)? {}
        let status = self.child.wait()?;
        Ok(match self.told.last().map(|(_, line)| line) {
            Some(Line::Done) if status.success() => End::Done,
            Some(Line::Failed(why)) => End::Failed(why.clone()),
            _ => End::Died,
        })
    }

    fn note(&mut self, line: Line) {
        self.told.push((self.start.elapsed(), line));
    }
}

/// Whoever started a worker takes it down.
impl Drop for Worker {
    fn drop(&mut self) {
        // Gone already if it ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
