//! The maths of training, one pure function an equation. The reference is the specification of the official trainer.
//!
//! z clean latents, e noise, sigma the noise level of a sample, m = 1 where a token is kept, w = 1 - m.
//! Tokens are `[B, T, C]`.

use std::f64::consts::PI;

use burn::tensor::Tensor;

/// Binarises a stored mask value: kept above one half; one half itself is generated.
pub fn is_kept(value: f32) -> bool {
    value > 0.5
}

/// `x = m z + w ((1 - sigma) z + sigma e)`: kept tokens stay clean. `sigma` `[B, 1, 1]`, `kept` `[B, T, 1]`.
pub fn noised(z: &Tensor<3>, e: &Tensor<3>, sigma: &Tensor<3>, kept: &Tensor<3>) -> Tensor<3> {
    let x = z.clone() * (sigma.clone().neg() + 1.0) + e.clone() * sigma.clone();
    z.clone() * kept.clone() + x * (kept.clone().neg() + 1.0)
}

/// `v = e - z`.
pub fn velocity(z: &Tensor<3>, e: &Tensor<3>) -> Tensor<3> {
    e.clone() - z.clone()
}

/// `t = (1 - m) sigma` for every token of every sample; `kept` is `[B T]`, row after row.
pub fn token_timesteps(sigma: &[f32], kept: &[bool]) -> Vec<f32> {
    let tokens = kept.len() / sigma.len().max(1);
    kept.iter().enumerate().map(|(i, kept)| if *kept { 0.0 } else { sigma[i / tokens] }).collect()
}

/// `l_b = mean(w (v - v*)²) / max(mean(w), 1e-8)`: the mean squared error over generated tokens, `[B]`.
/// `kept` is `[B, T, 1]`.
pub fn masked_mse(prediction: Tensor<3>, target: Tensor<3>, kept: &Tensor<3>) -> Tensor<1> {
    let generated = kept.clone().neg() + 1.0;
    let share = generated.clone().mean_dim(1).clamp_min(1e-8); // [B, 1, 1]
    let error = (prediction - target).square() * generated;
    let mean: Tensor<3> = error.mean_dim(2).mean_dim(1) / share; // [B, 1, 1]
    let batch = mean.dims()[0];
    mean.reshape([batch])
}

/// How sigma is drawn.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum SigmaSampler {
    /// Logistic-normal, shifted by the number of tokens and stretched to its own percentiles, with a uniform share.
    ShiftedLogitNormal {
        /// Standard deviation of the normal.
        std: f64,
        /// Smallest sigma.
        eps: f64,
        /// Share of uniform draws.
        uniform_prob: f64,
    },
    /// Uniform.
    Uniform {
        /// Smallest sigma.
        min: f64,
        /// Largest sigma.
        max: f64,
    },
}

impl Default for SigmaSampler {
    fn default() -> Self {
        Self::ShiftedLogitNormal { std: 1.0, eps: 1e-3, uniform_prob: 0.1 }
    }
}

/// The draws that one sigma takes: `z` standard normal, `u` and `p` uniform in [0, 1).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SigmaDraw {
    /// Standard normal.
    pub z: f64,
    /// Uniform: the uniform candidate.
    pub u: f64,
    /// Uniform: which candidate is taken.
    pub p: f64,
}

/// `mu = 0.95 + (2.05 - 0.95) (T - 1024) / (4096 - 1024)`, linear and not clamped.
pub fn sigma_shift(tokens: usize) -> f64 {
    0.95 + (2.05 - 0.95) * (tokens as f64 - 1024.0) / (4096.0 - 1024.0)
}

impl SigmaSampler {
    /// The noise level of a sample of `tokens` tokens, 0 to 1.
    pub fn sigma(&self, tokens: usize, draw: SigmaDraw) -> f32 {
        match *self {
            Self::Uniform { min, max } => (min + (max - min) * draw.u) as f32,
            Self::ShiftedLogitNormal { std, eps, uniform_prob } => {
                // In float32, as the reference compares: the edge belongs to the uniform share.
                if draw.p as f32 > uniform_prob as f32 {
                    stretched_logit_normal(sigma_shift(tokens), std, eps, draw.z) as f32
                } else {
                    ((1.0 - eps) * draw.u + eps) as f32
                }
            }
        }
    }
}

/// The quarter of noise levels that `sigma` is in, 0 to 3: left-closed, and values outside [0, 1] in the nearest.
pub fn sigma_quarter(sigma: f32) -> usize {
    // The cast saturates below.
    ((sigma * 4.0) as usize).min(3)
}

/// The logistic of a shifted normal, stretched so that its 0.5th and 99.9th percentiles become 0 and 1, reflected
/// at `eps`, clamped to [0, 1].
fn stretched_logit_normal(mu: f64, std: f64, eps: f64, z: f64) -> f64 {
    let logistic = |x: f64| 1.0 / (1.0 + (-x).exp());
    let (lo, hi) = (logistic(mu - 2.5758 * std), logistic(mu + 3.0902 * std));
    let stretched = (logistic(mu + std * z) - lo) / (hi - lo);
    let reflected = if stretched >= eps { stretched } else { 2.0 * eps - stretched };
    reflected.clamp(0.0, 1.0)
}

/// How the learning rate changes over a run of N optimiser steps.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Scheduler {
    /// `lr`.
    Constant,
    /// `lr (s + (e - s) k / N)`.
    Linear {
        /// s.
        start_factor: f64,
        /// e.
        end_factor: f64,
    },
    /// `eta + (lr - eta) (1 + cos(pi k / N)) / 2`.
    Cosine {
        /// eta.
        eta_min: f64,
    },
    /// Cosine that starts again after every quarter of the run.
    CosineWithRestarts {
        /// The rate at the end of a quarter; a smaller `lr` would rise to it.
        eta_min: f64,
    },
    /// `lr (1 - k / N)^power`.
    Polynomial {
        /// The exponent.
        power: f64,
    },
    /// `lr gamma^(k // (N // 2))`.
    Step {
        /// The factor at half of the run.
        gamma: f64,
    },
}

impl Scheduler {
    /// The reference's linear scheduler: down to a tenth.
    pub const LINEAR: Self = Self::Linear { start_factor: 1.0, end_factor: 0.1 };
    /// The reference's cosine, down to 0.
    pub const COSINE: Self = Self::Cosine { eta_min: 0.0 };
    /// The reference's cosine with restarts, down to 5e-5.
    pub const COSINE_WITH_RESTARTS: Self = Self::CosineWithRestarts { eta_min: 5e-5 };
    /// The reference's polynomial, of power 1.
    pub const POLYNOMIAL: Self = Self::Polynomial { power: 1.0 };
    /// The reference's step, to a tenth.
    pub const STEP: Self = Self::Step { gamma: 0.1 };

    /// The rate of optimiser step `k` of `n`, counted from 0.
    pub fn learning_rate(self, lr: f64, k: usize, n: usize) -> f64 {
        let progress = k.min(n) as f64 / n.max(1) as f64;
        let cosine = |min: f64, at: f64| min + (lr - min) * (1.0 + (PI * at).cos()) / 2.0;
        match self {
            Self::Constant => lr,
            Self::Linear { start_factor, end_factor } => {
                lr * (start_factor + (end_factor - start_factor) * progress)
            }
            Self::Cosine { eta_min } => cosine(eta_min, k as f64 / n.max(1) as f64),
            Self::CosineWithRestarts { eta_min } => {
                let period = (n / 4).max(1);
                cosine(eta_min, (k % period) as f64 / period as f64)
            }
            Self::Polynomial { power } => lr * (1.0 - progress).powf(power),
            Self::Step { gamma } => lr * gamma.powi((k / (n / 2).max(1)) as i32),
        }
    }
}

/// What all gradients are multiplied with: `min(1, max_norm / (norm + 1e-6))`; 1 if `max_norm` is 0.
pub fn clip_factor(norm: f64, max_norm: f64) -> f64 {
    if max_norm == 0.0 { 1.0 } else { (max_norm / (norm + 1e-6)).min(1.0) }
}

/// The numbers of AdamW.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamW {
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
}

/// One parameter with its moments.
#[derive(Debug, Clone)]
pub struct Moments {
    /// First moment.
    pub m: Tensor<2>,
    /// Second moment.
    pub s: Tensor<2>,
}

impl AdamW {
    /// Update number `k` = 1, 2, ... of parameter `p` with gradient `g`:
    ///
    /// `p (1 - lr wd)`; `m = b1 m + (1 - b1) g`; `s = b2 s + (1 - b2) g²`;
    /// `p - lr m / (1 - b1^k) / (sqrt(s) / sqrt(1 - b2^k) + eps)`.
    pub fn update(
        &self,
        p: Tensor<2>,
        g: &Tensor<2>,
        moments: Moments,
        lr: f64,
        k: i32,
    ) -> (Tensor<2>, Moments) {
        let m = moments.m * self.beta1 + g.clone() * (1.0 - self.beta1);
        let s = moments.s * self.beta2 + g.clone().square() * (1.0 - self.beta2);
        let root = s.clone().sqrt() / (1.0 - self.beta2.powi(k)).sqrt() + self.eps;
        let step = lr / (1.0 - self.beta1.powi(k));
        let p = p * (1.0 - lr * self.weight_decay) - m.clone() / root * step;
        (p, Moments { m, s })
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor};

    use super::*;

    fn tokens<const N: usize>(values: [f32; N]) -> Tensor<3> {
        Tensor::<1>::from_floats(values, &Device::flex()).reshape([1, N, 1])
    }

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-6, "{a} is not {b}");
    }

    #[test]
    fn kept_tokens_stay_clean() {
        let sigma = tokens([0.25]);
        let x = noised(&tokens([1.0, 1.0]), &tokens([5.0, 5.0]), &sigma, &tokens([1.0, 0.0]));
        assert_eq!(x.into_data().as_slice::<f32>().unwrap(), [1.0, 2.0]);
        assert_eq!(token_timesteps(&[0.25, 0.5], &[true, false, false, true]), [0.0, 0.25, 0.5, 0.0]);
    }

    #[test]
    fn the_loss_is_the_mean_over_generated_tokens() {
        let loss = masked_mse(tokens([9.0, 1.0, 3.0]), tokens([0.0; 3]), &tokens([1.0, 0.0, 0.0]));
        close(f64::from(loss.into_scalar::<f32>()), 5.0);
        let nothing = masked_mse(tokens([9.0]), tokens([0.0]), &tokens([1.0]));
        close(f64::from(nothing.into_scalar::<f32>()), 0.0);
    }

    #[test]
    fn half_is_generated() {
        assert!(!is_kept(0.5) && is_kept(0.500_001) && !is_kept(0.0));
    }

    #[test]
    fn the_shift_is_linear_and_unclamped() {
        close(sigma_shift(60), 0.604_817_708);
        close(sigma_shift(1024), 0.95);
        close(sigma_shift(4096), 2.05);
        assert!(sigma_shift(14_040) > 5.6);
    }

    #[test]
    fn quarters_are_left_closed_and_take_what_is_outside() {
        let of = [-0.1, 0.0, 0.249_999, 0.25, 0.499_999, 0.5, 0.75, 0.999_999, 1.0, 1.5].map(sigma_quarter);
        assert_eq!(of, [0, 0, 0, 1, 1, 2, 3, 3, 3, 3]);
    }

    #[test]
    fn schedulers_take_the_values_worked_by_hand() {
        let lr = |scheduler: Scheduler, k| scheduler.learning_rate(1e-3, k, 20);
        close(lr(Scheduler::Constant, 19), 1e-3);
        close(lr(Scheduler::LINEAR, 10), 0.55e-3);
        close(lr(Scheduler::COSINE, 10), 0.5e-3);
        close(lr(Scheduler::COSINE_WITH_RESTARTS, 5), 1e-3);
        close(lr(Scheduler::POLYNOMIAL, 15), 0.25e-3);
        close(lr(Scheduler::STEP, 10), 1e-4);
    }

    #[test]
    fn clipping_scales_only_what_is_too_long() {
        close(clip_factor(0.5, 1.0), 1.0);
        close(clip_factor(2.0, 1.0), 1.0 / 2.000_001);
        close(clip_factor(2.0, 0.0), 1.0);
    }

    #[test]
    fn the_first_update_of_adamw_is_the_sign_of_the_gradient() {
        let device = Device::flex();
        let one = |v: f32| Tensor::<2>::from_floats([[v]], &device);
        let adamw = AdamW { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.01 };
        let moments = Moments { m: one(0.0), s: one(0.0) };
        let (p, moments) = adamw.update(one(1.0), &one(-4.0), moments, 0.1, 1);
        close(f64::from(p.into_scalar::<f32>()), 1.0 - 0.001 + 0.1);
        close(f64::from(moments.m.into_scalar::<f32>()), -0.4);
    }
}
