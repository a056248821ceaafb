//! Attention, behind one function so that a leaner one can replace it.

use burn::tensor::{Tensor, module, ops::AttentionModuleOptions};

/// `softmax(q k^T scale + bias) v`, without a causal mask.
///
/// `q` `[B, H, T, d]`, `k` and `v` `[B, H, S, d]`, `bias` broadcastable to `[B, H, T, S]`; `scale` defaults to
/// `1 / sqrt(d)`. Returns `[B, H, T, d]`.
pub(crate) fn attention(
    q: Tensor<4>,
    k: Tensor<4>,
    v: Tensor<4>,
    bias: Option<Tensor<4>>,
    scale: Option<f64>,
) -> Tensor<4> {
    module::attention(q, k, v, None, bias, AttentionModuleOptions { scale, softcap: None, is_causal: false })
}

/// `[B, T, H d]` to `[B, H, T, d]`.
pub(crate) fn split_heads(x: Tensor<3>, heads: usize) -> Tensor<4> {
    let [batch, tokens, width] = x.dims();
    x.reshape([batch, tokens, heads, width / heads]).swap_dims(1, 2)
}

/// `[B, H, T, d]` to `[B, T, H d]`.
pub(crate) fn merge_heads(x: Tensor<4>) -> Tensor<3> {
    let [batch, heads, tokens, width] = x.dims();
    x.swap_dims(1, 2).reshape([batch, tokens, heads * width])
}
