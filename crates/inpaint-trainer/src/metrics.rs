//! `metrics.jsonl`: a line for every step, written as it happens.

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
};

use lora_train::TrainEvent;
use serde_json::{Value, json};

/// The file, open for the run.
#[derive(Debug)]
pub(crate) struct Metrics(File);

impl Metrics {
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        File::create_new(path).map(Self)
    }

    /// Appends what training tells. A line is written at once, so that a killed run leaves what it had.
    pub(crate) fn write(&mut self, event: &TrainEvent) -> io::Result<()> {
        match line(event) {
            Some(line) => writeln!(self.0, "{line}"),
            None => Ok(()),
        }
    }
}

fn line(event: &TrainEvent) -> Option<Value> {
    match event {
        TrainEvent::Step(report) => Some(json!({
            "step": report.step,
            "loss": report.loss,
            "sigma": report.sigma,
            "lr": report.learning_rate,
            "grad_norm": report.grad_norm,
            "step_time": report.time.as_secs_f64(),
            "tokens_per_second": report.tokens as f64 / report.time.as_secs_f64(),
        })),
        TrainEvent::Evaluated(at) => Some(json!({
            "step": at.step,
            "fixed_loss": at.fixed.mean,
            "fixed_loss_by_sigma": at.fixed.by_sigma,
            "holdout_loss": at.holdout.map(|losses| losses.mean),
            "holdout_loss_by_sigma": at.holdout.map(|losses| losses.by_sigma),
            "mean_loss": at.steps.map(|losses| losses.mean),
            "mean_loss_by_sigma": at.steps.map(|losses| losses.by_sigma),
        })),
        _ => None,
    }
}
