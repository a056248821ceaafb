//! A training step, block by block, against the same step over one whole graph: time by turns, in one run.
//!
//! `cargo run --release -p benches --bin step [CHECKPOINT]`; without one, the tiny model.
#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::{env, error::Error, path::Path, time::Instant};

use burn::tensor::{Device, Distribution, Tensor};
use lora_train::{
    adapters, maths,
    step::{self, Batch},
};
use ltx_model::{Checkpoint, Positions, Rope, Transformer, TransformerLora};
use tensor_batch::{FrameRate, LatentGrid, Rank};

const ROUNDS: usize = 5;

fn main() -> Result<(), Box<dyn Error>> {
    let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/tiny/tiny-ltx-2.3.safetensors");
    let path = env::args_os().nth(1).map_or(tiny, Into::into);
    let device = Device::flex();
    let model = Transformer::load(&Checkpoint::open(&path)?, &device)?;
    let lora = adapters::init(model.config(), Rank::R32, 1, &device);
    println!("{:>6} {:>14} {:>14} {:>7}", "tokens", "by block (s)", "whole (s)", "ratio");
    for side in [8, 16] {
        let batch = batch(&model, LatentGrid { frames: 4, height: side, width: side })?;
        let (mut by_block, mut whole) = (f64::INFINITY, f64::INFINITY);
        for _ in 0..ROUNDS {
            by_block = by_block.min(seconds(|| drop(step::gradients(&model, &lora, &batch))));
            whole = whole.min(seconds(|| whole_graph(&model, &lora, &batch)));
        }
        println!("{:>6} {by_block:>14.4} {whole:>14.4} {:>7.2}", batch.kept.len(), by_block / whole);
    }
    Ok(())
}

fn seconds(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

/// Noise for latents, half of the tokens kept.
fn batch(model: &Transformer, grid: LatentGrid) -> Result<Batch, Box<dyn Error>> {
    let (device, config) = (model.device(), model.config());
    let random = |shape: [usize; 3]| Tensor::<3>::random(shape, Distribution::Normal(0.0, 1.0), device);
    Ok(Batch {
        clean: random([1, grid.tokens(), config.in_channels]),
        noise: random([1, grid.tokens(), config.in_channels]),
        kept: (0..grid.tokens()).map(|token| token % 2 == 0).collect(),
        sigma: vec![0.5],
        context: random([1, 128, config.cross_attention_dim]),
        rope: Rope::new(&Positions::of(grid, FrameRate::new(24.0)?), config, device),
    })
}

/// The same gradients with every block in one graph.
fn whole_graph(model: &Transformer, lora: &TransformerLora, batch: &Batch) {
    let noised = batch.noised();
    let tracked =
        TransformerLora { transformer_blocks: lora.transformer_blocks.iter().map(|b| b.tracked()).collect() };
    let velocity = model.forward(&step::input(batch, &noised), Some(&tracked), &[]);
    let graph = maths::masked_mse(velocity, noised.target.clone(), &noised.kept).mean().backward();
    drop(
        tracked
            .modules()
            .map(|(_, pair)| (pair.lora_a.grad(&graph), pair.lora_b.grad(&graph)))
            .collect::<Vec<_>>(),
    );
}
