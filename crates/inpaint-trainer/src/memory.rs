//! The memory of a job, stage by stage, before anything is loaded: what it will hold on the device and on the host,
//! whether that is there, and if not, which settings would do.

mod free;
mod stages;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, fmt};

use lora_train::{memory::Formats, step::KEPT_BYTES};
use ltx_model::{
    BasePrecision, CONTEXT_TOKENS, Checkpoint, ConnectorConfig, GemmaConfig, LoraPair, ModelError,
    TransformerConfig, TransformerLora, VaeConfig,
};
use tensor_batch::{Blame, Bucket, Caption, Fault, Rank};

use crate::{Settings, TrainRequest, Watch, clips::FittedClips};

pub use free::{Free, Memory};

/// What the model is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Adapters are trained, and previews made on the way, if there are to be any.
    Training {
        /// Micro-steps whose gradients are averaged, at least 1.
        accumulation: usize,
    },
    /// One preview is made.
    Inpainting {
        /// Bytes of the adapters; 0 without.
        adapters: u64,
    },
}

/// Everything that decides how much memory a job takes.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// What it is there for.
    pub purpose: Purpose,
    /// The transformer.
    pub transformer: TransformerConfig,
    /// The video VAE.
    pub vae: VaeConfig,
    /// The text model.
    pub gemma: GemmaConfig,
    /// What makes a context of its states.
    pub connector: ConnectorConfig,
    /// How large the clips are.
    pub bucket: Bucket,
    /// How large previews are, if there are any.
    pub preview: Option<Bucket>,
    /// Of the adapters.
    pub rank: Rank,
    /// Tokens of the longest caption, at most.
    pub caption_tokens: usize,
    /// Distinct prompts.
    pub prompts: usize,
    /// How the frozen weights are kept.
    pub base: BasePrecision,
    /// Blocks whose weights stay on the host and visit the device.
    pub offload: usize,
    /// Bytes of the forward pass that a training step keeps rather than computing them twice.
    pub kept_bytes: u64,
    /// Whether device and host are one and the same memory: the CPU.
    pub unified: bool,
}

impl Job {
    /// A job of the published models with the caption of a whole context: the most that one of its size can take.
    pub fn published(bucket: Bucket, rank: Rank, base: BasePrecision, unified: bool) -> Self {
        Self {
            purpose: Purpose::Training { accumulation: 1 },
            transformer: TransformerConfig::ltx_2_3(),
            vae: VaeConfig::ltx_2_3(),
            gemma: GemmaConfig::gemma_3_12b(),
            connector: ConnectorConfig::ltx_2_3(),
            bucket,
            preview: None,
            rank,
            caption_tokens: CONTEXT_TOKENS,
            prompts: 1,
            base,
            offload: 0,
            kept_bytes: 0,
            unified,
        }
    }

    fn formats(&self) -> Formats {
        if self.unified { Formats::cpu(self.base) } else { Formats::gpu(self.base) }
    }
}

/// The job of a run on these clips with these samples of previews. Nothing is loaded.
pub(crate) fn job(
    purpose: Purpose,
    request: &TrainRequest,
    settings: &Settings,
    base: &Checkpoint,
    [clips, samples]: [&FittedClips; 2],
) -> Result<Job, ModelError> {
    let unified = free::on_cpu(&settings.device);
    let prompts =
        clips.examples().iter().map(|example| Caption::prompt(request.trigger_phrase(), example.caption()));
    let shown = samples.examples().iter().map(|sample| Caption::prompt("", sample.caption()));
    let mut prompts: BTreeSet<String> = prompts.chain(shown).collect();
    let preview = (!samples.examples().is_empty()).then(|| request.validation_bucket());
    prompts.extend(preview.map(|_| request.validation_negative_prompt().to_owned()));
    let longest = prompts.iter().map(String::len).max().unwrap_or(0);
    Ok(Job {
        purpose,
        transformer: TransformerConfig::of(base)?,
        vae: VaeConfig::of(base)?,
        gemma: GemmaConfig::open(&settings.text_encoder)?,
        connector: ConnectorConfig::of(base)?,
        bucket: request.bucket(),
        preview,
        rank: request.rank(),
        // A token is at least a byte, and one stands in front of all.
        caption_tokens: (longest + 1).min(CONTEXT_TOKENS),
        prompts: prompts.len(),
        base: settings.base_precision,
        offload: settings.offload,
        kept_bytes: if unified { KEPT_BYTES } else { 0 },
        unified,
    })
}

/// The job of one preview of a sample, with adapters or without. Nothing is loaded but these.
pub(crate) fn preview_job(
    request: &TrainRequest,
    settings: &Settings,
    base: &Checkpoint,
    [clips, samples]: [&FittedClips; 2],
    lora: Option<&TransformerLora>,
) -> Result<Job, ModelError> {
    let values = |pair: &LoraPair| pair.lora_a.shape().num_elements() + pair.lora_b.shape().num_elements();
    let adapters = lora.map_or(0, |lora| lora.modules().map(|(_, pair)| 4 * values(pair) as u64).sum());
    let job = job(Purpose::Inpainting { adapters }, request, settings, base, [clips, samples])?;
    Ok(Job { bucket: request.validation_bucket(), ..job })
}

/// What `job` will hold in memory, if that is there.
///
/// # Errors
/// If it is not, with what would fit.
pub(crate) fn planned(
    job: &Job,
    settings: &Settings,
    watch: &mut Watch<'_>,
) -> Result<MemoryPlan, MemoryError> {
    let plan = MemoryPlan::of(job, settings.limits.memory.free(&settings.device));
    watch.planned(&plan);
    plan.check(job)?;
    Ok(plan)
}

/// What memory holds in a stage, bytes. On the CPU all of it is on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Held {
    /// Frozen weights on the device.
    pub weights: u64,
    /// Adapters, their gradients, the sum of these where there are several micro-steps, and moments.
    pub adapters: u64,
    /// What is computed: activations, and what kernels take besides.
    pub activations: u64,
    /// The device's context, and what its allocator leaves between tensors.
    pub overhead: u64,
    /// On the host.
    pub host: u64,
}

impl Held {
    /// All that is on the device.
    pub fn device(&self) -> u64 {
        self.weights + self.adapters + self.activations + self.overhead
    }
}

/// A stage of the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageMemory {
    /// What is done, in two words.
    pub what: &'static str,
    /// How it is done where there is a choice, such as the size of tiles; empty where there is none.
    pub how: String,
    /// What memory holds.
    pub held: Held,
}

/// How the parts of a job are cut so that they fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cuts {
    /// Side of the square tiles that clips are encoded in, and what they share, pixels; whole clips if none.
    pub tile: Option<[usize; 2]>,
    /// Captions whose hidden states are in memory together.
    pub captions: usize,
    /// Frames and side of the tiles that previews are decoded in.
    pub preview: [usize; 2],
}

impl Default for Cuts {
    /// Whole clips, and previews in small tiles.
    fn default() -> Self {
        Self { tile: None, captions: 8, preview: [48, 384] }
    }
}

/// The memory of a job, stage by stage. A stage's memory is given back when it ends, so the largest decides.
#[derive(Debug, Clone, PartialEq)]
pub struct MemoryPlan {
    /// The stages, in order.
    pub stages: Vec<StageMemory>,
    /// How the encoders' work is cut.
    pub cuts: Cuts,
    /// Whether device and host are one memory.
    pub unified: bool,
    /// What is free.
    pub free: Free,
}

impl MemoryPlan {
    /// Plans `job` for what is `free`; clips and captions are cut as far as that takes.
    pub fn of(job: &Job, free: Free) -> Self {
        stages::planned(job, free)
    }

    /// The most that any stage holds: on the device, and on the host.
    pub fn peak(&self) -> [u64; 2] {
        let of = |held: fn(&Held) -> u64| self.stages.iter().map(|stage| held(&stage.held)).max();
        [of(Held::device).unwrap_or(0), of(|held| held.host).unwrap_or(0)]
    }

    /// The first stage that what is free does not hold. What is not known counts as enough.
    pub fn misfit(&self) -> Option<&StageMemory> {
        self.stages.iter().find(|stage| !self.free.holds(&stage.held, self.unified))
    }

    /// Fails if a stage does not fit, with the settings that would make `job` fit.
    ///
    /// # Errors
    /// [`MemoryError`].
    pub fn check(&self, job: &Job) -> Result<(), MemoryError> {
        let Some(stage) = self.misfit() else { return Ok(()) };
        let needed = if self.unified {
            [stage.held.device() + stage.held.host; 2]
        } else {
            [stage.held.device(), stage.held.host]
        };
        let remedies = stages::remedies(job, self.free);
        Err(MemoryError { what: stage.what, needed, free: self.free, unified: self.unified, remedies })
    }
}

/// A job that does not fit into memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryError {
    /// The stage that does not fit.
    pub what: &'static str,
    /// Bytes that it needs: on the device, and on the host.
    pub needed: [u64; 2],
    /// Bytes that are free.
    pub free: Free,
    /// Whether device and host are one memory.
    pub unified: bool,
    /// Settings with which the job would fit, the least change first; none if nothing helps.
    pub remedies: Vec<String>,
}

impl std::error::Error for MemoryError {}

impl fmt::Display for MemoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gb = |bytes: u64| format!("{:.1} GB", bytes as f64 / 1e9);
        let free = |bytes: Option<u64>| bytes.map_or_else(|| "an unknown amount".to_owned(), gb);
        write!(f, "{} does not fit into memory: ", self.what)?;
        if self.unified {
            write!(f, "{} are needed, {} are free", gb(self.needed[0]), free(self.free.host))?;
        } else {
            let [device, host] = self.needed.map(gb);
            write!(f, "{device} of the device's are needed, {} are free; ", free(self.free.device))?;
            write!(f, "{host} of the host's, {} are free", free(self.free.host))?;
        }
        match self.remedies.as_slice() {
            [] => f.write_str("; no setting makes it fit"),
            remedies => write!(f, "; it would fit with {}", remedies.join(", or with ")),
        }
    }
}

impl Blame for MemoryError {
    /// Which machine a job runs on is the operator's choice.
    fn fault(&self) -> Fault {
        Fault::Service
    }

    fn kind(&self) -> &'static str {
        "memory"
    }
}

impl fmt::Display for MemoryPlan {
    /// One line a stage, in GB.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gb = |bytes: u64| format!("{:.1}", bytes as f64 / 1e9);
        let free = |bytes: Option<u64>| bytes.map_or_else(|| "unknown".to_owned(), gb);
        let last = self.stages.len().saturating_sub(1);
        for (i, StageMemory { what, how, held }) in self.stages.iter().enumerate() {
            let device = if self.unified { held.device() + held.host } else { held.device() };
            write!(f, "{what:<16} {:>5} GB", gb(device))?;
            if !self.unified {
                write!(f, " on the device, {:>4} GB on the host", gb(held.host))?;
            }
            let parts =
                [("weights", held.weights), ("adapters", held.adapters), ("activations", held.activations)];
            let parts = parts.into_iter().filter(|(_, bytes)| *bytes > 0);
            let parts: Vec<String> = parts.map(|(name, bytes)| format!("{name} {}", gb(bytes))).collect();
            write!(f, " ({}", parts.join(", "))?;
            if !how.is_empty() {
                write!(f, "; {how}")?;
            }
            f.write_str(if i == last { ")" } else { ")\n" })?;
        }
        match (self.unified, self.free) {
            (true, Free { host, .. }) => write!(f, "\nfree: {} GB", free(host)),
            (false, Free { device, host }) => {
                write!(f, "\nfree: {} GB on the device, {} GB on the host", free(device), free(host))
            }
        }
    }
}
