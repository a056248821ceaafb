//! The memory of a training step, before it is made.
//!
//! All of it is float32. Activations are counted in streams, a stream being one tensor as large as the residual one,
//! `B T D`; what belongs to the text is counted in contexts, `B S C`.

use ltx_model::{TransformerConfig, TransformerLora};
use tensor_batch::LatentExample;

use crate::{TrainPlan, step::Batch};

const FLOAT: u64 = 4;

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
    /// What the block at work holds besides, forwards or backwards, whichever is more.
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

    /// One sample and one micro-step.
    fn new(model: &TransformerConfig, rank: usize, tokens: usize, context: usize) -> Self {
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

    /// How many blocks' graphs fit into `bytes`.
    pub fn kept_blocks(&self, bytes: u64) -> usize {
        (bytes / self.block_graph().max(1)).min(self.layers) as usize
    }

    /// The memory of a step that keeps graphs of `kept_bytes` at most.
    pub fn memory(&self, kept_bytes: u64) -> StepMemory {
        let graphs = self.kept_blocks(kept_bytes) as u64;
        let again = self.layers - graphs;
        // A block that is run once more has its graph while it works, and its input is the graph's.
        let kept = graphs * self.block_graph() + again * self.stream();
        // The first block to go backwards still has everybody else's leavings beside it.
        let last_again = if graphs == 0 { self.block_graph() - self.stream() } else { 0 };
        StepMemory {
            weights: self.weights(),
            adapters: (4 + u64::from(self.accumulation > 1)) * self.adapters(),
            kept,
            working: last_again + self.block_working(),
            batch: self.conditions(),
        }
    }

    fn stream(&self) -> u64 {
        FLOAT * self.batch * self.tokens * self.width
    }

    fn text(&self) -> u64 {
        FLOAT * self.batch * self.context * self.width
    }

    /// Frozen weights: blocks, and what is outside them.
    fn weights(&self) -> u64 {
        let (d, c, h) = (self.width, self.context_width, self.heads);
        let linear = |inputs: u64, outputs: u64| (inputs + 1) * outputs;
        let attention = |keys| 2 * linear(d, d) + 2 * linear(keys, d) + linear(d, h) + 2 * d;
        let block = attention(d) + attention(c) + linear(d, 4 * d) + linear(4 * d, d) + 11 * d;
        let adaln = |rows| linear(256, d) + linear(d, d) + linear(d, rows * d);
        let outside = linear(self.channels, d) + linear(d, self.channels) + adaln(9) + adaln(2) + 2 * d;
        FLOAT * (self.layers * block + outside)
    }

    /// Both factors of the eight adapters of every block.
    fn adapters(&self) -> u64 {
        let inputs = 6 * self.width + 2 * self.context_width;
        FLOAT * self.layers * self.rank * (inputs + 8 * self.width)
    }

    /// What a block's graph holds for its backward pass, its input included.
    fn block_graph(&self) -> u64 {
        // Self-attention: the block's input, its modulated norm, q and k before and after their norm, v, the result,
        // and the same gated. Cross-attention: its input, its modulated norm, q before and after, the result, gated.
        // Feed-forward: its input, and the wide layer before its activation, which counts four times.
        let streams = 9 + 6 + 5;
        // k before and after its norm, v, and the modulated context.
        let texts = 3 * self.text() + FLOAT * self.batch * self.context * self.context_width;
        // What each adapter's A gives, six of them over video tokens; gates and softmax denominators of both attentions.
        let narrow = FLOAT * self.batch * self.tokens * (6 * self.rank + 4 * self.heads)
            + FLOAT * self.batch * self.context * 2 * self.rank;
        streams * self.stream() + texts + narrow
    }

    /// What a block needs at its highest besides its graph: in the feed-forward's backward pass the gradient of the
    /// residual stream and of the block's result, and the gradients after and before the activation, four each.
    fn block_working(&self) -> u64 {
        (2 + 8) * self.stream()
    }

    /// The noised batch (clean, noise, noised, target), the context, and cosines and sines of half a stream each.
    fn conditions(&self) -> u64 {
        let latents = FLOAT * self.batch * self.tokens * self.channels;
        let rotary = FLOAT * self.tokens * self.width;
        4 * latents + FLOAT * self.batch * self.context * self.context_width + rotary
    }
}
