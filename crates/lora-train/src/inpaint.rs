//! A latent example inpainted, with or without adapters: what its prompt makes of the cells that are not kept.

use std::ops::ControlFlow;

use burn::tensor::{Tensor, TensorData};
use ltx_model::{
    Guidance, Inpainting, Positions, Prompts, Rope, STG_BLOCK, SampleStep, Sampler, Schedule, Transformer,
    TransformerLora,
};
use ndarray::Array2;
use tensor_batch::LatentExample;

use crate::{
    random::{Draws, Purpose},
    step::{tokens, upload},
};

/// How samples are drawn. The defaults are the reference's.
#[derive(Debug, Clone, PartialEq)]
pub struct InpaintPlan {
    /// The noise levels.
    pub schedule: Schedule,
    /// Strength of the prompt against the negative prompt; 1 leaves the latter out.
    pub cfg: f64,
    /// Strength of spatio-temporal guidance; 0 leaves it out.
    pub stg: f64,
    /// The block that it perturbs, of 48: the one in the same place of a model of any depth.
    pub stg_block: usize,
    /// How far the spread of the result is brought back to the prediction's own, 0 to 1.
    pub rescale: f64,
    /// The noise is a function of it and of the sample's index.
    pub seed: u64,
}

impl Default for InpaintPlan {
    fn default() -> Self {
        let Guidance { cfg, stg, rescale, .. } = Guidance::reference(48);
        Self { schedule: Schedule::default(), cfg, stg, stg_block: STG_BLOCK, rescale, seed: 42 }
    }
}

impl InpaintPlan {
    fn guidance(&self, layers: usize) -> Guidance {
        let block = Guidance::stg_block(self.stg_block, layers).min(layers.saturating_sub(1));
        Guidance { cfg: self.cfg, stg: self.stg, stg_blocks: vec![block], rescale: self.rescale }
    }
}

/// The latents `[1, 128, F', H', W']` of `example` with its generated cells drawn anew; kept ones are what they were, and
/// what lay under the others is not seen. `negative` `[L, D]` is the context of what shall not be seen. The noise depends
/// on the plan's seed and `index` alone, so that pictures of different adapters can be compared.
///
/// `observe` is told after each step how many are done; when it breaks, there is no result.
pub fn inpaint(
    model: &Transformer,
    lora: Option<&TransformerLora>,
    example: &LatentExample,
    negative: &Array2<f32>,
    plan: &InpaintPlan,
    index: usize,
    observe: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Option<Tensor<5>> {
    let (grid, device) = (example.grid(), model.device());
    let channels = example.latents().dim().0;
    let clean = tokens(example.latents().iter().copied().collect(), channels, grid.tokens(), device);
    let noise = Draws::new(plan.seed, Purpose::Preview, index as u64).normals(grid.tokens() * channels);
    let noise = Tensor::from_data(TensorData::new(noise, [1, grid.tokens(), channels]), device);
    let kept = example.keep().keep().values().iter().copied().collect();
    let context =
        |rows: &Array2<f32>| upload(rows.iter().copied().collect(), [1, rows.nrows(), rows.ncols()], device);
    let prompts = Prompts { positive: context(example.context()), negative: context(negative) };
    let rope = Rope::new(&Positions::of(grid, example.rate()), model.config(), device);
    let sampler = Sampler { model, lora, rope: &rope, guidance: plan.guidance(model.config().num_layers) };
    let mut told = |step: SampleStep| observe(step.step + 1);
    let sigmas = plan.schedule.sigmas(grid.tokens());
    let sampled = sampler.sample(&Inpainting::new(clean, kept, noise), &prompts, &sigmas, &mut told)?;
    Some(sampled.swap_dims(1, 2).reshape([1, channels, grid.frames, grid.height, grid.width]))
}
