//! The memory of a training step, before it is made.
//!
//! Activations are counted in streams, a stream being one tensor as large as the residual one, `B T D`; what belongs
//! to the text is counted in contexts, `B S C`. Adapters, their gradients and moments are float32 in any case.

use ltx_model::{BasePrecision, Device, Transformer, TransformerConfig, TransformerLora, device_memory};
use tensor_batch::LatentExample;

use crate::{
    TrainPlan,
    step::{Batch, KEPT_BYTES},
};

const FLOAT: u64 = 4;

const FLOAT32: Formats = Formats::cpu(BasePrecision::Float32);

/// Everything that decides how much memory a step takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepSize {
    /// Blocks.
    pub layers: u64,
    /// Inner width, D.
    pub width: u64,
    /// Width of the text context, C.
    pub context_width: u64,
    /// Attention heads, H.
    pub heads: u64,
    /// Latent channels.
    pub channels: u64,
    /// Samples, B.
    pub batch: u64,
    /// Video tokens of a sample, T.
    pub tokens: u64,
    /// Text tokens of a sample, S.
    pub context: u64,
    /// Rank of every adapter.
    pub rank: u64,
    /// Micro-steps whose gradients are averaged.
    pub accumulation: u64,
}

/// The number formats of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Formats {
    /// How the frozen weights are kept.
    pub base: BasePrecision,
    /// Bytes of a value of the residual stream, and of all that is computed from it.
    pub activation: u64,
    /// Bytes that the kernels of a device take beside what they are given and what they give, for every attention
    /// score of a chunk of queries. The CPU's kernels need next to nothing.
    pub score: u64,
    /// How many of both attentions' gated heads a graph holds; where there are none, they are gated again.
    pub gated: u64,
    /// Whether weights become whole matrices of activations before they are multiplied; the CPU widens a few rows.
    pub whole_weights: bool,
}

impl Formats {
    /// Those of a step on `device`.
    pub fn on(device: &Device, base: BasePrecision) -> Self {
        match BasePrecision::default_on(device) {
            BasePrecision::Float32 => Self::cpu(base),
            _ => Self::gpu(base),
        }
    }

    /// Those of a step of `model`.
    pub fn of(model: &Transformer) -> Self {
        Self::on(model.device(), model.precision())
    }

    /// Everything that is computed is float32.
    pub const fn cpu(base: BasePrecision) -> Self {
        Self { base, activation: FLOAT, score: 0, gated: 2, whole_weights: false }
    }

    /// What is computed is bf16, unless the weights are float32; the scores of [`SCORED_QUERIES`] queries at a time
    /// and what the backward pass makes of them are float32: scores, weights and their gradients.
    pub const fn gpu(base: BasePrecision) -> Self {
        match base {
            BasePrecision::Float32 => {
                Self { base, activation: FLOAT, score: 4 * FLOAT, gated: 0, whole_weights: false }
            }
            BasePrecision::Bf16 => {
                Self { base, activation: 2, score: 4 * FLOAT, gated: 0, whole_weights: false }
            }
            BasePrecision::Int8 => {
                Self { base, activation: 2, score: 4 * FLOAT, gated: 0, whole_weights: true }
            }
        }
    }
}

/// What the allocator of a GPU holds between tensors when most of 80 GB is in use, bytes: 3.7 GB were measured.
const BETWEEN_TENSORS: u64 = 4_500_000_000;

/// Vectors of all adapters that an update makes beside them, their gradients and moments.
const UPDATE_VECTORS: u64 = 8;

/// Queries whose scores are in a GPU's memory together.
pub const SCORED_QUERIES: u64 = 128;

/// The memory of a step at its highest, by what it is for, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepMemory {
    /// The frozen weights.
    pub weights: u64,
    /// Adapters, their gradients, the sum that these are added to where there are several micro-steps, and both of
    /// AdamW's moments.
    pub adapters: u64,
    /// What the forward pass leaves: graphs of the blocks that keep theirs, and the inputs of the others.
    pub kept: u64,
    /// What the block at work holds besides, forwards or backwards, or the update more than was kept, whichever is most.
    pub working: u64,
    /// The batch, the rotary table, and what every block reads.
    pub batch: u64,
}

impl StepMemory {
    /// All of it.
    pub fn total(&self) -> u64 {
        self.weights + self.adapters + self.kept + self.working + self.batch
    }
}

impl StepSize {
    /// The size of a step of `model` with `lora` on `batch`.
    pub fn of(model: &TransformerConfig, lora: &TransformerLora, batch: &Batch) -> Self {
        let [samples, tokens, _] = batch.clean().dims();
        let rank = lora.transformer_blocks.first().map_or(0, |block| block.attn1.to_q.lora_a.dims()[0]);
        let context = batch.context().dims()[1];
        Self { batch: samples as u64, ..Self::new(model, rank, tokens, context) }
    }

    /// The size of a step of `model` on `example`, as `plan` wants it.
    pub fn of_example(model: &TransformerConfig, plan: &TrainPlan, example: &LatentExample) -> Self {
        let size = Self::new(model, plan.rank.get(), example.grid().tokens(), example.context().nrows());
        Self { accumulation: plan.accumulation as u64, ..size }
    }

    /// The size of a step of `model` with adapters of `rank` on one sample of `tokens` video and `context` text tokens, in
    /// one micro-step.
    pub fn new(model: &TransformerConfig, rank: usize, tokens: usize, context: usize) -> Self {
        Self {
            layers: model.num_layers as u64,
            width: model.inner_dim() as u64,
            context_width: model.cross_attention_dim as u64,
            heads: model.num_attention_heads as u64,
            channels: model.in_channels as u64,
            batch: 1,
            tokens: tokens as u64,
            context: context as u64,
            rank: rank as u64,
            accumulation: 1,
        }
    }

    /// How many blocks' graphs fit into `bytes`, all in float32.
    pub fn kept_blocks(&self, bytes: u64) -> usize {
        self.kept_blocks_in(&FLOAT32, bytes)
    }

    /// How many blocks' graphs fit into `bytes`.
    pub fn kept_blocks_in(&self, formats: &Formats, bytes: u64) -> usize {
        (bytes / self.block_graph(formats).max(1)).min(self.layers) as usize
    }

    /// What a device with `free` bytes beside the weights can spend on graphs: all but what the step needs in any case
    /// and what an allocator leaves between tensors.
    pub fn spare_for_graphs(&self, formats: &Formats, free: u64) -> u64 {
        let least = self.memory_in(formats, 0);
        // The update's vectors are too large for what the graphs gave back in pieces.
        let update = UPDATE_VECTORS * self.adapters();
        free.saturating_sub(least.total() - least.weights + update + BETWEEN_TENSORS)
    }

    /// Bytes of graphs that a step of `model` keeps: on a GPU, what it has room for.
    pub fn kept_bytes_of(&self, model: &Transformer) -> u64 {
        let Some(free) = device_memory(model.device()) else { return KEPT_BYTES };
        let hosted = model.hosted() as u64;
        let blocks = self.layers - hosted + hosted.min(2);
        let base = model.precision();
        let weights = self.outer_weights(base) + blocks * self.block_weights(base);
        self.spare_for_graphs(&Formats::of(model), free.saturating_sub(weights))
    }

    /// The memory of a step that keeps graphs of `kept_bytes` at most, all in float32.
    pub fn memory(&self, kept_bytes: u64) -> StepMemory {
        self.memory_in(&FLOAT32, kept_bytes)
    }

    /// The memory of a step that keeps graphs of `kept_bytes` at most.
    pub fn memory_in(&self, formats: &Formats, kept_bytes: u64) -> StepMemory {
        let graphs = self.kept_blocks_in(formats, kept_bytes) as u64;
        let again = self.layers - graphs;
        let (stream, graph) = (self.stream(formats), self.block_graph(formats));
        // A block that is run once more has its graph while it works, and its input is the graph's.
        let kept = graphs * graph + again * stream;
        // The first block to go backwards still has everybody else's leavings beside it.
        let last_again = if graphs == 0 { graph - stream } else { 0 };
        let backward = last_again + self.block_working(formats);
        // The update comes when all of that is gone; so are the last micro-step's own gradients, where a sum is beside them.
        let summed = u64::from(self.accumulation > 1);
        let update = ((UPDATE_VECTORS - summed) * self.adapters()).saturating_sub(kept);
        StepMemory {
            weights: self.layers * self.block_weights(formats.base) + self.outer_weights(formats.base),
            adapters: (4 + summed) * self.adapters(),
            kept,
            working: backward.max(update),
            batch: self.conditions(formats),
        }
    }

    /// What a forward pass without gradients holds at its highest besides weights, adapters and the batch: in the
    /// feed-forward the residual stream, its norm, and the wide layer before and after its activation.
    pub fn forward_bytes(&self, formats: &Formats) -> u64 {
        2 * self.stream(formats) + self.block_working(formats)
    }

    fn stream(&self, formats: &Formats) -> u64 {
        formats.activation * self.batch * self.tokens * self.width
    }

    fn text(&self, formats: &Formats) -> u64 {
        formats.activation * self.batch * self.context * self.width
    }

    /// The frozen weights of a block.
    pub fn block_weights(&self, base: BasePrecision) -> u64 {
        let (d, c, h) = (self.width, self.context_width, self.heads);
        // Both attentions and the feed-forward; their biases, gates, norms and tables.
        let large = 6 * d * d + 2 * c * d + 8 * d * d;
        let small = 8 * d + 5 * d + 2 * (d + 1) * h + 4 * d + 11 * d;
        base.weight_bytes(large, small)
    }

    /// The frozen weights outside the blocks.
    pub fn outer_weights(&self, base: BasePrecision) -> u64 {
        let d = self.width;
        let linear = |inputs: u64, outputs: u64| (inputs + 1) * outputs;
        let adaln = |rows| linear(256, d) + linear(d, d) + linear(d, rows * d);
        let outside = linear(self.channels, d) + linear(d, self.channels) + adaln(9) + adaln(2) + 2 * d;
        base.weight_bytes(0, outside)
    }

    /// The adapters and both of AdamW's moments, which stay between steps and which a snapshot holds.
    pub fn state_bytes(&self) -> u64 {
        3 * self.adapters()
    }

    /// Both factors of the eight adapters of every block.
    fn adapters(&self) -> u64 {
        let inputs = 6 * self.width + 2 * self.context_width;
        FLOAT * self.layers * self.rank * (inputs + 8 * self.width)
    }

    /// What a block's graph holds for its backward pass, its input included.
    fn block_graph(&self, formats: &Formats) -> u64 {
        // Self-attention: the block's input, its modulated norm, q and k before and after their norm, v, and the result.
        // Cross-attention: its input, its modulated norm, q before and after, and the result. Feed-forward: its input,
        // and the wide layer before its activation, which counts four times.
        let streams = 8 + 5 + 5 + formats.gated;
        // k before and after its norm, v, and the modulated context.
        let texts =
            3 * self.text(formats) + formats.activation * self.batch * self.context * self.context_width;
        // What each adapter's A gives, six of them over video tokens; gates and softmax denominators of both attentions.
        let narrow = FLOAT * self.batch * self.tokens * (6 * self.rank + 4 * self.heads)
            + FLOAT * self.batch * self.context * 2 * self.rank;
        streams * self.stream(formats) + texts + narrow
    }

    /// What a block needs at its highest besides its graph: in the feed-forward's backward pass the gradient of the
    /// residual stream and of the block's result, and the gradients after and before the activation, four each.
    fn block_working(&self, formats: &Formats) -> u64 {
        let keys = self.tokens.max(self.context);
        let scores = formats.score * self.batch * self.heads * SCORED_QUERIES.min(self.tokens) * keys;
        let weight = if formats.whole_weights { formats.activation * 4 * self.width * self.width } else { 0 };
        (2 + 8) * self.stream(formats) + scores + weight
    }

    /// The noised batch (clean, noise, noised, target), the context, and cosines and sines of half a stream each.
    fn conditions(&self, formats: &Formats) -> u64 {
        let latents = FLOAT * self.batch * self.tokens * self.channels;
        let rotary = FLOAT * self.tokens * self.width;
        4 * latents + formats.activation * self.batch * self.context * self.context_width + rotary
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// LTX-2.3 at 768x768, 89 frames.
    fn real() -> StepSize {
        StepSize {
            layers: 48,
            width: 4096,
            context_width: 4096,
            heads: 32,
            channels: 128,
            batch: 1,
            tokens: 6_912,
            context: 1_024,
            rank: 32,
            accumulation: 1,
        }
    }

    #[test]
    fn weights_are_those_of_the_published_file() {
        let (size, all) = (real(), 13_124_316_288);
        let weights = |base| size.memory_in(&Formats::cpu(base), 0).weights;
        assert_eq!(weights(BasePrecision::Bf16), 2 * all);
        assert_eq!(weights(BasePrecision::Float32), 4 * all);
        // Of a block's weights, 16 D² become 17/16 of a byte.
        let large = 48 * 16 * 4096 * 4096;
        assert_eq!(weights(BasePrecision::Int8), large / 16 * 17 + 2 * (all - large));
        assert_eq!(size.memory(0).weights, 4 * all);
    }

    #[test]
    fn several_micro_steps_hold_their_sum_and_no_more() {
        let adapters = |accumulation| StepSize { accumulation, ..real() }.memory(0).adapters;
        assert_eq!(adapters(1), 4 * real().adapters());
        assert_eq!(adapters(2), 5 * real().adapters());
        assert_eq!(adapters(64), adapters(2));
        assert_eq!(real().state_bytes(), 3 * real().adapters());
    }

    #[test]
    fn halving_the_activations_halves_what_is_kept() {
        let size = real();
        let kept = |formats: &Formats| size.memory_in(formats, 0).kept;
        let (cpu, gpu) = (Formats::cpu(BasePrecision::Bf16), Formats::gpu(BasePrecision::Bf16));
        assert_eq!(kept(&cpu), 48 * 4 * 6_912 * 4_096);
        assert_eq!(kept(&cpu), 2 * kept(&gpu));
        let (all, some) = (size.memory_in(&gpu, u64::MAX), size.memory_in(&gpu, 20 << 30));
        assert_eq!(size.kept_blocks_in(&gpu, u64::MAX), 48);
        assert!(all.kept > some.kept && some.kept > kept(&gpu));
        assert!(some.total() < size.memory_in(&gpu, 0).total() + (20 << 30));
    }
}
