//! Root-mean-square norms with what follows them: a modulation of every token, or weights and a rotation of heads.

use super::{parallel::rows, reduce};

/// Rows of modulation, and which token takes which.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) index: &'a [usize],
}

impl<'a> Rows<'a> {
    #[inline(always)]
    fn of(&self, token: usize, width: usize) -> &'a [f32] {
        &self.values[self.index[token] * width..][..width]
    }
}

/// `1 / sqrt(mean(x²) + eps)`.
#[inline(always)]
fn inverse(x: &[f32], eps: f32) -> f32 {
    let mean = reduce::sum(x.len(), |i| x[i] * x[i]) / x.len() as f32;
    1.0 / (mean + eps).sqrt()
}

/// `rms(x) (1 + scale) + shift` for every token.
pub(crate) fn modulated(x: &[f32], width: usize, scale: Rows<'_>, shift: Rows<'_>, eps: f32) -> Vec<f32> {
    rows(
        x.len(),
        width,
        #[inline(always)]
        |token, out| {
            let x = &x[token * width..][..width];
            let (scale, shift) = (scale.of(token, width), shift.of(token, width));
            let inverse = inverse(x, eps);
            for i in 0..width {
                out[i] = x[i] * inverse * (scale[i] + 1.0) + shift[i];
            }
        },
    )
}

/// The gradient of x, given that of [`modulated`].
pub(crate) fn modulated_backward(
    x: &[f32],
    grad: &[f32],
    width: usize,
    scale: Rows<'_>,
    eps: f32,
) -> Vec<f32> {
    rows(
        x.len(),
        width,
        #[inline(always)]
        |token, out| {
            let (x, grad) = (&x[token * width..][..width], &grad[token * width..][..width]);
            let scale = scale.of(token, width);
            for i in 0..width {
                out[i] = grad[i] * (scale[i] + 1.0);
            }
            norm_backward(x, out, eps);
        },
    )
}

/// Turns the gradient of `rms(x)` into that of x: `(g - x <g, x> / (D s²)) / s`, with `s` the root mean square.
#[inline(always)]
fn norm_backward(x: &[f32], grad: &mut [f32], eps: f32) {
    let inverse = inverse(x, eps);
    let along = reduce::sum(x.len(), |i| grad[i] * x[i]) / x.len() as f32 * inverse * inverse;
    for (grad, x) in grad.iter_mut().zip(x) {
        *grad = (*grad - x * along) * inverse;
    }
}

/// Cosines and sines of every head and token, `[H, T, d/2]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rotation<'a> {
    pub(crate) cos: &'a [f32],
    pub(crate) sin: &'a [f32],
    pub(crate) heads: usize,
    pub(crate) tokens: usize,
}

impl Rotation<'_> {
    /// Rotates the heads of one token, forwards (`turn` 1) or back (-1).
    #[inline(always)]
    fn turn(&self, token: usize, values: &mut [f32], turn: f32) {
        let half = values.len() / self.heads / 2;
        let token = token % self.tokens;
        for (head, values) in values.chunks_exact_mut(2 * half).enumerate() {
            let at = (head * self.tokens + token) * half;
            let (cos, sin) = (&self.cos[at..][..half], &self.sin[at..][..half]);
            let (first, second) = values.split_at_mut(half);
            for i in 0..half {
                let (a, b, sin) = (first[i], second[i], turn * sin[i]);
                first[i] = a * cos[i] - b * sin;
                second[i] = b * cos[i] + a * sin;
            }
        }
    }
}

/// `rms(x) weight`, its heads rotated.
pub(crate) fn weighted(x: &[f32], weight: &[f32], rotation: Option<Rotation<'_>>, eps: f32) -> Vec<f32> {
    let width = weight.len();
    rows(
        x.len(),
        width,
        #[inline(always)]
        |token, out| {
            let x = &x[token * width..][..width];
            let inverse = inverse(x, eps);
            for i in 0..width {
                out[i] = x[i] * inverse * weight[i];
            }
            if let Some(rotation) = &rotation {
                rotation.turn(token, out, 1.0);
            }
        },
    )
}

/// The gradient of x, given that of [`weighted`].
pub(crate) fn weighted_backward(
    x: &[f32],
    grad: &[f32],
    weight: &[f32],
    rotation: Option<Rotation<'_>>,
    eps: f32,
) -> Vec<f32> {
    let width = weight.len();
    rows(
        x.len(),
        width,
        #[inline(always)]
        |token, out| {
            out.copy_from_slice(&grad[token * width..][..width]);
            if let Some(rotation) = &rotation {
                rotation.turn(token, out, -1.0);
            }
            for i in 0..width {
                out[i] *= weight[i];
            }
            norm_backward(&x[token * width..][..width], out, eps);
        },
    )
}

/// `x + out gate` for every token.
pub(crate) fn gated_sum(x: &[f32], out: &[f32], width: usize, gate: Rows<'_>) -> Vec<f32> {
    rows(
        x.len(),
        width,
        #[inline(always)]
        |token, sum| {
            let (x, out) = (&x[token * width..][..width], &out[token * width..][..width]);
            let gate = gate.of(token, width);
            for i in 0..width {
                sum[i] = x[i] + out[i] * gate[i];
            }
        },
    )
}

/// `grad gate` for every token.
pub(crate) fn gated(grad: &[f32], width: usize, gate: Rows<'_>) -> Vec<f32> {
    rows(
        grad.len(),
        width,
        #[inline(always)]
        |token, out| {
            let (grad, gate) = (&grad[token * width..][..width], gate.of(token, width));
            for i in 0..width {
                out[i] = grad[i] * gate[i];
            }
        },
    )
}
