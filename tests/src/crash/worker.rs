//! The worker: one whole run of the product, told line by line.

use std::{
    error::Error,
    fmt,
    io::Write,
    path::{Path, PathBuf},
    str::FromStr,
};

use inpaint_trainer::{
    BasePrecision, Cancel, Device, Event, Fetcher, Limits, Reach, RunError, Settings, TrainEvent,
    TrainOptions, TrainRequest, Watch,
};
use serde_json::json;

use super::CrashError;

/// Optimiser steps: the fewest that a request may ask for.
pub(super) const STEPS: usize = 100;
/// Steps between two snapshots: many, so that many kills fall into the writing of one.
const SNAPSHOT_EVERY: u64 = 7;

/// What a worker does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orders {
    /// The folder of the results.
    pub out: PathBuf,
    /// Whether to go on with the run that is there.
    pub resume: bool,
    /// The seed of the training.
    pub seed: u64,
}

/// What a worker tells, a line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Line {
    /// A stage begins.
    Stage(String),
    /// A step is done.
    Step(usize),
    /// A snapshot of this step is on disk.
    Saved(usize),
    /// The training goes on after this step.
    Resumed(usize),
    /// A warning of this kind.
    Warned(String),
    /// The run ended well.
    Done,
    /// The run ended with this.
    Failed(String),
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stage(name) => write!(f, "stage {name}"),
            Self::Step(step) => write!(f, "step {step}"),
            Self::Saved(step) => write!(f, "saved {step}"),
            Self::Resumed(step) => write!(f, "resumed {step}"),
            Self::Warned(kind) => write!(f, "warned {kind}"),
            Self::Done => write!(f, "done"),
            Self::Failed(why) => write!(f, "failed {why}"),
        }
    }
}

impl FromStr for Line {
    type Err = ();

    fn from_str(line: &str) -> Result<Self, ()> {
        let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
        let (number, text) = (|| rest.parse().map_err(|_| ()), || rest.to_owned());
        Ok(match name {
            "stage" => Self::Stage(text()),
            "step" => Self::Step(number()?),
            "saved" => Self::Saved(number()?),
            "resumed" => Self::Resumed(number()?),
            "warned" => Self::Warned(text()),
            "done" => Self::Done,
            "failed" => Self::Failed(text()),
            _ => return Err(()),
        })
    }
}

/// Runs the product as ordered, and tells what happens.
///
/// # Errors
/// If nothing can be told; how the run ended is told.
pub fn work(orders: &Orders, told: &mut dyn Write) -> Result<(), CrashError> {
    let mut unheard = None;
    let mut tell = |line: Line| {
        if let Err(error) = writeln!(told, "{line}").and_then(|()| told.flush()) {
            unheard = Some(error);
        }
    };
    let mut observe = |event| line(event).into_iter().for_each(&mut tell);
    let result = product(orders, &mut Watch::new(&mut observe, Cancel::default()));
    tell(match result {
        Ok(()) => Line::Done,
        Err(error) => Line::Failed(chain(error.as_ref())),
    });
    unheard.map_or(Ok(()), |error| Err(error.into()))
}

fn line(event: Event) -> Option<Line> {
    match event {
        Event::Started { stage, .. } => Some(Line::Stage(format!("{stage:?}"))),
        Event::Warned(warning) => Some(Line::Warned(warning.kind.to_owned())),
        Event::Resumed { step } => Some(Line::Resumed(step as usize)),
        Event::Trained(TrainEvent::Step(report)) => Some(Line::Step(report.step)),
        Event::Trained(TrainEvent::Saved { step }) => Some(Line::Saved(step)),
        _ => None,
    }
}

/// The demo at the smallest size.
fn product(orders: &Orders, watch: &mut Watch<'_>) -> Result<(), Box<dyn Error + Send + Sync>> {
    let request = json!({
        "training_data_url": assets("demo/demo.zip"), "number_of_steps": STEPS, "rank": 8, "trigger_phrase": "SPARK",
    });
    let request = TrainRequest::from_json(&request)?.with_bucket("32x32x9".parse()?);
    let options = json!({ "seed": orders.seed, "snapshot_every": SNAPSHOT_EVERY, "fixed_loss_every": 25 });
    let settings = Settings {
        checkpoint: assets("tiny/tiny-ltx-2.3.safetensors"),
        text_encoder: assets("tiny/gemma"),
        base_model: "tiny-ltx-2.3".to_owned(),
        base_precision: BasePrecision::Float32,
        offload: 0,
        device: Device::flex(),
        out: orders.out.clone(),
        resume: orders.resume,
        limits: Limits {
            fetcher: Fetcher { reach: Reach::Anywhere, ..Fetcher::default() },
            ..Limits::default()
        },
    };
    let result: Result<_, RunError> =
        inpaint_trainer::run(&request, &TrainOptions::from_json(&options)?, &settings, watch);
    Ok(result.map(drop)?)
}

/// What comes with the program.
pub(super) fn assets(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets").join(name)
}

/// An error with its causes, in one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text.replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_reads_as_it_was_written() {
        let lines = [
            Line::Stage("Train".to_owned()),
            Line::Step(3),
            Line::Saved(7),
            Line::Resumed(7),
            Line::Warned("mask-held".to_owned()),
            Line::Done,
            Line::Failed("the disk is full".to_owned()),
        ];
        for line in lines {
            assert_eq!(line.to_string().parse(), Ok(line));
        }
        assert_eq!("saved".parse::<Line>(), Err(()));
    }
}
