//! AdamW over all adapters, with the gradients clipped by their global norm.
//!
//! Gradients, and in an update the adapters and moments too, lie side by side in one vector, in the order of
//! [`TransformerLora::modules`], `A` before `B`: a GPU is asked for a few large operations, not for thousands of small
//! ones.

use burn::tensor::Tensor;
use ltx_model::{TransformerLora, to_host};

use crate::maths::{self, AdamW, Moments};

/// Rows that the gradients are cut into, at most; each is summed in float32, and their sums in float64.
const SUMMED_ROWS: usize = 4096;

/// The optimiser: moments of `A` and `B` of every module, and how many updates were made.
#[derive(Debug, Clone)]
pub struct Optimizer {
    pub(crate) adamw: AdamW,
    moments: Vec<[Moments; 2]>,
    /// The same side by side, once an update was made: `moments` are parts of them.
    together: Option<Moments>,
    pub(crate) updates: i32,
}

impl Optimizer {
    /// An optimiser that has seen no gradient yet.
    pub fn new(adamw: AdamW, lora: &TransformerLora) -> Self {
        let zero = |p: &Tensor<2>| Moments { m: p.zeros_like(), s: p.zeros_like() };
        let moments = lora.modules().map(|(_, pair)| [zero(&pair.lora_a), zero(&pair.lora_b)]).collect();
        Self { adamw, moments, together: None, updates: 0 }
    }

    /// The moments of `A` and `B` of every module, in the order of [`TransformerLora::modules`].
    pub fn moments(&self) -> &[[Moments; 2]] {
        &self.moments
    }

    /// The same, to change them.
    pub(crate) fn moments_mut(&mut self) -> &mut [[Moments; 2]] {
        self.together = None;
        &mut self.moments
    }

    /// Updates made.
    pub fn updates(&self) -> i32 {
        self.updates
    }

    /// Prepares an update of every adapter: they are laid side by side, and nothing has changed yet. A GPU should be
    /// given this to do before it is waited for.
    pub fn prepare<'a>(&'a mut self, lora: &'a mut TransformerLora) -> Update<'a> {
        let pairs = lora.transformer_blocks.iter().flat_map(|block| block.pairs());
        let parameters = row(pairs.flat_map(|pair| [&pair.lora_a, &pair.lora_b]));
        Update { optimizer: self, lora, parameters }
    }
}

/// An update of every adapter, prepared by [`Optimizer::prepare`].
#[derive(Debug)]
#[must_use = "nothing has changed yet"]
pub struct Update<'a> {
    optimizer: &'a mut Optimizer,
    lora: &'a mut TransformerLora,
    parameters: Tensor<2>,
}

impl Update<'_> {
    /// Makes the update, with the gradients that [`side_by_side`] made, `[1, n]`, at the learning rate `lr`.
    pub fn apply(self, gradients: &Tensor<2>, lr: f64) {
        let Self { optimizer, lora, parameters } = self;
        let moments = optimizer.together.take().unwrap_or_else(|| {
            let of = |part: fn(&Moments) -> &Tensor<2>| row(optimizer.moments.iter().flatten().map(part));
            Moments { m: of(|moments| &moments.m), s: of(|moments| &moments.s) }
        });
        optimizer.updates += 1;
        let (next, moments) = optimizer.adamw.update(parameters, gradients, moments, lr, optimizer.updates);
        let pairs = lora.transformer_blocks.iter_mut().flat_map(|block| block.pairs_mut());
        let factors = pairs.flat_map(|pair| [&mut pair.lora_a, &mut pair.lora_b]);
        let mut start = 0;
        for (factor, own) in factors.zip(optimizer.moments.iter_mut().flatten()) {
            let shape = factor.dims();
            let count = shape[0] * shape[1];
            let part = |of: &Tensor<2>| of.clone().narrow(1, start, count).reshape(shape);
            (*factor, own.m, own.s) = (part(&next), part(&moments.m), part(&moments.s));
            start += count;
        }
        optimizer.together = Some(moments);
    }
}

/// The gradients of `A` and `B` of every module side by side, `[1, n]`. They are let go themselves.
pub fn side_by_side(gradients: Vec<[Tensor<2>; 2]>) -> Tensor<2> {
    row(gradients.iter().flatten())
}

/// All values of some matrices side by side, `[1, n]`.
fn row<'a>(tensors: impl Iterator<Item = &'a Tensor<2>>) -> Tensor<2> {
    let rows = tensors.map(|tensor| {
        let [rows, columns] = tensor.dims();
        tensor.clone().reshape([1, rows * columns])
    });
    Tensor::cat(rows.collect(), 1)
}

/// Gradients of several micro-steps, averaged.
pub fn accumulate(sum: Option<Tensor<2>>, more: Tensor<2>, count: usize) -> Tensor<2> {
    let more = if count == 1 { more } else { more * (1.0 / count as f64) };
    match sum {
        None => more,
        Some(sum) => sum + more,
    }
}

/// The L2 norm over all gradients. Waits for the device.
///
/// Sums along an axis: the sum over all of a tensor is put together by atomic additions on a GPU, in another order each
/// time.
pub fn global_norm(gradients: &Tensor<2>) -> f64 {
    let count = gradients.dims()[1];
    // Ranks and widths are multiples of powers of two.
    let rows = SUMMED_ROWS.min(1 << count.trailing_zeros().min(usize::BITS - 1)).min(count.max(1));
    let squares = gradients.clone().reshape([rows, count / rows]).square();
    to_host(squares.sum_dim(1)).0.into_iter().map(f64::from).sum::<f64>().sqrt()
}

/// Scales all gradients so that their global norm `norm` does not exceed `max_norm`.
pub fn clip(gradients: Tensor<2>, norm: f64, max_norm: f64) -> Tensor<2> {
    let factor = maths::clip_factor(norm, max_norm);
    if factor == 1.0 { gradients } else { gradients * factor }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;

    fn ones(rows: usize, columns: usize) -> Tensor<2> {
        Tensor::from_data(TensorData::new(vec![1f32; rows * columns], [rows, columns]), &Device::flex())
    }

    #[test]
    fn every_gradient_counts_in_the_norm_whatever_the_sizes() {
        for (a, b) in [([3, 5], [7, 3]), ([8, 96], [128, 8]), ([64, 256], [4096, 64])] {
            let gradients = side_by_side(vec![[ones(a[0], a[1]), ones(b[0], b[1]) * 2.0]]);
            let squares = (a[0] * a[1] + 4 * b[0] * b[1]) as f64;
            assert!((global_norm(&gradients) / squares.sqrt() - 1.0).abs() < 1e-6, "{a:?} {b:?}");
        }
    }
}
