//! Trains what a request asks for, and says what came out.
//!
//! ```sh
//! cargo run --release -p inpaint-trainer --example train -- REQUEST.json CHECKPOINT GEMMA_DIR OUT
//! ```
#![allow(clippy::print_stdout, reason = "an example talks to whoever started it")]

use std::{error::Error, fs, path::PathBuf};

use inpaint_trainer::{
    Answer, BasePrecision, Cancel, Device, Draft, Event, Fetcher, Limits, Reach, RunError, Settings, Watch,
    run,
};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let mut next = || arguments.next().ok_or("train REQUEST.json CHECKPOINT GEMMA_DIR OUT");
    let (request, checkpoint, text_encoder, out) = (next()?, next()?, next()?, next()?);

    // A request is JSON; `set` overrides fields of it, and sets training options beside it.
    let mut draft = Draft::new(serde_json::from_slice(&fs::read(request)?)?)?;
    draft.set("holdout_examples=1");
    let (request, options) = draft.check()?;
    println!("{} units if it finishes ({})", request.estimated_units(), request.estimated_units().price());

    let settings = Settings {
        checkpoint,
        text_encoder,
        base_model: "ltx-2.3".to_owned(),
        device: Device::flex(),
        base_precision: BasePrecision::default_on(&Device::flex()),
        offload: 0,
        out,
        resume: false,
        // This is its user's own machine: files may be read. A service leaves the fetcher as it comes.
        limits: Limits {
            fetcher: Fetcher { reach: Reach::Anywhere, ..Fetcher::default() },
            ..Limits::default()
        },
    };
    let mut observe = |event: Event| match event {
        Event::Started { stage, .. } => println!("{}", stage.name()),
        Event::Warned(warning) => println!("  {}: {}", warning.kind, warning.message),
        _ => {}
    };
    let result = run(&request, &options, &settings, &mut Watch::new(&mut observe, Cancel::default()));
    // Every fault of a request comes at once, each with its place.
    if let Err(RunError::Rejected { details, .. }) = &result {
        details.iter().for_each(|detail| println!("  {detail}"));
    }
    println!("{}", serde_json::to_string_pretty(&Answer::of_run(&result, request.estimated_units()))?);
    Ok(())
}
