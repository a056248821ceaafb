//! Low-rank adapters of the transformer's attention projections, laid out like the checkpoint.

use burn::tensor::Tensor;

/// The two factors beside one frozen linear layer. They add `scale * B A x`.
#[derive(Debug, Clone)]
pub struct LoraPair {
    /// `A`, `[rank, in]`.
    pub lora_a: Tensor<2>,
    /// `B`, `[out, rank]`.
    pub lora_b: Tensor<2>,
    /// `alpha / rank`.
    pub scale: f64,
}

impl LoraPair {
    /// `x` `[rows, in]` to `[rows, out]`.
    pub(crate) fn branch(&self, x: Tensor<2>) -> Tensor<2> {
        let low = x.matmul(self.lora_a.clone().transpose()); // [rows, rank]
        let y = low.matmul(self.lora_b.clone().transpose()); // [rows, out]
        if self.scale == 1.0 { y } else { y.mul_scalar(self.scale) }
    }

    /// The same factors as leaves of a new gradient graph.
    #[must_use]
    pub fn tracked(&self) -> Self {
        let track = |factor: &Tensor<2>| factor.clone().autodiff().require_grad();
        Self { lora_a: track(&self.lora_a), lora_b: track(&self.lora_b), scale: self.scale }
    }
}

/// Adapters of one attention: its four projections.
#[derive(Debug, Clone)]
pub struct AttentionLora {
    /// Beside `to_q`.
    pub to_q: LoraPair,
    /// Beside `to_k`.
    pub to_k: LoraPair,
    /// Beside `to_v`.
    pub to_v: LoraPair,
    /// Beside `to_out.0`.
    pub to_out_0: LoraPair,
}

/// Adapters of one block.
#[derive(Debug, Clone)]
pub struct BlockLora {
    /// Self-attention.
    pub attn1: AttentionLora,
    /// Cross-attention.
    pub attn2: AttentionLora,
}

/// The adapted modules of a block, in the order of [`BlockLora::pairs`], by their checkpoint names.
pub const LORA_TARGETS: [&str; 8] = [
    "attn1.to_q",
    "attn1.to_k",
    "attn1.to_v",
    "attn1.to_out.0",
    "attn2.to_q",
    "attn2.to_k",
    "attn2.to_v",
    "attn2.to_out.0",
];

impl BlockLora {
    /// Builds the adapters of a block, one for each name of [`LORA_TARGETS`].
    pub fn build(mut pair: impl FnMut(&'static str) -> LoraPair) -> Self {
        let mut attention = |at: usize| AttentionLora {
            to_q: pair(LORA_TARGETS[at]),
            to_k: pair(LORA_TARGETS[at + 1]),
            to_v: pair(LORA_TARGETS[at + 2]),
            to_out_0: pair(LORA_TARGETS[at + 3]),
        };
        Self { attn1: attention(0), attn2: attention(4) }
    }

    /// The adapters, in the order of [`LORA_TARGETS`].
    pub fn pairs(&self) -> [&LoraPair; 8] {
        let [a, b] = [&self.attn1, &self.attn2];
        [&a.to_q, &a.to_k, &a.to_v, &a.to_out_0, &b.to_q, &b.to_k, &b.to_v, &b.to_out_0]
    }

    /// The same, to change them.
    pub fn pairs_mut(&mut self) -> [&mut LoraPair; 8] {
        let (a, b) = (&mut self.attn1, &mut self.attn2);
        [
            &mut a.to_q,
            &mut a.to_k,
            &mut a.to_v,
            &mut a.to_out_0,
            &mut b.to_q,
            &mut b.to_k,
            &mut b.to_v,
            &mut b.to_out_0,
        ]
    }

    /// The same adapters as leaves of a new gradient graph.
    #[must_use]
    pub fn tracked(&self) -> Self {
        let mut tracked = self.clone();
        for pair in tracked.pairs_mut() {
            *pair = pair.tracked();
        }
        tracked
    }
}

/// Adapters of the whole transformer.
#[derive(Debug, Clone)]
pub struct TransformerLora {
    /// One for each block.
    pub transformer_blocks: Vec<BlockLora>,
}

impl TransformerLora {
    /// Every adapter with the checkpoint name of its module, such as `transformer_blocks.0.attn1.to_out.0`.
    pub fn modules(&self) -> impl Iterator<Item = (String, &LoraPair)> {
        self.transformer_blocks.iter().enumerate().flat_map(|(block, lora)| {
            let name = move |target| format!("transformer_blocks.{block}.{target}");
            LORA_TARGETS.into_iter().zip(lora.pairs()).map(move |(target, pair)| (name(target), pair))
        })
    }
}
