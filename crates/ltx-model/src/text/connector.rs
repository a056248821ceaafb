//! Features to context: registers fill the padding, a small transformer mixes them in.

use burn::tensor::{Device, Int, Tensor, TensorData};

use super::ConnectorConfig;
use crate::{
    gated_attention::{AttentionKind, FeedForward, GatedAttention},
    norm::rms_norm,
    rope::{Rope, rope_frequencies},
    weights::Weights,
};

/// Epsilon of the norms between layers.
const NORM_EPS: f64 = 1e-6;

/// Base of the rotary frequencies.
const ROPE_THETA: f64 = 10_000.0;

/// One block of the connector.
#[derive(Debug, Clone)]
pub struct ConnectorBlock {
    attn1: GatedAttention,
    ff: FeedForward,
}

impl ConnectorBlock {
    fn read(weights: &Weights, config: &ConnectorConfig) -> Self {
        let width = config.inner_dim();
        Self {
            attn1: GatedAttention::read(&weights.at("attn1"), width, width, config.num_attention_heads),
            ff: FeedForward::read(&weights.at("ff"), width),
        }
    }

    /// `[B, S, D]` to the same.
    pub fn forward(&self, x: Tensor<3>, rope: &Rope) -> Tensor<3> {
        let y = rms_norm(x.clone(), NORM_EPS);
        let x = x + self.attn1.forward(y.clone(), y, Some(rope), None, None, AttentionKind::Full);
        let y = self.ff.forward(rms_norm(x.clone(), NORM_EPS));
        x + y
    }
}

/// The embeddings connector of the video stream.
#[derive(Debug, Clone)]
pub struct Connector {
    learnable_registers: Tensor<2>,
    transformer_1d_blocks: Vec<ConnectorBlock>,
    config: ConnectorConfig,
}

impl Connector {
    pub(crate) fn read(weights: &Weights, config: &ConnectorConfig) -> Self {
        let [registers, _] = weights.shape_of("learnable_registers");
        let block = |i| ConnectorBlock::read(&weights.at(format!("transformer_1d_blocks.{i}")), config);
        Self {
            learnable_registers: weights.tensor("learnable_registers", [registers, config.inner_dim()]),
            transformer_1d_blocks: (0..config.num_layers).map(block).collect(),
            config: config.clone(),
        }
    }

    /// The context `[length, D]` of a caption's features `[T, D]`, `T <= length`. Nothing in it is padding:
    /// the registers fill it up.
    pub fn forward(&self, features: Tensor<2>, length: usize) -> Tensor<2> {
        let rope = self.rope(length, &features.device());
        let x: Tensor<3> = self.with_registers(features, length).unsqueeze();
        let x = self.transformer_1d_blocks.iter().fold(x, |x, block| block.forward(x, &rope));
        rms_norm(x, NORM_EPS).squeeze_dim(0)
    }

    /// Features `[T, D]` and behind them the registers, up to `[length, D]`. A position takes the register of
    /// its own number, counted from the row's start.
    pub fn with_registers(&self, features: Tensor<2>, length: usize) -> Tensor<2> {
        let [tokens, _] = features.dims();
        if tokens >= length {
            return features;
        }
        let registers = self.registers();
        let numbers: Vec<i64> = (tokens..length).map(|position| (position % registers) as i64).collect();
        let numbers = TensorData::new(numbers, [length - tokens]);
        let numbers = Tensor::<1, Int>::from_data(numbers, &features.device());
        Tensor::cat(vec![features, self.learnable_registers.clone().select(0, numbers)], 0)
    }

    /// The rotations of positions `0..length`, `[1, H, length, d/2]`.
    pub fn rope(&self, length: usize, device: &Device) -> Rope {
        let (heads, head_dim) = (self.config.num_attention_heads, self.config.attention_head_dim);
        let frequencies = rope_frequencies(heads * head_dim / 2, ROPE_THETA);
        let max_pos = self.config.positional_embedding_max_pos as f32;
        let angles = |position: usize| {
            let fraction = position as f32 / max_pos * 2.0 - 1.0;
            frequencies.iter().map(move |frequency| fraction * frequency)
        };
        Rope::from_angles(length, heads, head_dim, angles, device)
    }

    /// The blocks, in order.
    pub fn blocks(&self) -> &[ConnectorBlock] {
        &self.transformer_1d_blocks
    }

    /// How many registers there are.
    pub fn registers(&self) -> usize {
        self.learnable_registers.dims()[0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connector(device: &Device) -> Connector {
        let registers = Tensor::<1, Int>::arange(0..4, device).float().reshape([4, 1]).repeat_dim(1, 2);
        let config = ConnectorConfig {
            num_attention_heads: 1,
            attention_head_dim: 2,
            num_layers: 0,
            positional_embedding_max_pos: 4.0,
        };
        Connector { learnable_registers: registers, transformer_1d_blocks: Vec::new(), config }
    }

    #[test]
    fn registers_are_counted_from_the_start_of_the_row() {
        let device = Device::flex();
        let filled = connector(&device).with_registers(Tensor::full([3, 2], 9.0, &device), 8);
        let column: Vec<f32> = filled.narrow(1, 0, 1).into_data().iter().collect();
        assert_eq!(column, [9.0, 9.0, 9.0, 3.0, 0.0, 1.0, 2.0, 3.0]);
    }

    #[test]
    fn a_full_row_takes_no_register() {
        let device = Device::flex();
        let filled = connector(&device).with_registers(Tensor::full([8, 2], 9.0, &device), 8);
        assert_eq!(filled.dims(), [8, 2]);
    }

    #[test]
    fn one_frequency_needs_no_division() {
        let device = Device::flex();
        let sin: Vec<f32> = connector(&device).rope(4, &device).sin.into_data().iter().collect();
        assert_eq!(sin[0], -1.0);
        assert_eq!(sin[2], 0.0);
    }
}
