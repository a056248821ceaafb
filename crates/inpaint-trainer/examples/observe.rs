//! Watches a run from another thread, and stops it. What it did is kept: `resume: true` goes on with it.
//!
//! ```sh
//! cargo run --release -p inpaint-trainer --example observe -- CLIPS.zip CHECKPOINT GEMMA_DIR OUT
//! ```
#![allow(clippy::print_stdout, reason = "an example talks to whoever started it")]

use std::{error::Error, path::PathBuf, sync::mpsc, thread};

use inpaint_trainer::{
    BasePrecision, Cancel, Device, Event, Fetcher, Limits, Outcome, Reach, RunError, Settings, TrainEvent,
    TrainOptions, TrainRequest, Watch, is_unfinished, run,
};
use serde_json::json;

/// After so many steps, the one who watches has seen enough.
const ENOUGH: usize = 20;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let mut next = || arguments.next().ok_or("observe CLIPS.zip CHECKPOINT GEMMA_DIR OUT");
    let (clips, checkpoint, text_encoder, out) = (next()?, next()?, next()?, next()?);
    let request = TrainRequest::from_json(&json!({ "training_data_url": clips, "rank": 8 }))?
        .with_bucket("64x64x9".parse()?);
    let settings = Settings {
        checkpoint,
        text_encoder,
        base_model: "ltx-2.3".to_owned(),
        device: Device::flex(),
        base_precision: BasePrecision::default_on(&Device::flex()),
        offload: 0,
        out,
        resume: false,
        limits: Limits {
            fetcher: Fetcher { reach: Reach::Anywhere, ..Fetcher::default() },
            ..Limits::default()
        },
    };
    let cancel = Cancel::default();
    let (sender, events) = mpsc::channel();
    let result = thread::scope(|scope| {
        // Clones of a `Cancel` share one flag: this one goes with the run, the other stays here.
        let (request, settings, stop) = (&request, &settings, cancel.clone());
        let worker = scope.spawn(move || -> Result<Outcome, RunError> {
            // An observer that is slow slows the run, and this one only hands on.
            let mut observe = |event| drop(sender.send(event));
            run(request, &TrainOptions::default(), settings, &mut Watch::new(&mut observe, stop))
        });
        for event in events {
            show(&event);
            if let Event::Trained(TrainEvent::Step(step)) = event
                && step.step >= ENOUGH
            {
                cancel.cancel();
            }
        }
        worker.join()
    });
    match result.map_err(|_| "the run panicked")? {
        Err(RunError::Interrupted) if is_unfinished(&settings.out) => {
            println!("stopped; {} can be resumed", settings.out.display());
        }
        other => println!("{:?}", other.map(|outcome| outcome.files.lora_file)),
    }
    Ok(())
}

fn show(event: &Event) {
    match event {
        Event::Started { stage, total } => println!("{}, {total} units", stage.name()),
        Event::Trained(TrainEvent::Step(step)) => {
            println!("step {}: loss {:.4}, {:.2} s", step.step, step.loss, step.time.as_secs_f64());
        }
        Event::Trained(TrainEvent::Evaluated(at)) => {
            println!("loss on fixed draws after step {}: {:.4}", at.step, at.fixed.mean);
        }
        _ => {}
    }
}
