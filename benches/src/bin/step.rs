//! A training step: its time and memory, for `cargo xtask bench step`, which runs it by turns with PyTorch's.
//!
//! ```text
//! step prepare FOLDER LAYERS TOKENS      model and case of noise, as files
//! step serve FOLDER LAYERS TOKENS        a step for every line read; at the end the peak memory
//! step check FOLDER LAYERS TOKENS        loss and gradients against those of another program
//! step memory FOLDER LAYERS TOKENS HOW   the peak memory of a step, predicted and measured
//! step soak                              1,000 steps of the tiny model, and the memory held on the way
//! ```
#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::{
    env,
    io::{self, BufRead, Write},
    path::{Path, PathBuf},
    time::Instant,
};

use benches::{
    case::{self, Case, Result},
    process,
};
use burn::tensor::Device;
use lora_train::{
    TrainPlan,
    memory::StepSize,
    optimizer::{self, Optimizer},
    step::{self, StepGradients},
};
use ltx_model::{Transformer, to_host};
use tensor_batch::Rank;

fn main() -> Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["prepare", folder, layers, tokens] => Files::new(folder, layers, tokens)?.prepare(),
        ["serve", folder, layers, tokens] => Files::new(folder, layers, tokens)?.serve(),
        ["check", folder, layers, tokens] => Files::new(folder, layers, tokens)?.check(),
        ["memory", folder, layers, tokens, how] => Files::new(folder, layers, tokens)?.memory(how),
        ["soak"] => soak(),
        _ => Err("see the head of benches/src/bin/step.rs".into()),
    }
}

/// A size, and where its files are.
struct Files {
    folder: PathBuf,
    layers: usize,
    tokens: usize,
}

impl Files {
    fn new(folder: &str, layers: &str, tokens: &str) -> Result<Self> {
        Ok(Self { folder: folder.into(), layers: layers.parse()?, tokens: tokens.parse()? })
    }

    fn model(&self) -> PathBuf {
        self.folder.join(format!("model-{}.safetensors", self.layers))
    }

    fn at(&self, what: &str) -> PathBuf {
        self.folder.join(format!("{what}-{}-{}.safetensors", self.layers, self.tokens))
    }

    fn prepare(&self) -> Result<()> {
        let config = case::config(self.layers);
        if !self.model().exists() {
            case::write_model(&self.model(), &config)?;
        }
        Case::new(&config, self.tokens, &Device::flex())?.write(&self.at("case"))
    }

    fn load(&self) -> Result<(Transformer, Case)> {
        let model = case::model(&self.model(), &Device::flex())?;
        let case = Case::new(model.config(), self.tokens, model.device())?;
        Ok((model, case))
    }

    /// One step a line, answered with its seconds; then the peak memory in bytes.
    fn serve(&self) -> Result<()> {
        // As the command does.
        rayon::ThreadPoolBuilder::new().use_current_thread().build_global()?;
        let (model, case) = self.load()?;
        let mut run = Run::new(&model, case);
        for line in io::stdin().lock().lines() {
            line?;
            let start = Instant::now();
            run.step();
            println!("{}", start.elapsed().as_secs_f64());
            io::stdout().flush()?;
        }
        println!("{}", process::peak());
        Ok(())
    }

    /// The peak of three steps above what the process itself holds, against what was predicted. The steps recompute the
    /// graphs of all blocks or keep them, or recompute them and average the gradients of adapters so large that it shows.
    /// Each in a process of its own: an allocator does not give back all that earlier steps held.
    fn memory(&self, how: &str) -> Result<()> {
        let (rank, kept_bytes, accumulation) = match how {
            "recomputed" => (case::RANK, 0, 1),
            "kept" => (case::RANK, step::KEPT_BYTES, 1),
            "averaged" => (Rank::R128, 0, 3),
            _ => return Err("memory is measured recomputed, kept or averaged".into()),
        };
        let itself = process::resident();
        let model = case::model(&self.model(), &Device::flex())?;
        let grid = case::grid(self.tokens)?;
        let case = Case::of(model.config(), grid, case::CONTEXT, rank, model.device())?;
        let size = StepSize {
            accumulation: accumulation as u64,
            ..StepSize::of(model.config(), &case.lora, &case.batch)
        };
        let mut run = Run { kept_bytes, accumulation, ..Run::new(&model, case) };
        process::reset_peak();
        (0..3).for_each(|_| run.step());
        let (measured, predicted) = (process::peak().saturating_sub(itself), size.memory(kept_bytes).total());
        let ratio = predicted as f64 / measured as f64;
        println!(
            "{:>3} layers {:>5} tokens {how:<10} predicted {:>6} MiB, measured {:>6} MiB, ratio {ratio:.2}",
            self.layers,
            self.tokens,
            predicted >> 20,
            measured >> 20,
        );
        let is_right = (0.85..=1.15).contains(&ratio);
        if is_right { Ok(()) } else { Err("the prediction is off by more than 15 %".into()) }
    }

    /// How far loss and gradients are from those in `gradients-*.safetensors`, relative to their size.
    fn check(&self) -> Result<()> {
        let (model, case) = self.load()?;
        let StepGradients { loss: found_loss, gradients } = step::gradients(&model, &case.lora, &case.batch);
        let found_loss = to_host(found_loss).0;
        let right = case::read(&self.at("gradients"))?;
        let missing = |key: &str| format!("the other program gave no {key}");
        let loss = right.get("loss").ok_or_else(|| missing("loss"))?;
        println!("loss: {} here, {} there, off by {:.1e}", found_loss[0], loss[0], off(&found_loss, loss));
        let mut worst = 0.0f64;
        for ((module, _), found) in case.lora.modules().zip(&gradients) {
            for (factor, gradient) in ["lora_A", "lora_B"].iter().zip(found) {
                let key = format!("{module}.{factor}");
                let right = right.get(&key).ok_or_else(|| missing(&key))?;
                worst = worst.max(off(&to_host(gradient.clone()).0, right));
            }
        }
        println!("gradients of {} factors: off by {worst:.1e} at most", 2 * gradients.len());
        if worst.max(off(&found_loss, loss)) > 1e-4 { Err("more than 1e-4 apart".into()) } else { Ok(()) }
    }
}

/// The distance of two vectors, relative to the length of the second.
fn off(found: &[f32], right: &[f32]) -> f64 {
    let square = |x: f32| f64::from(x).powi(2);
    let apart: f64 = found.iter().zip(right).map(|(a, b)| square(a - b)).sum();
    (apart / right.iter().map(|x| square(*x)).sum::<f64>()).sqrt()
}

/// Training on one batch.
struct Run<'a> {
    model: &'a Transformer,
    case: Case,
    optimizer: Optimizer,
    kept_bytes: u64,
    /// Micro-steps whose gradients are averaged.
    accumulation: usize,
}

impl<'a> Run<'a> {
    fn new(model: &'a Transformer, case: Case) -> Self {
        let optimizer = Optimizer::new(TrainPlan::default().adamw(), &case.lora);
        Self { model, case, optimizer, kept_bytes: step::KEPT_BYTES, accumulation: 1 }
    }

    /// A whole step: noising, gradients, clipping, update.
    fn step(&mut self) {
        let mut sum = None;
        for _ in 0..self.accumulation {
            let result =
                step::gradients_within(self.model, &self.case.lora, &self.case.batch, self.kept_bytes);
            let gradients = optimizer::side_by_side(result.gradients);
            sum = Some(optimizer::accumulate(sum, gradients, self.accumulation));
        }
        let Some(gradients) = sum else { return };
        let update = self.optimizer.prepare(&mut self.case.lora);
        let norm = optimizer::global_norm(&gradients);
        update.apply(&optimizer::clip(gradients, norm, 1.0), 2e-4);
    }
}

/// Steps of the tiny model, and what the process holds every hundred of them.
fn soak() -> Result<()> {
    let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/tiny/tiny-ltx-2.3.safetensors");
    let model = case::model(&tiny, &Device::flex())?;
    let mut run = Run::new(&model, Case::new(model.config(), 32, model.device())?);
    let mut held = Vec::new();
    for _ in 0..10 {
        (0..100).for_each(|_| run.step());
        held.push(process::resident());
    }
    let mib: Vec<String> =
        held.iter().map(|bytes| format!("{:.1}", *bytes as f64 / f64::from(1 << 20))).collect();
    println!("1,000 steps of the tiny model hold, every hundred, MiB: {}", mib.join(" "));
    // The allocator settles within the first hundred steps.
    let growth = held[9] as f64 / held[0] as f64;
    println!("ratio soak-memory {growth:.3} (after 1,000 steps / after 100)");
    Ok(())
}
