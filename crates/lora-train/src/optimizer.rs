//! AdamW over all adapters, with the gradients clipped by their global norm.

use burn::tensor::Tensor;
use ltx_model::{TransformerLora, to_host};

use crate::maths::{self, AdamW, Moments};

/// The optimiser: moments of `A` and `B` of every module, and how many updates were made.
#[derive(Debug, Clone)]
pub struct Optimizer {
    pub(crate) adamw: AdamW,
    pub(crate) moments: Vec<[Moments; 2]>,
    pub(crate) updates: i32,
}

impl Optimizer {
    /// An optimiser that has seen no gradient yet.
    pub fn new(adamw: AdamW, lora: &TransformerLora) -> Self {
        let zero = |p: &Tensor<2>| Moments { m: p.zeros_like(), s: p.zeros_like() };
        let moments = lora.modules().map(|(_, pair)| [zero(&pair.lora_a), zero(&pair.lora_b)]).collect();
        Self { adamw, moments, updates: 0 }
    }

    /// The moments of `A` and `B` of every module, in the order of [`TransformerLora::modules`].
    pub fn moments(&self) -> &[[Moments; 2]] {
        &self.moments
    }

    /// Updates made.
    pub fn updates(&self) -> i32 {
        self.updates
    }

    /// One update of every adapter with `gradients`, in the order of [`TransformerLora::modules`].
    pub fn update(&mut self, lora: &mut TransformerLora, gradients: &[[Tensor<2>; 2]], lr: f64) {
        self.updates += 1;
        let pairs = lora.transformer_blocks.iter_mut().flat_map(|block| block.pairs_mut());
        for ((pair, [of_a, of_b]), [a, b]) in pairs.zip(gradients).zip(&mut self.moments) {
            for (factor, gradient, moments) in [(&mut pair.lora_a, of_a, a), (&mut pair.lora_b, of_b, b)] {
                let (next, next_moments) =
                    self.adamw.update(factor.clone(), gradient, moments.clone(), lr, self.updates);
                (*factor, *moments) = (next, next_moments);
            }
        }
    }
}

/// Gradients of several micro-steps, averaged.
pub fn accumulate(
    sum: Option<Vec<[Tensor<2>; 2]>>,
    more: Vec<[Tensor<2>; 2]>,
    count: usize,
) -> Vec<[Tensor<2>; 2]> {
    let share = 1.0 / count as f64;
    let scale = |pair: [Tensor<2>; 2]| if count == 1 { pair } else { pair.map(|g| g * share) };
    let more = more.into_iter().map(scale);
    match sum {
        None => more.collect(),
        Some(sum) => sum.into_iter().zip(more).map(|([a, b], [c, d])| [a + c, b + d]).collect(),
    }
}

/// The L2 norm over all gradients.
pub fn global_norm(gradients: &[[Tensor<2>; 2]]) -> f64 {
    let squares: Vec<Tensor<1>> =
        gradients.iter().flatten().map(|gradient| gradient.clone().square().sum()).collect();
    // One read from the device, not one a tensor.
    to_host(Tensor::cat(squares, 0)).0.into_iter().map(f64::from).sum::<f64>().sqrt()
}

/// Scales all gradients so that their global norm `norm` does not exceed `max_norm`.
pub fn clip(gradients: Vec<[Tensor<2>; 2]>, norm: f64, max_norm: f64) -> Vec<[Tensor<2>; 2]> {
    let factor = maths::clip_factor(norm, max_norm);
    if factor == 1.0 {
        return gradients;
    }
    gradients.into_iter().map(|pair| pair.map(|gradient| gradient * factor)).collect()
}
