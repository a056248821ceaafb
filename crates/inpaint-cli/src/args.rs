//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use inpaint_trainer::{
    BasePrecision, Device, Draft, Fetcher, Limits, Reach, RequestError, TrainOptions, TrainRequest,
};
use serde_json::{Map, Value};
use tensor_batch::Bucket;

#[derive(Debug, Parser)]
#[command(name = "inpaint", version, about = "Train video-inpainting LoRAs for LTX-2.3")]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Train a LoRA; without arguments, the tiny model on the demo dataset
    Train(TrainArgs),
    /// Check a dataset as a training would, up to the encoders; costs nothing
    Check(CheckArgs),
    /// Look into a LoRA file of any trainer: rank, modules, types, metadata, and whether it is sound
    Inspect(InspectArgs),
    /// Inpaint one video, with a LoRA or without
    Preview(PreviewArgs),
}

#[derive(Debug, Args)]
pub(crate) struct RequestArgs {
    /// A training request as JSON; other arguments override it
    #[arg(long, value_name = "FILE.json")]
    pub(crate) request: Option<PathBuf>,
    /// Set a field of the request, or a training option (latent_rule, mask_grow_pixels, mask_grow_frames, scheduler,
    /// accumulation, max_grad_norm, weight_decay, seed, timestep_sampler, holdout_examples, fixed_loss_every,
    /// snapshot_every, preview_every, preview_steps, preview_cfg, preview_rescale, preview_stg_block, preview_schedule,
    /// preview_feather, preview_truth, preview_loras)
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Size of training and validation, instead of resolution, aspect ratio and frames: multiples of 32, 8k+1 frames
    #[arg(long, value_name = "WxHxF")]
    pub(crate) bucket: Option<Bucket>,
    /// Print one JSON object to stdout, and nothing else there
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct TrainArgs {
    /// The archive of clips and masks: a .zip file or an http(s) URL [default: the demo dataset]
    #[arg(long, value_name = "PATH|URL")]
    pub(crate) dataset: Option<String>,
    #[command(flatten)]
    pub(crate) request: RequestArgs,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// Folder of the results; an earlier run's are set aside as DIR.1, DIR.2, ...
    #[arg(long, value_name = "DIR", default_value = "out")]
    pub(crate) out: PathBuf,
    /// Go on with the unfinished run in the folder of the results; the other arguments must be what they were
    #[arg(long)]
    pub(crate) resume: bool,
}

/// What computes.
#[derive(Debug, Args)]
pub(crate) struct ModelArgs {
    /// The checkpoint: `tiny`, which comes with this program, or an LTX-2.3 file
    #[arg(long, value_name = "tiny|FILE.safetensors", default_value = "tiny")]
    pub(crate) model: String,
    /// The folder of the Gemma text encoder [default: the tiny model's own]
    #[arg(long, value_name = "DIR")]
    pub(crate) text_encoder: Option<PathBuf>,
    /// Where to compute
    #[arg(long, value_name = "cpu|cuda[:N]", default_value = "cpu", value_parser = device)]
    pub(crate) device: Device,
    /// How the frozen weights are kept [default: f32 on the CPU, bf16 elsewhere]
    #[arg(long, value_name = "f32|bf16|int8")]
    pub(crate) base_precision: Option<BasePrecision>,
    /// How many blocks of the transformer wait in the host's memory and visit the device when their turn comes
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) offload: usize,
    /// Seed of every random draw [default: 42]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct PreviewArgs {
    /// The video: a file or an http(s) URL
    #[arg(long, value_name = "PATH|URL")]
    pub(crate) video: String,
    /// Its mask, an image or a video: white is regenerated
    #[arg(long, value_name = "PATH|URL")]
    pub(crate) mask: String,
    /// What the white area shall show
    #[arg(long, value_name = "TEXT")]
    pub(crate) prompt: String,
    /// The LoRA [default: none, the model as it is]
    #[arg(long, value_name = "FILE.safetensors")]
    pub(crate) lora: Option<PathBuf>,
    /// Where the result goes; the decoder's own output lies beside it as FILE-plain.mp4
    #[arg(long, value_name = "FILE.mp4", default_value = "preview.mp4")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) request: RequestArgs,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// The archive of clips and masks: a .zip file or an http(s) URL
    #[arg(value_name = "DATASET")]
    pub(crate) dataset: Option<String>,
    #[command(flatten)]
    pub(crate) request: RequestArgs,
    /// Write a contact sheet: frames of every example with the mask laid over and the latent cells outlined
    #[arg(long, value_name = "FILE.png")]
    pub(crate) sheet: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// The LoRA
    #[arg(value_name = "FILE.safetensors")]
    pub(crate) file: PathBuf,
    /// Print one JSON object to stdout, and nothing else there
    #[arg(long)]
    pub(crate) json: bool,
}

/// What a run may take and reach on its user's own machine.
pub(crate) fn limits() -> Limits {
    let fetcher = Fetcher { reach: Reach::Anywhere, ..Fetcher::default() };
    Limits { fetcher, ..Limits::default() }
}

fn device(text: &str) -> Result<Device, String> {
    let unknown = || "expected `cpu`, `cuda` or `cuda:N`".to_owned();
    let index = match text.strip_prefix("cuda") {
        None if text == "cpu" => return Ok(Device::flex()),
        None => return Err(unknown()),
        Some("") => 0,
        Some(rest) => rest.strip_prefix(':').and_then(|index| index.parse().ok()).ok_or_else(unknown)?,
    };
    gpu(index)
}

#[cfg(feature = "cuda")]
#[allow(clippy::unnecessary_wraps, reason = "without the feature there is an error")]
fn gpu(index: usize) -> Result<Device, String> {
    Ok(Device::cuda(index))
}

#[cfg(not(feature = "cuda"))]
fn gpu(_: usize) -> Result<Device, String> {
    Err("this program was built without CUDA (feature `cuda` of inpaint-cli); use `cpu`".to_owned())
}

/// What the request arguments say together.
#[derive(Debug)]
pub(crate) enum BadRequest {
    /// Its faults.
    Faults(RequestError),
    /// The command line or the request file cannot be understood.
    Usage(String),
    /// Something that comes with the program is missing.
    Assets(String),
}

impl RequestArgs {
    /// Puts request file, settings, dataset and seed together and checks them; `preset` holds what applies where
    /// nothing else is said.
    pub(crate) fn checked(
        &self,
        dataset: Option<&str>,
        seed: Option<u64>,
        preset: &[String],
    ) -> Result<(TrainRequest, TrainOptions), BadRequest> {
        self.checked_with(preset, dataset, seed, &[])
    }

    /// The same, with settings of the command's own that override all others.
    pub(crate) fn checked_with(
        &self,
        preset: &[String],
        dataset: Option<&str>,
        seed: Option<u64>,
        own: &[String],
    ) -> Result<(TrainRequest, TrainOptions), BadRequest> {
        let mut draft = Draft::new(self.file()?).map_err(BadRequest::Faults)?;
        preset.iter().for_each(|pair| draft.set(pair));
        if let Some(dataset) = dataset {
            draft.set(&format!("training_data_url={dataset}"));
        }
        if let Some(seed) = seed {
            draft.set(&format!("seed={seed}"));
        }
        self.set.iter().chain(own).for_each(|pair| draft.set(pair));
        let (request, options) = draft.check().map_err(BadRequest::Faults)?;
        match self.bucket {
            Some(bucket) => Ok((request.with_bucket(bucket), options)),
            None => Ok((request, options)),
        }
    }

    fn file(&self) -> Result<Value, BadRequest> {
        let Some(path) = &self.request else { return Ok(Value::Object(Map::new())) };
        let bad = |reason: String| {
            BadRequest::Usage(format!("cannot read the request {}: {reason}", path.display()))
        };
        let text = std::fs::read_to_string(path).map_err(|e| bad(e.to_string()))?;
        serde_json::from_str(&text).map_err(|e| bad(e.to_string()))
    }
}
