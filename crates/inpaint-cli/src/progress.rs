//! A progress bar for every stage, on stderr.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use inpaint_trainer::{Event, Largest, PreviewReport, ProcessMemory, Rehearsal, Stage, TrainEvent};

/// Shows events as they come; silent where stderr is no terminal, but for one line a stage.
pub(crate) struct Progress {
    bar: ProgressBar,
    quiet: bool,
    fixed: Option<f64>,
}

impl Progress {
    /// `quiet` shows nothing at all.
    pub(crate) fn new(quiet: bool) -> Self {
        Self { bar: ProgressBar::hidden(), quiet, fixed: None }
    }

    pub(crate) fn show(&mut self, event: &Event) {
        if self.quiet {
            return;
        }
        match event {
            Event::Started { stage, total } => self.start(*stage, *total),
            Event::Progress { done, .. } => self.bar.set_position(*done),
            Event::Finished { stage } => self.finish(*stage),
            Event::Warned(warning) => self.line(&format!("warning: {}", warning.message)),
            Event::Planned(plan) => plan.to_string().lines().for_each(|line| self.line(line)),
            Event::Resumed { step } => self.resume(*step),
            Event::Predicted(largest) => self.predicted(largest),
            Event::Rehearsed(rehearsal) => self.rehearsed(rehearsal),
            Event::Trained(event) => self.trained(event),
            Event::Sampling { step, sample, done, total } => {
                self.bar.set_message(format!("preview of sample {sample} after step {step}: {done}/{total}"));
            }
            Event::Previewed(report) => self.previewed(report),
            _ => {}
        }
    }

    fn start(&mut self, stage: Stage, total: u64) {
        let target = ProgressDrawTarget::stderr_with_hz(8);
        self.bar = if total == 0 { ProgressBar::no_length() } else { ProgressBar::new(total) };
        self.bar.set_draw_target(target);
        self.bar.set_style(style(stage, total));
        self.bar.set_prefix(stage.name());
        self.bar.enable_steady_tick(Duration::from_millis(250));
    }

    /// The steps before were done by an earlier process: they say nothing of how long one takes now.
    fn resume(&mut self, step: u64) {
        self.bar.set_position(step);
        self.bar.reset_eta();
        self.line(&format!("going on after step {step}"));
    }

    fn predicted(&self, largest: &Largest) {
        let (memory, tokens) = (crate::say::size(largest.memory().total()), largest.size.tokens);
        self.line(&format!(
            "a step takes {memory} of memory by calculation, the weights included: {tokens} tokens of `{}`",
            largest.example
        ));
    }

    fn rehearsed(&self, rehearsal: &Rehearsal) {
        let (seconds, snapshot) = (rehearsal.time.as_secs_f64(), crate::say::size(rehearsal.snapshot_bytes));
        let peak = held_so_far(ProcessMemory::now().map(|memory| memory.peak));
        self.line(&format!("rehearsed in {seconds:.1} s: that step, and a snapshot of {snapshot}{peak}"));
    }

    fn finish(&mut self, stage: Stage) {
        let elapsed = self.bar.elapsed().as_secs_f64();
        self.bar.finish_and_clear();
        self.line(&format!("{:<18} done in {elapsed:.1} s", stage.name()));
    }

    fn trained(&mut self, event: &TrainEvent) {
        match event {
            TrainEvent::Evaluated(at) => {
                self.fixed = Some(at.fixed.mean);
                let holdout = at.holdout.map(|losses| format!(", held out {:.4}", losses.mean));
                let holdout = holdout.unwrap_or_default();
                self.line(&format!("step {}: loss on fixed draws {:.4}{holdout}", at.step, at.fixed.mean));
            }
            TrainEvent::Step(report) => {
                let fixed = self.fixed.map(|loss| format!(", fixed {loss:.3}")).unwrap_or_default();
                self.bar
                    .set_message(format!("loss {:.3}{fixed}, lr {:.1e}", report.loss, report.learning_rate));
            }
            _ => {}
        }
    }

    fn previewed(&mut self, report: &PreviewReport) {
        let told = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.2}"));
        let numbers = &report.numbers;
        // The first ones are a rehearsal, too.
        let peak = if report.step == 0 { held_so_far(report.peak_memory) } else { String::new() };
        self.line(&format!(
            "step {}: preview of sample {}: kept {} dB, white {} dB, seam {} ({} in the source), {:.1} s{peak}",
            report.step,
            report.sample,
            told(numbers.kept_psnr),
            told(numbers.white_psnr),
            told(numbers.seam),
            told(numbers.source_seam),
            report.seconds
        ));
    }

    /// A line above the bar.
    fn line(&self, text: &str) {
        self.bar.suspend(|| crate::say::tell(text));
    }
}

fn held_so_far(peak: Option<u64>) -> String {
    peak.map(|peak| format!("; the process has held {} so far", crate::say::size(peak))).unwrap_or_default()
}

fn style(stage: Stage, total: u64) -> ProgressStyle {
    let template = match (stage, total) {
        (Stage::Fetch, _) => "{prefix:18} {spinner} {bytes}",
        (Stage::Train, _) => "{prefix:18} [{bar:30}] {pos}/{len} {msg} [{elapsed}, {eta} left]",
        _ => "{prefix:18} [{bar:30}] {pos}/{len} [{elapsed}]",
    };
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}
