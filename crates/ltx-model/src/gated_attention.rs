//! The attention and feed-forward layers that transformer and text connector share.

use burn::tensor::{Device, Tensor};

use crate::{
    attention::{attention, merge_heads, split_heads},
    fused::{gelu_tanh, head_norm},
    hosted::brought,
    linear::Linear,
    lora::AttentionLora,
    rope::Rope,
    weights::Weights,
};

/// Epsilon of the norms of q and k.
const QK_NORM_EPS: f64 = 1e-6;

/// What an attention attends to, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AttentionKind {
    /// `softmax(q k^T) v`.
    Full,
    /// The perturbation of spatio-temporal guidance: `v` itself, q and k are not computed.
    ValueOnly,
}

/// Attention with RMS-normalised q and k, and a sigmoid gate for each head.
#[derive(Debug, Clone)]
pub(crate) struct GatedAttention {
    to_q: Linear,
    to_k: Linear,
    to_v: Linear,
    q_norm: Tensor<1>,
    k_norm: Tensor<1>,
    to_gate_logits: Linear,
    to_out_0: Linear,
    heads: usize,
}

impl GatedAttention {
    /// `width` D of queries, `context_width` of keys and values.
    pub(crate) fn read(weights: &Weights, width: usize, context_width: usize, heads: usize) -> Self {
        Self {
            to_q: Linear::read_projection(&weights.at("to_q"), width, width),
            to_k: Linear::read_projection(&weights.at("to_k"), context_width, width),
            to_v: Linear::read_projection(&weights.at("to_v"), context_width, width),
            q_norm: weights.at("q_norm").tensor("weight", [width]),
            k_norm: weights.at("k_norm").tensor("weight", [width]),
            to_gate_logits: Linear::read(&weights.at("to_gate_logits"), width, heads),
            to_out_0: Linear::read_projection(&weights.at("to_out.0"), width, width),
            heads,
        }
    }

    /// The same on `device`.
    pub(crate) fn on(&self, device: &Device) -> Self {
        Self {
            to_q: self.to_q.on(device),
            to_k: self.to_k.on(device),
            to_v: self.to_v.on(device),
            q_norm: brought(&self.q_norm, device),
            k_norm: brought(&self.k_norm, device),
            to_gate_logits: self.to_gate_logits.on(device),
            to_out_0: self.to_out_0.on(device),
            heads: self.heads,
        }
    }

    /// `x` `[B, T, D]` attends to `context` `[B, S, C]`; `bias` is broadcastable to `[B, H, T, S]`.
    pub(crate) fn forward(
        &self,
        x: Tensor<3>,
        context: Tensor<3>,
        rope: Option<&Rope>,
        bias: Option<Tensor<4>>,
        lora: Option<&AttentionLora>,
        kind: AttentionKind,
    ) -> Tensor<3> {
        let v = self.to_v.forward_with(context.clone(), lora.map(|l| &l.to_v)); // [B, S, D]
        let attended = match kind {
            AttentionKind::ValueOnly => v,
            AttentionKind::Full => {
                let (q, k) = self.queries_and_keys(x.clone(), context, rope, lora);
                merge_heads(attention(q, k, split_heads(v, self.heads), bias, None))
            }
        }; // [B, T, D]
        self.to_out_0.forward_gated(attended, self.to_gate_logits.forward(x), lora.map(|l| &l.to_out_0))
    }

    fn queries_and_keys(
        &self,
        x: Tensor<3>,
        context: Tensor<3>,
        rope: Option<&Rope>,
        lora: Option<&AttentionLora>,
    ) -> (Tensor<4>, Tensor<4>) {
        let q = self.to_q.forward_with(x, lora.map(|l| &l.to_q));
        let k = self.to_k.forward_with(context, lora.map(|l| &l.to_k));
        // The mean of a norm runs over all heads together, before the split.
        let heads = |x, weight| split_heads(head_norm(x, weight, rope, self.heads, QK_NORM_EPS), self.heads);
        (heads(q, &self.q_norm), heads(k, &self.k_norm))
    }
}

/// `net.2(gelu_tanh(net.0.proj(x)))`, four times as wide inside.
#[derive(Debug, Clone)]
pub(crate) struct FeedForward {
    net_0_proj: Linear,
    net_2: Linear,
}

impl FeedForward {
    pub(crate) fn read(weights: &Weights, width: usize) -> Self {
        Self {
            net_0_proj: Linear::read_projection(&weights.at("net.0.proj"), width, 4 * width),
            net_2: Linear::read_projection(&weights.at("net.2"), 4 * width, width),
        }
    }

    /// The same on `device`.
    pub(crate) fn on(&self, device: &Device) -> Self {
        Self { net_0_proj: self.net_0_proj.on(device), net_2: self.net_2.on(device) }
    }

    /// `[B, T, D]` to `[B, T, D]`.
    pub(crate) fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        self.net_2.forward(gelu_tanh(self.net_0_proj.forward(x)))
    }
}
