//! Randomness without state: every draw is a function of (seed, purpose, index), the same on every device.
//!
//! ChaCha is a counter-based generator, so a key and a stream number name an independent sequence.

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};
use rand_distr::{Distribution, StandardNormal};

use crate::maths::SigmaDraw;

/// What a sequence of draws is for; sequences of different purposes are independent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The initial adapters.
    Init,
    /// The order of examples, by pass.
    Order,
    /// Sigma and noise of a training micro-step.
    Step,
    /// Sigma and noise of the fixed draws.
    Fixed,
    /// Which examples are kept out of training.
    HoldOut,
    /// The noise that previews begin with, by sample.
    Preview,
}

/// One sequence of draws.
#[derive(Debug, Clone)]
pub struct Draws(ChaCha8Rng);

impl Draws {
    /// Sequence `index` of a purpose.
    pub fn new(seed: u64, purpose: Purpose, index: u64) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8] = purpose as u8;
        let mut rng = ChaCha8Rng::from_seed(key);
        rng.set_stream(index);
        Self(rng)
    }

    /// Uniform in [0, 1), with 53 bits.
    pub fn uniform(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Standard normal.
    pub fn normal(&mut self) -> f64 {
        StandardNormal.sample(&mut self.0)
    }

    /// `count` standard normals.
    pub fn normals(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.normal() as f32).collect()
    }

    /// What one sigma takes.
    pub fn sigma(&mut self) -> SigmaDraw {
        SigmaDraw { z: self.normal(), u: self.uniform(), p: self.uniform() }
    }

    /// The numbers below `count`, shuffled.
    pub fn permutation(&mut self, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        for i in (1..count).rev() {
            order.swap(i, (self.uniform() * (i + 1) as f64) as usize);
        }
        order
    }
}

/// The example of micro-step `index` (from 0): shuffled passes, each example once a pass.
pub fn example_of(seed: u64, index: u64, examples: usize) -> usize {
    let count = examples.max(1) as u64;
    let order = Draws::new(seed, Purpose::Order, index / count).permutation(count as usize);
    order[(index % count) as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draw_depends_on_nothing_but_its_name() {
        let draw = |seed, purpose, index| Draws::new(seed, purpose, index).normals(4);
        assert_eq!(draw(1, Purpose::Step, 7), draw(1, Purpose::Step, 7));
        assert_ne!(draw(1, Purpose::Step, 7), draw(2, Purpose::Step, 7));
        assert_ne!(draw(1, Purpose::Step, 7), draw(1, Purpose::Step, 8));
        assert_ne!(draw(1, Purpose::Step, 7), draw(1, Purpose::Fixed, 7));
    }

    #[test]
    fn a_pass_takes_every_example_once_and_the_next_in_another_order() {
        let pass = |p: u64| (0..9).map(|i| example_of(3, p * 9 + i, 9)).collect::<Vec<_>>();
        for p in 0..4 {
            let mut sorted = pass(p);
            sorted.sort_unstable();
            assert_eq!(sorted, (0..9).collect::<Vec<_>>());
        }
        assert_ne!(pass(0), pass(1));
    }

    #[test]
    fn normals_have_mean_0_and_variance_1() {
        let values = Draws::new(5, Purpose::Init, 0).normals(100_000);
        let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / 1e5;
        let variance = values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / 1e5;
        assert!(mean.abs() < 0.01 && (variance - 1.0).abs() < 0.02, "{mean} {variance}");
    }
}
