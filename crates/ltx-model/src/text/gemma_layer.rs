//! One layer of Gemma 3.

use burn::tensor::{Device, Tensor, TensorData, activation};

use super::{GemmaConfig, LayerType};
use crate::{
    attention::{attention, merge_heads, split_heads},
    linear::Linear,
    norm::rms_norm,
    rope::Rope,
    weights::Weights,
};

/// `rms(x) (1 + w)` over the last axis.
pub(super) struct GemmaNorm {
    scale: Tensor<1>,
    eps: f64,
}

impl GemmaNorm {
    pub(super) fn read(weights: &Weights, width: usize, eps: f64) -> Self {
        Self { scale: weights.tensor("weight", [width]) + 1.0, eps }
    }

    pub(super) fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        rms_norm(x, self.eps) * self.scale.clone().unsqueeze()
    }
}

/// What the layers of one type need to know of a caption's length: rotations and who sees whom.
pub(super) struct Row {
    rope: Rope,
    mask: Tensor<4>,
}

impl Row {
    pub(super) fn new(tokens: usize, layer: LayerType, config: &GemmaConfig, device: &Device) -> Self {
        Self { rope: rope(tokens, layer, config, device), mask: mask(tokens, layer, config, device) }
    }
}

/// One table for all heads, `[1, 1, T, d/2]`.
fn rope(tokens: usize, layer: LayerType, config: &GemmaConfig, device: &Device) -> Rope {
    let (settings, width) = (config.rope(layer), config.head_dim);
    let frequency = |j: usize| settings.theta.powf(-2.0 * j as f64 / width as f64) / settings.factor;
    let frequencies: Vec<f32> = (0..width / 2).map(|j| frequency(j) as f32).collect();
    let angles = |token: usize| frequencies.iter().map(move |frequency| token as f32 * frequency);
    Rope::from_angles(tokens, 1, width, angles, device)
}

/// What is added to the scores, `[1, 1, T, T]`: nothing where query `i` sees key `j`.
fn mask(tokens: usize, layer: LayerType, config: &GemmaConfig, device: &Device) -> Tensor<4> {
    let window = match layer {
        LayerType::Full => tokens,
        LayerType::Sliding => config.sliding_window,
    };
    let hidden = |i: usize, j: usize| j > i || j + window <= i;
    let value = |i, j| if hidden(i, j) { f32::MIN } else { 0.0 };
    let values: Vec<f32> = (0..tokens).flat_map(|i| (0..tokens).map(move |j| value(i, j))).collect();
    Tensor::from_data(TensorData::new(values, [1, 1, tokens, tokens]), device)
}

struct GemmaAttention {
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    o_proj: Linear,
    q_norm: GemmaNorm,
    k_norm: GemmaNorm,
    heads: usize,
    kv_heads: usize,
    scale: f64,
}

impl GemmaAttention {
    fn read(weights: &Weights, config: &GemmaConfig) -> Self {
        let (hidden, head) = (config.hidden_size, config.head_dim);
        let (heads, kv_heads) = (config.num_attention_heads, config.num_key_value_heads);
        let linear = |name, inputs, outputs| Linear::read_without_bias(&weights.at(name), inputs, outputs);
        let norm = |name| GemmaNorm::read(&weights.at(name), head, config.rms_norm_eps);
        Self {
            q_proj: linear("q_proj", hidden, heads * head),
            k_proj: linear("k_proj", hidden, kv_heads * head),
            v_proj: linear("v_proj", hidden, kv_heads * head),
            o_proj: linear("o_proj", heads * head, hidden),
            q_norm: norm("q_norm"),
            k_norm: norm("k_norm"),
            heads,
            kv_heads,
            scale: config.query_pre_attn_scalar.powf(-0.5),
        }
    }

    fn forward(&self, x: Tensor<3>, row: &Row) -> Tensor<3> {
        let q = self.q_norm.forward(split_heads(self.q_proj.forward(x.clone()), self.heads)); // [1, H, T, d]
        let k = self.k_norm.forward(split_heads(self.k_proj.forward(x.clone()), self.kv_heads));
        let v = split_heads(self.v_proj.forward(x), self.kv_heads);
        let (q, k) = (row.rope.apply(q), row.rope.apply(k));
        let o = attention(q, self.shared(k), self.shared(v), Some(row.mask.clone()), Some(self.scale));
        self.o_proj.forward(merge_heads(o))
    }

    /// Key and value head `j` serves the query heads `j n .. (j + 1) n`.
    fn shared(&self, x: Tensor<4>) -> Tensor<4> {
        let [batch, _, tokens, width] = x.dims();
        let x = x.unsqueeze_dim::<5>(2).repeat_dim(2, self.heads / self.kv_heads);
        x.reshape([batch, self.heads, tokens, width])
    }
}

struct GemmaMlp {
    gate_proj: Linear,
    up_proj: Linear,
    down_proj: Linear,
}

impl GemmaMlp {
    fn read(weights: &Weights, config: &GemmaConfig) -> Self {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        Self {
            gate_proj: Linear::read_without_bias(&weights.at("gate_proj"), hidden, inner),
            up_proj: Linear::read_without_bias(&weights.at("up_proj"), hidden, inner),
            down_proj: Linear::read_without_bias(&weights.at("down_proj"), inner, hidden),
        }
    }

    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let gate = activation::gelu_approximate(self.gate_proj.forward(x.clone()));
        self.down_proj.forward(gate * self.up_proj.forward(x))
    }
}

/// A layer, which is read for one use and dropped after it.
pub(super) struct GemmaLayer {
    self_attn: GemmaAttention,
    mlp: GemmaMlp,
    input_layernorm: GemmaNorm,
    post_attention_layernorm: GemmaNorm,
    pre_feedforward_layernorm: GemmaNorm,
    post_feedforward_layernorm: GemmaNorm,
}

impl GemmaLayer {
    pub(super) fn read(weights: &Weights, config: &GemmaConfig) -> Self {
        let norm = |name| GemmaNorm::read(&weights.at(name), config.hidden_size, config.rms_norm_eps);
        Self {
            self_attn: GemmaAttention::read(&weights.at("self_attn"), config),
            mlp: GemmaMlp::read(&weights.at("mlp"), config),
            input_layernorm: norm("input_layernorm"),
            post_attention_layernorm: norm("post_attention_layernorm"),
            pre_feedforward_layernorm: norm("pre_feedforward_layernorm"),
            post_feedforward_layernorm: norm("post_feedforward_layernorm"),
        }
    }

    /// `[1, T, hidden]` to the same.
    pub(super) fn forward(&self, h: Tensor<3>, row: &Row) -> Tensor<3> {
        let o = self.self_attn.forward(self.input_layernorm.forward(h.clone()), row);
        let h = h + self.post_attention_layernorm.forward(o);
        let m = self.mlp.forward(self.pre_feedforward_layernorm.forward(h.clone()));
        h + self.post_feedforward_layernorm.forward(m)
    }
}
