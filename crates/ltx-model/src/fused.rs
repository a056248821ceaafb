//! A block's element-wise chains and adapted projections, each as one operation of the gradient graph.
//!
//! On the CPU and on NVIDIA GPUs an operation is a pair of kernels (`crate::cpu`, `crate::cuda`) that keeps what its
//! backward pass needs and no more. On any other device, and in number formats without kernels, it is composed of
//! burn's own operations.

pub(crate) mod graph;
pub(crate) mod ops;
#[cfg(test)]
mod tests;

use burn::{
    backend::Dispatch,
    tensor::{DType, Gradients, Int, Tensor, activation},
};

use crate::{
    attention::{merge_heads, split_heads},
    cpu::tensor::on_cpu,
    frozen::FrozenWeight,
    lora::LoraPair,
    norm::rms_norm,
    rope::Rope,
};
use ops::Fused;

/// Whether the kernels take `x`.
fn has_kernels<const D: usize>(x: &Tensor<D>) -> bool {
    #[cfg(feature = "cuda")]
    if crate::cuda::has_kernels(x) {
        return true;
    }
    x.dtype() == DType::F32 && on_cpu(&x.device())
}

/// Rows of modulation `[U, D]`, and which of them each token takes, `[B T]`.
#[derive(Debug, Clone)]
pub(crate) struct TokenRows {
    pub(crate) rows: Tensor<2>,
    pub(crate) index: Tensor<1, Int>,
}

impl TokenRows {
    /// A row for every token, shaped as `like`.
    pub(crate) fn gathered(self, like: &Tensor<3>) -> Tensor<3> {
        self.rows.select(0, self.index).reshape(like.dims())
    }
}

/// `rms(x) (1 + scale) + shift` for every token; `x` `[B, T, D]`.
pub(crate) fn modulated_norm(x: Tensor<3>, scale: TokenRows, shift: TokenRows, eps: f64) -> Tensor<3> {
    if !has_kernels(&x) {
        let (scale, shift) = (scale.gathered(&x), shift.gathered(&x));
        return rms_norm(x, eps) * (scale + 1.0) + shift;
    }
    let [x, scale, index, shift] = [
        x.into_dispatch(),
        scale.rows.into_dispatch(),
        scale.index.into_dispatch(),
        shift.rows.into_dispatch(),
    ];
    Tensor::from_dispatch(Dispatch::modulated_norm(x, scale, shift, index, eps))
}

/// `x + out gate` for every token; `x` and `out` `[B, T, D]`.
pub(crate) fn gated_sum(x: Tensor<3>, out: Tensor<3>, gate: TokenRows) -> Tensor<3> {
    if !has_kernels(&x) {
        let gate = gate.gathered(&x);
        return x + out * gate;
    }
    let (gate, index) = (gate.rows.into_dispatch(), gate.index.into_dispatch());
    Tensor::from_dispatch(Dispatch::gated_sum(x.into_dispatch(), out.into_dispatch(), gate, index))
}

/// `rms(x) weight` over all heads together, and each of the `heads` rotated by `rope` if there is one;
/// `x` `[B, T, H d]`.
pub(crate) fn head_norm(
    x: Tensor<3>,
    weight: &Tensor<1>,
    rope: Option<&Rope>,
    heads: usize,
    eps: f64,
) -> Tensor<3> {
    if !has_kernels(&x) {
        let x = split_heads(rms_norm(x, eps) * weight.clone().unsqueeze(), heads);
        return merge_heads(match rope {
            Some(rope) => rope.apply(x),
            None => x,
        });
    }
    let (x, weight) = (x.into_dispatch(), weight.clone().into_dispatch());
    Tensor::from_dispatch(match rope {
        Some(rope) => {
            let (cos, sin) = (rope.cos.clone().into_dispatch(), rope.sin.clone().into_dispatch());
            Dispatch::rotated_norm(x, weight, cos, sin, eps)
        }
        None => Dispatch::weighted_norm(x, weight, eps),
    })
}

/// Every head's values times `2 sigmoid(logit)`: `x` `[B, T, H d]`, `logits` `[B, T, H]`.
pub(crate) fn gate_heads(x: Tensor<3>, logits: Tensor<3>) -> Tensor<3> {
    if !has_kernels(&x) {
        let [batch, tokens, heads] = logits.dims();
        let width = x.dims()[2];
        let gate = activation::sigmoid(logits).mul_scalar(2.0).unsqueeze_dim::<4>(3);
        let gated = x.reshape([batch, tokens, heads, width / heads]) * gate;
        return gated.reshape([batch, tokens, width]);
    }
    Tensor::from_dispatch(Dispatch::gate_heads(x.into_dispatch(), logits.into_dispatch()))
}

/// `0.5 z (1 + tanh(sqrt(2/π) (z + 0.044715 z³)))`.
pub(crate) fn gelu_tanh(z: Tensor<3>) -> Tensor<3> {
    if !has_kernels(&z) {
        return activation::gelu_approximate(z);
    }
    Tensor::from_dispatch(Dispatch::gelu_tanh(z.into_dispatch()))
}

/// `x W^T + b + s (x A^T) B^T`: `x` `[rows, in]`, `weight` `[out, in]`, `bias` `[out]`. The low-rank branch may be
/// missing. Only `x` and the branch get gradients.
pub(crate) fn linear(
    x: Tensor<2>,
    weight: &FrozenWeight,
    bias: &Tensor<1>,
    lora: Option<&LoraPair>,
) -> Tensor<2> {
    if !has_kernels(&x) {
        let y = x.clone().matmul(weight.dense(x.dtype()).transpose()) + bias.clone().unsqueeze();
        return match lora {
            Some(lora) => y + lora.branch(x),
            None => y,
        };
    }
    let (x, bias) = (x.into_dispatch(), bias.clone().into_dispatch());
    let factors = lora
        .map(|lora| (lora.lora_a.clone().into_dispatch(), lora.lora_b.clone().into_dispatch(), lora.scale));
    Tensor::from_dispatch(match (weight, factors) {
        (FrozenWeight::Dense(weight), None) => Dispatch::linear(x, weight.clone().into_dispatch(), bias),
        (FrozenWeight::Dense(weight), Some((a, b, scale))) => {
            Dispatch::adapted_linear(x, weight.clone().into_dispatch(), bias, a, b, scale)
        }
        (FrozenWeight::Int8 { values, scales }, factors) => {
            let (values, scales) = (values.clone().into_dispatch(), scales.clone().into_dispatch());
            match factors {
                None => Dispatch::linear_int8(x, values, scales, bias),
                Some((a, b, scale)) => Dispatch::adapted_linear_int8(x, values, scales, bias, a, b, scale),
            }
        }
    })
}

/// [`linear`] of [`gate_heads`], of which the gated heads are not kept: `x` `[B, T, H d]`, `logits` `[B, T, H]`.
pub(crate) fn gated_linear(
    x: Tensor<3>,
    logits: Tensor<3>,
    weight: &FrozenWeight,
    bias: &Tensor<1>,
    lora: Option<&LoraPair>,
) -> Tensor<2> {
    let rows = |x: Tensor<3>| {
        let [batch, tokens, width] = x.dims();
        x.reshape([batch * tokens, width])
    };
    let Some(lora) = lora.filter(|_| has_kernels(&x)) else {
        return linear(rows(gate_heads(x, logits)), weight, bias, lora);
    };
    let (x, logits, bias) =
        (rows(x).into_dispatch(), rows(logits).into_dispatch(), bias.clone().into_dispatch());
    let (a, b) = (lora.lora_a.clone().into_dispatch(), lora.lora_b.clone().into_dispatch());
    Tensor::from_dispatch(match weight {
        FrozenWeight::Dense(weight) => {
            let weight = weight.clone().into_dispatch();
            Dispatch::gated_adapted_linear(x, logits, weight, bias, a, b, lora.scale)
        }
        FrozenWeight::Int8 { values, scales } => {
            let (values, scales) = (values.clone().into_dispatch(), scales.clone().into_dispatch());
            Dispatch::gated_adapted_linear_int8(x, logits, values, scales, bias, a, b, lora.scale)
        }
    })
}

/// The gradients of `<y, upstream>` by all that `y` was computed from: `upstream`, the gradient of a scalar by `y`,
/// carried on.
pub fn vector_jacobian(y: Tensor<3>, upstream: Tensor<3>) -> Gradients {
    if !has_kernels(&y) {
        return (y * upstream).sum().backward();
    }
    Tensor::<1>::from_dispatch(Dispatch::seeded(y.into_dispatch(), upstream.into_dispatch())).backward()
}
