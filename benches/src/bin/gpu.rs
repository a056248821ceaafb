//! A GPU: whether its numbers are right, and what a training step costs at the published width. Needs no FFmpeg.
//!
//! ```text
//! gpu device                     what the device is
//! gpu matmul [--size real|tiny]  products of the model's shapes, and a pass over memory
//! gpu attention [--size real|tiny]
//!                                attention, there and back
//! gpu golden --from FOLDER       what the device computes against the reference's numbers
//! gpu check                      loss and gradients against those of the CPU, with blocks on the host and without
//! gpu train                      a short training, twice: whether the loss falls, and whether the bits are the same
//! gpu step [--size real|tiny] [--preset NAME]... [--layers N] [--rank N] [--steps N] [--kept N|auto]... [--precision NAME]
//!          [--offload N]         training steps with weights of noise, N blocks of them on the host, by phase
//! ```
//!
//! Every line is JSON. Without the feature `cuda` the device is the CPU, for a dry run at the tiny size.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark prints its figures, and what ended it"
)]

use std::{
    collections::BTreeMap, env, io::Write, ops::ControlFlow, path::Path, process::ExitCode, time::Instant,
};

use benches::{
    case::{self, Case, Result},
    examples::Examples,
    golden,
    rates::{self, On, Sizes},
};
use burn::tensor::{DType, Device};
use lora_train::{
    TrainEvent, TrainPlan,
    memory::{Formats, StepSize},
    optimizer::{self, Optimizer},
    step::{self, StepGradients},
    train,
};
use ltx_model::{BasePrecision, Checkpoint, Transformer, TransformerConfig, to_host};
use serde_json::{Value, json};
use tensor_batch::{LatentGrid, Rank};

/// A model, and the latent grids that are trained on it.
struct Size {
    config: TransformerConfig,
    /// Text tokens of a caption.
    context: usize,
    presets: &'static [(&'static str, LatentGrid)],
}

/// The service's sizes with 89 frames.
const PRESETS: [(&str, LatentGrid); 5] = [
    ("low-1x1", LatentGrid { frames: 12, height: 16, width: 16 }),
    ("medium-16x9", LatentGrid { frames: 12, height: 14, width: 24 }),
    ("medium-1x1", LatentGrid { frames: 12, height: 24, width: 24 }),
    ("high-16x9", LatentGrid { frames: 12, height: 17, width: 30 }),
    ("high-1x1", LatentGrid { frames: 12, height: 30, width: 30 }),
];

/// Sizes that a CPU passes in no time.
const TINY: [(&str, LatentGrid); 2] = [
    ("tiny-1x1", LatentGrid { frames: 2, height: 4, width: 4 }),
    ("tiny-16x9", LatentGrid { frames: 2, height: 3, width: 5 }),
];

impl Size {
    fn named(name: &str) -> Result<Self> {
        let real = TransformerConfig::ltx_2_3();
        match name {
            "real" => Ok(Self { config: real, context: 1024, presets: &PRESETS }),
            "tiny" => Ok(Self { config: small(real, 2, 4, 32), context: 16, presets: &TINY }),
            other => Err(format!("there is no size `{other}`: real, tiny").into()),
        }
    }
}

fn small(real: TransformerConfig, layers: usize, heads: usize, head: usize) -> TransformerConfig {
    TransformerConfig {
        num_layers: layers,
        num_attention_heads: heads,
        attention_head_dim: head,
        cross_attention_dim: heads * head,
        ..real
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gpu: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    let options = Options::read(args.get(1..).unwrap_or_default())?;
    // First of all, so that what is free is what nobody uses.
    ltx_model::check_device(&device())?;
    match args.first().map(String::as_str) {
        Some("device") => device_line(),
        Some("matmul") => rates::products(&on()?, options.sizes()?, &mut tell),
        Some("attention") => rates::attentions(&on()?, options.sizes()?, &mut tell),
        Some("golden") => {
            let from = options.last("from").ok_or("`golden` wants --from FOLDER")?;
            golden::compare(Path::new(from), &device(), &mut tell)
        }
        Some("check") => check(),
        Some("train") => train_twice(),
        Some("step") => steps(&options),
        _ => Err("see the head of benches/src/bin/gpu.rs".into()),
    }
}

/// Options by name; an option may be given several times.
struct Options(BTreeMap<String, Vec<String>>);

impl Options {
    fn read(args: &[String]) -> Result<Self> {
        let mut options: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for pair in args.chunks(2) {
            let [name, value] = pair else { return Err("an option without a value".into()) };
            let name = name.strip_prefix("--").ok_or("options begin with --")?;
            options.entry(name.to_owned()).or_default().push(value.clone());
        }
        Ok(Self(options))
    }

    fn last(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.last().map(String::as_str)
    }

    fn sizes(&self) -> Result<&'static Sizes> {
        match self.last("size").unwrap_or("real") {
            "real" => Ok(&Sizes::REAL),
            "tiny" => Ok(&Sizes::TINY),
            other => Err(format!("there is no size `{other}`: real, tiny").into()),
        }
    }

    fn number(&self, name: &str, absent: usize) -> Result<usize> {
        Ok(self.last(name).map(str::parse).transpose()?.unwrap_or(absent))
    }
}

fn tell(line: &Value) -> Result<()> {
    println!("{line}");
    Ok(std::io::stdout().flush()?)
}

#[cfg(feature = "cuda")]
fn device() -> Device {
    Device::cuda(0)
}

#[cfg(not(feature = "cuda"))]
fn device() -> Device {
    Device::flex()
}

/// Operands as a step has them: in bf16, but in float32 on the CPU.
fn on() -> Result<On> {
    let dtype = match BasePrecision::default_on(&device()) {
        BasePrecision::Float32 => DType::F32,
        _ => DType::BF16,
    };
    Ok(On { device: device(), dtype })
}

#[cfg(feature = "cuda")]
fn device_line() -> Result<()> {
    let about = ltx_model::cuda::describe(0)?;
    let memory = ltx_model::cuda::memory(0)?;
    tell(&json!({
        "what": "device", "side": "ours", "device": about.name, "capability": [about.capability.0, about.capability.1],
        "has_attention": about.has_attention, "memory_bytes": memory.total, "free_bytes": memory.free,
    }))
}

#[cfg(not(feature = "cuda"))]
fn device_line() -> Result<()> {
    tell(&json!({"what": "device", "side": "ours", "device": "CPU"}))
}

/// Bytes in use on the device, what the backend holds in reserve included.
#[cfg(feature = "cuda")]
fn used() -> Result<u64> {
    let memory = ltx_model::cuda::memory(0)?;
    Ok(memory.total - memory.free)
}

#[cfg(not(feature = "cuda"))]
fn used() -> Result<u64> {
    Ok(benches::process::peak())
}

/// The distance of two vectors, relative to the length of the second.
fn off(found: &[f32], right: &[f32]) -> f64 {
    let square = |x: f32| f64::from(x).powi(2);
    let apart: f64 = found.iter().zip(right).map(|(a, b)| square(a - b)).sum();
    (apart / right.iter().map(|x| square(*x)).sum::<f64>()).sqrt()
}

/// A model with heads of the published width and a small one whose heads have no kernels, in float32 and in bf16: loss
/// and gradients against those of the CPU in float32.
fn check() -> Result<()> {
    let of = |heads: usize, head: usize| small(TransformerConfig::ltx_2_3(), 2, heads, head);
    let folder = env::temp_dir();
    for (name, config, grid, context) in [
        ("small", of(4, 32), LatentGrid { frames: 3, height: 5, width: 7 }, 40),
        ("wide", of(8, 128), LatentGrid { frames: 3, height: 7, width: 9 }, 77),
    ] {
        let path = folder.join(format!("gpu-check-{name}-{}.safetensors", std::process::id()));
        case::write_model(&path, &config)?;
        let checked = check_model(name, &path, grid, context);
        std::fs::remove_file(&path)?;
        checked?;
    }
    Ok(())
}

fn check_model(name: &str, path: &Path, grid: LatentGrid, context: usize) -> Result<()> {
    let checkpoint = Checkpoint::open(path)?;
    let right = Transformer::load(&checkpoint, &Device::flex(), BasePrecision::Float32)?;
    let case = Case::of(right.config(), grid, context, Rank::R16, right.device())?;
    let right = step::gradients(&right, &case.lora, &case.batch);
    let right_loss = to_host(right.loss.clone()).0;
    for precision in BasePrecision::ALL {
        let model = Transformer::load(&checkpoint, &device(), precision)?;
        let case = Case::of(model.config(), grid, context, Rank::R16, &device())?;
        for kept in [0, 2] {
            let found = step::gradients_keeping(&model, &case.lora, &case.batch, kept);
            let pairs = found.gradients.iter().flatten().zip(right.gradients.iter().flatten());
            let offs = pairs.map(|(a, b)| off(&to_host(a.clone()).0, &to_host(b.clone()).0));
            let loss = to_host(found.loss).0;
            tell(&json!({
                "what": "check", "model": name, "precision": precision.name(), "kept_blocks": kept,
                "loss": loss[0], "loss_off": off(&loss, &right_loss),
                "worst_gradient_off": offs.fold(0.0, f64::max),
            }))?;
        }
        let at_home = bits(&step::gradients_keeping(&model, &case.lora, &case.batch, 0));
        drop(model);
        for hosted in [1, 2] {
            let model = Transformer::load_beside(&checkpoint, &device(), precision, hosted)?;
            let visited = bits(&step::gradients_keeping(&model, &case.lora, &case.batch, 0));
            tell(&json!({
                "what": "offload", "model": name, "precision": precision.name(), "offload": hosted,
                "same_bits": visited == at_home,
            }))?;
        }
    }
    Ok(())
}

/// The bits of losses and gradients.
fn bits(given: &StepGradients) -> Vec<u32> {
    let gradients = given.gradients.iter().flatten().flat_map(|gradient| to_host(gradient.clone()).0);
    to_host(given.loss.clone()).0.into_iter().chain(gradients).map(f32::to_bits).collect()
}

/// A training of a model whose heads have kernels.
fn train_twice() -> Result<()> {
    let config = small(TransformerConfig::ltx_2_3(), 2, 2, 128);
    let examples =
        Examples::noise(2, LatentGrid { frames: 2, height: 6, width: 6 }, [24, config.cross_attention_dim])?;
    let path = env::temp_dir().join(format!("gpu-train-{}.safetensors", std::process::id()));
    case::write_model(&path, &config)?;
    let model = Transformer::load(&Checkpoint::open(&path)?, &device(), BasePrecision::default_on(&device()));
    std::fs::remove_file(&path)?;
    let model = model?;
    let plan = TrainPlan { steps: 120, rank: Rank::R16, learning_rate: 2e-3, ..TrainPlan::default() };
    let mut runs = Vec::new();
    for _ in 0..2 {
        let (mut fixed, start) = (Vec::new(), Instant::now());
        let trained = train(&examples, &model, &plan, &mut |event| {
            if let TrainEvent::Evaluated(evaluation) = event {
                fixed.push(evaluation.fixed.mean);
            }
            ControlFlow::Continue(())
        })?;
        let factors =
            trained.lora().modules().flat_map(|(_, pair)| [pair.lora_a.clone(), pair.lora_b.clone()]);
        let bits: Vec<u32> = factors.flat_map(|factor| to_host(factor).0).map(f32::to_bits).collect();
        runs.push((fixed, bits, start.elapsed().as_secs_f64()));
    }
    let (fixed, bits, seconds) = &runs[0];
    tell(&json!({
        "what": "train", "side": "ours", "steps": plan.steps, "loss_on_fixed_draws": [fixed.first(), fixed.last()],
        "same_bits_again": *bits == runs[1].1, "values": bits.len(), "seconds": seconds,
    }))
}

/// Steps at the published width.
fn steps(options: &Options) -> Result<()> {
    let Size { config, context, presets } = Size::named(options.last("size").unwrap_or("real"))?;
    let layers = options.number("layers", config.num_layers)?;
    let rank = Rank::try_from(options.number("rank", 32)? as u64)?;
    let count = options.number("steps", 3)?;
    let precision: BasePrecision = options.last("precision").unwrap_or("bf16").parse()?;
    let config = TransformerConfig { num_layers: layers, ..config };
    let offload = options.number("offload", 0)?;
    let start = Instant::now();
    let model = Transformer::noise_beside(&config, &device(), precision, offload);
    device().sync()?;
    tell(&json!({
        "what": "model", "side": "ours", "layers": layers, "offload": offload,
        "seconds": start.elapsed().as_secs_f64(), "used_bytes": used()?,
    }))?;
    let wanted = options.0.get("preset").cloned().unwrap_or_default();
    for &(name, grid) in presets {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            let case = Case::of(&config, grid, context, rank, &device())?;
            for kept in options.0.get("kept").cloned().unwrap_or_else(|| vec!["0".to_owned()]) {
                let kept = match kept.as_str() {
                    "auto" => kept_blocks(&model, &case),
                    number => number.parse()?,
                };
                let mut run = Run::new(&model, &case, kept);
                let times = (0..=count).map(|_| run.step()).collect::<Result<Vec<_>>>()?;
                tell(&line(
                    &times,
                    &json!({
                        "what": "step", "side": "ours", "preset": name, "tokens": grid.tokens(), "layers": layers,
                        "rank": rank.get(), "precision": precision.name(), "kept_blocks": run.kept, "loss": run.loss,
                        "offload": offload,
                        "peak_bytes": used()?,
                    }),
                ))?;
            }
        }
    }
    Ok(())
}

/// As many blocks as the device has room for.
fn kept_blocks(model: &Transformer, case: &Case) -> usize {
    let size = StepSize::of(model.config(), &case.lora, &case.batch);
    size.kept_blocks_in(&Formats::of(model), size.kept_bytes_of(model))
}

/// The first time is a warm-up; the median of the others counts.
fn line(times: &[[f64; 2]], about: &Value) -> Value {
    let mut line = about.clone();
    let median = |of: &dyn Fn(&[f64; 2]) -> f64| {
        let mut values: Vec<f64> = times[1..].iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
    };
    line["seconds"] = json!(median(&|[gradients, update]| gradients + update));
    line["phases"] = json!({"gradients": median(&|t| t[0]), "update": median(&|t| t[1])});
    line["first_seconds"] = json!(times[0][0] + times[0][1]);
    line
}

/// Training on one batch.
struct Run<'a> {
    model: &'a Transformer,
    case: Case,
    optimizer: Optimizer,
    kept: usize,
    loss: f32,
}

impl<'a> Run<'a> {
    fn new(model: &'a Transformer, case: &Case, kept: usize) -> Self {
        let case = Case { batch: case.batch.clone(), lora: case.lora.clone() };
        let optimizer = Optimizer::new(TrainPlan::default().adamw(), &case.lora);
        Self { model, case, optimizer, kept, loss: f32::NAN }
    }

    /// The seconds of the gradients, with all that is made of them before the device is waited for, and of the update.
    fn step(&mut self) -> Result<[f64; 2]> {
        let start = Instant::now();
        let StepGradients { loss, gradients } =
            step::gradients_keeping(self.model, &self.case.lora, &self.case.batch, self.kept);
        let gradients = optimizer::side_by_side(gradients);
        let update = self.optimizer.prepare(&mut self.case.lora);
        let norm = optimizer::global_norm(&gradients);
        self.loss = to_host(loss).0[0];
        let between = Instant::now();
        update.apply(&optimizer::clip(gradients, norm, 1.0), 2e-4);
        device().sync()?;
        Ok([(between - start).as_secs_f64(), between.elapsed().as_secs_f64()])
    }
}
