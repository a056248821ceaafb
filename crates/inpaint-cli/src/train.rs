//! `inpaint train`: the main job.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use inpaint_trainer::{
    Answer, BasePrecision, Cancel, Outcome, RunError, Settings, TrainOptions, TrainRequest, Watch,
    is_unfinished,
};
use tensor_batch::Bucket;

use crate::{
    args::{BadRequest, ModelArgs, TrainArgs, limits},
    assets::Assets,
    freed,
    progress::Progress,
    say,
};

/// What the demo trains at, small enough for a laptop.
pub(crate) const DEMO_BUCKET: &str = "256x256x25";
const DEMO_STEPS: &str = "number_of_steps=100";

pub(crate) fn train(args: &TrainArgs) -> ExitCode {
    let json = args.request.json;
    let settings = match settings(&args.model, &args.out, args.resume) {
        Ok(settings) => settings,
        Err(bad) => return refuse(bad, json),
    };
    let (request, options) = match request(args) {
        Ok(checked) => checked,
        Err(bad) => return refuse(bad, json),
    };
    let mut progress = Progress::new(json);
    let cancel = Cancel::default();
    on_interrupt(&cancel);
    if !json {
        announce(&request, &settings);
    }
    let mut observe = |event| {
        progress.show(&event);
        freed::after(&event);
    };
    let mut watch = Watch::new(&mut observe, cancel);
    let result = inpaint_trainer::run(&request, &options, &settings, &mut watch);
    let answer = json.then(|| Answer::of_run(&result, request.estimated_units()));
    match (&result, &answer) {
        (Err(error), _) => {
            let code = say::error(error, answer.as_ref());
            let is_kept = !matches!(error, RunError::Rejected { .. }) && is_unfinished(&settings.out);
            if !json && is_kept {
                let out = settings.out.display();
                say::tell(&format!("the run is kept in {out}: the same command with --resume goes on"));
            }
            return code;
        }
        (Ok(_), Some(answer)) => say::json(answer),
        (Ok(outcome), None) => conclude(outcome, args, &settings),
    }
    ExitCode::SUCCESS
}

/// Tells the run to stop at the first Ctrl-C; the second one ends the process.
pub(crate) fn on_interrupt(cancel: &Cancel) {
    let cancel = cancel.clone();
    let handler = move || {
        if cancel.is_cancelled() {
            std::process::exit(130);
        }
        say::tell("stopping after this step; again to stop at once");
        cancel.cancel();
    };
    if let Err(error) = ctrlc::set_handler(handler) {
        say::tell(&format!("warning: Ctrl-C cannot be caught: {error}"));
    }
}

/// Answers a request that cannot be read.
pub(crate) fn refuse(bad: BadRequest, json: bool) -> ExitCode {
    match bad {
        BadRequest::Faults(faults) => {
            let error = RunError::from(faults);
            say::error(&error, json.then(|| Answer::of_error(&error)).as_ref())
        }
        BadRequest::Usage(message) => say::usage(&message, json),
        BadRequest::Assets(message) => say::failure(&message, json),
    }
}

/// The operator's side, of whatever is done in `out`.
pub(crate) fn settings(args: &ModelArgs, out: &Path, resume: bool) -> Result<Settings, BadRequest> {
    let (checkpoint, text_encoder) = match (args.model.as_str(), &args.text_encoder) {
        ("tiny", None) => {
            let assets = Assets::find().map_err(BadRequest::Assets)?;
            (assets.checkpoint(), assets.text_encoder())
        }
        ("tiny", Some(folder)) => (Assets::find().map_err(BadRequest::Assets)?.checkpoint(), folder.clone()),
        (file, Some(folder)) => (PathBuf::from(file), folder.clone()),
        (_, None) => {
            return Err(BadRequest::Usage("--model needs --text-encoder, the folder of Gemma 3".to_owned()));
        }
    };
    let base_model = checkpoint.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Settings {
        checkpoint,
        text_encoder,
        base_model,
        device: args.device.clone(),
        base_precision: args.base_precision.unwrap_or_else(|| BasePrecision::default_on(&args.device)),
        offload: args.offload,
        out: out.to_owned(),
        resume,
        limits: limits(),
    })
}

/// The request; without a dataset and a request it is the demo.
fn request(args: &TrainArgs) -> Result<(TrainRequest, TrainOptions), BadRequest> {
    let own = args.dataset.is_some()
        || args.request.request.is_some()
        || args.request.set.iter().any(|pair| pair.starts_with("training_data_url="));
    if own {
        return args.request.checked(args.dataset.as_deref(), args.model.seed, &[]);
    }
    let demo = Assets::find().and_then(|assets| assets.demo()).map_err(BadRequest::Assets)?;
    let preset = [format!("training_data_url={}", demo.display()), DEMO_STEPS.to_owned()];
    let (request, options) = args.request.checked(None, args.model.seed, &preset)?;
    match DEMO_BUCKET.parse::<Bucket>() {
        Ok(bucket) if args.request.bucket.is_none() => Ok((request.with_bucket(bucket), options)),
        _ => Ok((request, options)),
    }
}

fn announce(request: &TrainRequest, settings: &Settings) {
    let units = request.estimated_units();
    say::tell(&format!(
        "{} steps of rank {} at {} on {}; {} units when finished ({})",
        request.number_of_steps(),
        request.rank(),
        request.bucket(),
        settings.base_model,
        units.get(),
        units.price()
    ));
}

/// Where everything is, and what to do next.
fn conclude(outcome: &Outcome, args: &TrainArgs, settings: &Settings) {
    let out = settings.out.display();
    if let Some(aside) = &outcome.set_aside {
        say::result(&format!("an earlier run is now in {}", aside.display()));
    }
    let units = outcome.completed.units();
    say::result(&format!(
        "trained on {} examples: {} units, {}",
        outcome.report.examples.len(),
        units.get(),
        units.price()
    ));
    let files = &outcome.files;
    let named = [
        (Some(&files.lora_file), "the LoRA, for ComfyUI, diffusers and PEFT"),
        (Some(&files.config_file), "what it was trained with"),
        (Some(&files.report_file), "the run on one page: open it in a browser"),
        (files.video.as_ref(), "the previews, side by side"),
        (Some(&files.metrics_file), "loss, sigma and rate of every step, numbers of previews"),
        (files.debug_dataset.as_ref(), "fitted clips, masks and latents, to look at or to train on"),
    ];
    for (file, what) in named {
        if let Some(file) = file {
            say::result(&format!("  {out}/{:<22} {:>10}  {what}", file.file_name, say::size(file.file_size)));
        }
    }
    if let [_, ..] = &files.preview_loras[..] {
        let count = files.preview_loras.len();
        say::result(&format!("  {out}/loras/ {count:>26}  LoRAs of earlier steps, to choose from"));
    }
    if args.model.model == "tiny" {
        say::result(
            "the tiny model has random weights: its LoRA proves the road, not the picture. Next:\n  \
             your own data:      cargo xtask train --dataset CLIPS.zip --bucket 256x256x25\n  \
             a real checkpoint:  cargo xtask train --dataset CLIPS.zip --model ltx-2.3-22b-dev.safetensors \
             --text-encoder GEMMA_DIR",
        );
    }
}
