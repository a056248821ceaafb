//! How fast a device does what a training step spends its time in, by our own way of asking for it.

use std::time::Instant;

use burn::tensor::{DType, Device, Distribution, Tensor};
use ltx_model::{
    operations::{frozen_linear, multi_head_attention},
    vector_jacobian,
};
use serde_json::{Value, json};

use crate::case::Result;

/// Weights that take turns, so that none is found in the cache, as no layer of a model is.
const WEIGHTS: usize = 4;
/// Rounds, of which the median counts.
const ROUNDS: usize = 5;

/// What is measured.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// Video tokens.
    pub tokens: &'static [usize],
    /// Width of the model.
    pub width: usize,
    /// Its heads.
    pub heads: usize,
    /// Values that are copied.
    pub copied: usize,
    /// Turns of a round.
    pub turns: usize,
}

impl Sizes {
    /// The published model at three of the service's sizes.
    pub const REAL: Self =
        Self { tokens: &[3_072, 6_912, 10_800], width: 4_096, heads: 32, copied: 2 << 30, turns: 10 };
    /// What a CPU does in no time.
    pub const TINY: Self = Self { tokens: &[16, 32], width: 64, heads: 4, copied: 1 << 16, turns: 2 };
}

/// Where, and in which number format.
#[derive(Debug, Clone)]
pub struct On {
    /// The device.
    pub device: Device,
    /// The format of all operands.
    pub dtype: DType,
}

impl On {
    fn noise<const D: usize>(&self, shape: [usize; D]) -> Tensor<D> {
        Tensor::<D>::random(shape, Distribution::Normal(0.0, 1.0), &self.device).cast(self.dtype)
    }

    /// The median seconds of a run; `run` is given the number of its turn.
    fn seconds<T>(&self, turns: usize, mut run: impl FnMut(usize) -> T) -> Result<f64> {
        let mut times = Vec::new();
        for _ in 0..=ROUNDS {
            self.device.sync()?;
            let start = Instant::now();
            (0..turns).for_each(|turn| drop(run(turn)));
            self.device.sync()?;
            times.push(start.elapsed().as_secs_f64() / turns as f64);
        }
        // The first round chooses kernels and fills pools.
        times.remove(0);
        times.sort_by(f64::total_cmp);
        Ok(times[ROUNDS / 2])
    }
}

/// Products of the model's shapes as its layers make them, and a pass over memory.
///
/// # Errors
/// If the device fails, or a line cannot be told.
pub fn products(on: &On, sizes: &Sizes, tell: &mut dyn FnMut(&Value) -> Result<()>) -> Result<()> {
    let (width, hidden) = (sizes.width, 4 * sizes.width);
    for (inputs, outputs) in [(width, width), (width, hidden), (hidden, width)] {
        let weights: Vec<Tensor<2>> = (0..WEIGHTS).map(|_| on.noise([outputs, inputs])).collect();
        let bias: Tensor<1> = on.noise([outputs]);
        for &tokens in sizes.tokens {
            let x: Tensor<2> = on.noise([tokens, inputs]);
            let product = |turn: usize| frozen_linear(x.clone(), &weights[turn % WEIGHTS], &bias);
            let seconds = on.seconds(sizes.turns, product)?;
            let operations = 2.0 * tokens as f64 * inputs as f64 * outputs as f64;
            tell(&json!({
                "what": "matmul", "side": "ours", "m": tokens, "k": inputs, "n": outputs, "seconds": seconds,
                "tflops": operations / seconds / 1e12,
            }))?;
        }
    }
    // Read once and written once, by the backend's own kernel.
    let source: Tensor<1> = on.noise([sizes.copied]);
    let seconds = on.seconds(sizes.turns, |_| source.clone() * 2.0)?;
    let bytes = 2 * sizes.copied * on.dtype.size();
    let rate = bytes as f64 / seconds / 1e9;
    tell(&json!({"what": "copy", "side": "ours", "bytes": bytes, "seconds": seconds, "gbps": rate}))
}

/// Attention there and back. The way back is what both take together less the way there, the scores counted five times
/// where they are counted twice on the way there.
///
/// # Errors
/// As [`products`].
pub fn attentions(on: &On, sizes: &Sizes, tell: &mut dyn FnMut(&Value) -> Result<()>) -> Result<()> {
    for &tokens in sizes.tokens {
        let noise = || on.noise::<3>([1, tokens, sizes.width]);
        let (given, upstream) = ([noise(), noise(), noise()], noise());
        let there = on.seconds(sizes.turns, |_| multi_head_attention(given.clone(), sizes.heads))?;
        let both = on.seconds(sizes.turns, |_| {
            let given = given.clone().map(|x| x.autodiff().require_grad());
            vector_jacobian(multi_head_attention(given, sizes.heads), upstream.clone())
        })?;
        let operations = 4.0 * (tokens * tokens) as f64 * sizes.width as f64;
        for (direction, seconds, operations) in
            [("forward", there, operations), ("backward", both - there, 2.5 * operations)]
        {
            tell(&json!({
                "what": "attention", "side": "ours", "tokens": tokens, "direction": direction, "seconds": seconds,
                "tflops": operations / seconds / 1e12,
            }))?;
        }
    }
    Ok(())
}
