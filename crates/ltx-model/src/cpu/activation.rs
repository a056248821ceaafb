//! Activations, and the gate of heads.

use super::{
    exp::sigmoid,
    parallel::{rows, values},
    reduce,
};

/// `2 sqrt(2 / π)`.
const TWICE_ROOT: f32 = 1.595_769_2;
const CUBIC: f32 = 0.044_715;

/// `0.5 z (1 + tanh(u)) = z sigmoid(2u)` with `u = sqrt(2/π) (z + 0.044715 z³)`.
pub(crate) fn gelu(z: &[f32]) -> Vec<f32> {
    values(
        z.len(),
        #[inline(always)]
        |first, out| {
            for (out, z) in out.iter_mut().zip(&z[first..]) {
                *out = z * sigmoid(TWICE_ROOT * (z + CUBIC * z * z * z));
            }
        },
    )
}

/// The gradient of z, given that of [`gelu`].
pub(crate) fn gelu_backward(z: &[f32], grad: &[f32]) -> Vec<f32> {
    values(
        z.len(),
        #[inline(always)]
        |first, out| {
            for ((out, z), grad) in out.iter_mut().zip(&z[first..]).zip(&grad[first..]) {
                let s = sigmoid(TWICE_ROOT * (z + CUBIC * z * z * z));
                let slope = TWICE_ROOT * (1.0 + 3.0 * CUBIC * z * z);
                *out = grad * (s + z * s * (1.0 - s) * slope);
            }
        },
    )
}

/// Every head's values times `2 sigmoid(logit)`: `x` `[T, H d]`, `logits` `[T, H]`.
pub(crate) fn gate_heads(x: &[f32], logits: &[f32], heads: usize) -> Vec<f32> {
    let width = x.len() / logits.len().max(1);
    rows(
        x.len(),
        heads * width,
        #[inline(always)]
        |token, out| {
            for (head, out) in out.chunks_exact_mut(width).enumerate() {
                let head = token * heads + head;
                let (gate, x) = (2.0 * sigmoid(logits[head]), &x[head * width..][..width]);
                for i in 0..width {
                    out[i] = x[i] * gate;
                }
            }
        },
    )
}

/// The gradients of x and of the logits, given that of [`gate_heads`].
pub(crate) fn gate_heads_backward(
    x: &[f32],
    logits: &[f32],
    grad: &[f32],
    heads: usize,
) -> (Vec<f32>, Vec<f32>) {
    let width = x.len() / logits.len().max(1);
    let of_logits = rows(
        logits.len(),
        heads,
        #[inline(always)]
        |token, out| {
            for (head, out) in out.iter_mut().enumerate() {
                let head = token * heads + head;
                let (x, grad) = (&x[head * width..][..width], &grad[head * width..][..width]);
                let s = sigmoid(logits[head]);
                *out = 2.0 * s * (1.0 - s) * reduce::sum(width, |i| x[i] * grad[i]);
            }
        },
    );
    (gate_heads(grad, logits, heads), of_logits)
}
