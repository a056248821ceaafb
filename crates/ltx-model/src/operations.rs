//! The operations that a training step spends its time in, each by itself, for who measures a device.

use burn::tensor::Tensor;

use crate::{
    attention::{attention, merge_heads, split_heads},
    frozen::FrozenWeight,
    fused,
};

/// A frozen linear layer, `x W^T + b`: `x` `[rows, in]`, `weight` `[out, in]`, `bias` `[out]`, all in one number format.
/// Only `x` gets a gradient.
pub fn frozen_linear(x: Tensor<2>, weight: &Tensor<2>, bias: &Tensor<1>) -> Tensor<2> {
    fused::linear(x, &FrozenWeight::Dense(weight.clone()), bias, None)
}

/// Attention of `heads` heads, without a mask: `q` `[B, T, D]`, `k` and `v` `[B, S, D]`, result `[B, T, D]`.
pub fn multi_head_attention([q, k, v]: [Tensor<3>; 3], heads: usize) -> Tensor<3> {
    let [q, k, v] = [q, k, v].map(|x| split_heads(x, heads));
    merge_heads(attention(q, k, v, None, None))
}
