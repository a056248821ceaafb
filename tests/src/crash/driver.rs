//! The parent of workers: it kills them, lets them go on, and judges what they end with.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use inpaint_trainer::is_unfinished;

use super::{
    CrashError, Report, control, faults,
    judge::{Results, leftovers},
    process::{End, Worker},
    worker::{Line, Orders},
};
use crate::random::Random;

/// How often one run is killed, at most, before it may finish.
const MOST_KILLS: usize = 8;
/// Of a hundred kills, how many are aimed at the training, which is most of a run; the others at any stage.
const AT_TRAINING: usize = 50;

/// How much is done.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Processes to kill.
    pub kills: u64,
    /// The seed of the moments, and of the training.
    pub seed: u64,
    /// Where runs are made; one with which something was wrong stays there.
    pub folder: PathBuf,
}

/// Kills, resumes and judges as planned, then tries the controls and the disk's faults. Findings are told as they come.
///
/// # Errors
/// If an undisturbed run fails, or a worker does what no run should, such as saying nothing for minutes.
pub fn run(plan: &Plan, tell: &mut dyn FnMut(&str)) -> Result<Report, CrashError> {
    let start = Instant::now();
    let folder = tempfile::Builder::new().prefix("crash-").tempdir_in(made(&plan.folder)?)?;
    let undisturbed = Undisturbed::make(folder.path(), plan.seed)?;
    let mut driver = Driver { plan, folder: folder.path(), undisturbed, report: Report::default(), tell };
    while driver.report.all_kills() < plan.kills {
        driver.one_run()?;
    }
    let middle = folder.path().join("middle/out");
    control::middle(&middle, plan.seed)?;
    let controls = control::run(&middle, folder.path(), plan.seed, &driver.undisturbed.results)?;
    let (disk_faults, findings) = faults::run(&middle, &folder.path().join("faults"))?;
    findings.into_iter().for_each(|finding| driver.found(finding));
    let seconds = start.elapsed().as_secs_f64();
    Ok(Report { controls, disk_faults, seconds, ..driver.report })
}

fn made(folder: &Path) -> Result<&Path, CrashError> {
    fs::create_dir_all(folder)?;
    Ok(folder)
}

/// A run that nobody disturbed: what it ended with, and how long its stages took.
struct Undisturbed {
    results: Results,
    stages: Vec<(String, Duration)>,
}

impl Undisturbed {
    fn make(folder: &Path, seed: u64) -> Result<Self, CrashError> {
        let out = folder.join("undisturbed/out");
        let mut worker = Worker::start(&Orders { out: out.clone(), resume: false, seed })?;
        match worker.end()? {
            End::Done => {}
            ended => return Err(CrashError::Undisturbed(format!("{ended:?}"))),
        }
        let begins = worker.told.iter().filter_map(|(at, line)| match line {
            Line::Stage(name) => Some((name.clone(), *at)),
            _ => None,
        });
        let begins: Vec<(String, Duration)> = begins.collect();
        let end = worker.told.last().map_or(Duration::ZERO, |(at, _)| *at);
        let ends = begins.iter().skip(1).map(|(_, at)| *at).chain([end]);
        let stages = begins.iter().zip(ends).map(|((name, begin), end)| (name.clone(), end - *begin));
        Ok(Self { results: Results::read(&out)?, stages: stages.collect() })
    }
}

struct Driver<'a> {
    plan: &'a Plan,
    folder: &'a Path,
    undisturbed: Undisturbed,
    report: Report,
    tell: &'a mut dyn FnMut(&str),
}

/// What is known of one run while it is killed and goes on.
#[derive(Default)]
struct Life {
    kills: u64,
    /// The newest snapshot that was said to be on disk.
    saved: usize,
    /// Whether the last process was left to its end.
    is_left_alone: bool,
    findings: Vec<String>,
}

impl Driver<'_> {
    /// One run: killed some times, then left alone, and judged.
    fn one_run(&mut self) -> Result<(), CrashError> {
        let number = self.report.runs;
        let folder = self.folder.join(format!("run-{number}"));
        let out = folder.join("out");
        let mut random = Random::new(self.plan.seed, "crash", number);
        let (mut life, most) = (Life::default(), random.few(MOST_KILLS) as u64);
        while !is_finished(&out) {
            let left = self.plan.kills.saturating_sub(self.report.all_kills());
            let aim = (life.kills < most.min(left + life.kills)).then(|| self.aim(&mut random));
            self.one_process(&out, aim, &mut life)?;
        }
        self.report.runs += 1;
        self.report.most_kills = self.report.most_kills.max(life.kills);
        let results = Results::read(&out)?;
        self.report.identical += u64::from(results.is_same_lora(&self.undisturbed.results));
        life.findings.extend(results.faults(&self.undisturbed.results));
        if life.is_left_alone {
            life.findings.extend(leftovers(&folder, &out)?);
        }
        self.conclude(number, life, &folder)
    }

    /// A stage, and how long after its beginning.
    fn aim(&self, random: &mut Random) -> (String, Duration) {
        let stages = &self.undisturbed.stages;
        let training = stages.iter().find(|(name, _)| name == "Train");
        let any = random.pick_of(stages);
        let aimed = if random.chance(AT_TRAINING) { training.or(any) } else { any };
        let (stage, time) = aimed.cloned().unwrap_or_default();
        (stage, time.mul_f64(random.below(1000) as f64 / 1000.0))
    }

    /// One process of a run, killed where it is aimed at, if it is not done before.
    fn one_process(
        &mut self,
        out: &Path,
        aim: Option<(String, Duration)>,
        life: &mut Life,
    ) -> Result<(), CrashError> {
        let resume = is_unfinished(out);
        let mut worker = Worker::start(&Orders { out: out.to_owned(), resume, seed: self.plan.seed })?;
        let mut is_killed = false;
        if let Some((stage, time)) = aim
            && worker.wait_for(|line| *line == Line::Stage(stage.clone()))?
        {
            worker.leave(time);
            is_killed = worker.kill()? == End::Died;
        }
        let end = if is_killed { End::Died } else { worker.end()? };
        life.is_left_alone = !is_killed;
        if is_killed {
            life.kills += 1;
            self.report.kills_of_resumed += u64::from(resume);
            *self.report.kills.entry(stage_of(&worker)).or_default() += 1;
        } else if end != End::Done {
            return Err(CrashError::Worker(format!("that nobody killed ended with {end:?}")));
        }
        life.note(&worker);
        Ok(())
    }

    /// Tells what was found, and removes a run with which nothing was wrong.
    fn conclude(&mut self, number: u64, life: Life, folder: &Path) -> Result<(), CrashError> {
        if life.findings.is_empty() {
            return Ok(fs::remove_dir_all(folder)?);
        }
        let kept = self.plan.folder.join(format!("found-{}-{number}", self.plan.seed));
        fs::rename(folder, &kept)?;
        for finding in life.findings {
            let kills = life.kills;
            self.found(format!("run {number}, killed {kills} times: {finding}; kept as {}", kept.display()));
        }
        Ok(())
    }

    fn found(&mut self, finding: String) {
        (self.tell)(&finding);
        self.report.findings.push(finding);
    }
}

impl Life {
    /// Compares what a process told with what is known of its run.
    fn note(&mut self, worker: &Worker) {
        let known = self.saved;
        let lost = |step: usize| format!("it went on after step {step}, and step {known} had been saved");
        let resumed = worker.told.iter().find_map(|(_, line)| match line {
            Line::Resumed(step) => Some(*step),
            _ => None,
        });
        let has_trained = worker.told.iter().any(|(_, line)| matches!(line, Line::Step(_)));
        match resumed {
            Some(step) if step < known => self.findings.push(lost(step)),
            None if has_trained && known > 0 => self.findings.push(lost(0)),
            _ => {}
        }
        for (_, line) in &worker.told {
            match line {
                Line::Saved(step) => self.saved = *step,
                Line::Warned(kind) if kind == "snapshot-damaged" => {
                    self.findings.push("a snapshot was damaged by a kill".to_owned());
                }
                _ => {}
            }
        }
    }
}

/// Whether the run in `out` is over. One that was killed while it cleared its state away has all of its results.
fn is_finished(out: &Path) -> bool {
    out.join("outcome.json").is_file() && !is_unfinished(out)
}

/// The stage that a worker told last.
fn stage_of(worker: &Worker) -> String {
    let stages = worker.told.iter().rev().filter_map(|(_, line)| match line {
        Line::Stage(name) => Some(name.clone()),
        _ => None,
    });
    stages.into_iter().next().unwrap_or_default()
}
