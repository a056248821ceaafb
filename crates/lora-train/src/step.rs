//! Loss and gradients of one batch, block by block: beyond a budget, memory grows with a block's input and not with
//! all that was computed inside it.

use burn::tensor::{Device, Tensor, TensorData};
use ltx_model::{
    Block, BlockLora, Conditions, LoraPair, Positions, Rope, TokenTimesteps, Transformer, TransformerInput,
    TransformerLora, vector_jacobian,
};
use tensor_batch::{Blame, Fault, LatentExample};

use crate::{
    maths::{self, SigmaSampler},
    memory::{Formats, StepSize},
    random::Draws,
};

/// Clean latents with their noise: all that a step takes besides the model. Its parts agree, and every sample has
/// something to generate: the loss of one without would be 0 whatever the model says, and teach nothing.
#[derive(Debug, Clone)]
pub struct Batch {
    clean: Tensor<3>,
    noise: Tensor<3>,
    kept: Vec<bool>,
    sigma: Vec<f32>,
    context: Tensor<3>,
    rope: Rope,
}

/// Why parts make no batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadBatch {
    /// A part does not go with the clean latents.
    #[error("`{part}` is {found:?}, and the clean latents want {wanted:?}")]
    Shape {
        /// The part.
        part: &'static str,
        /// Its shape.
        found: Vec<usize>,
        /// The shape that goes with the clean latents.
        wanted: Vec<usize>,
    },
    /// A sample has no token to generate.
    #[error("sample {sample} has no token to generate")]
    NothingGenerated {
        /// The sample, from 0.
        sample: usize,
    },
}

impl Blame for BadBatch {
    fn fault(&self) -> Fault {
        Fault::Service
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Shape { .. } => "batch-shape",
            Self::NothingGenerated { .. } => "nothing-to-generate",
        }
    }
}

impl Batch {
    /// A batch of B samples of T tokens: clean latents `[B, T, 128]`, noise `[B, T, 128]`, which tokens are kept
    /// `[B T]`, row after row, the noise level of every sample `[B]`, the text context `[B, S, C]`, and the rotary
    /// table of the tokens' positions.
    ///
    /// # Errors
    /// If a part does not go with the clean latents, or a sample keeps all of its tokens.
    pub fn new(
        clean: Tensor<3>,
        noise: Tensor<3>,
        kept: Vec<bool>,
        sigma: Vec<f32>,
        context: Tensor<3>,
        rope: Rope,
    ) -> Result<Self, BadBatch> {
        let [samples, tokens, channels] = clean.dims();
        let parts: [(_, &[usize], &[usize]); 4] = [
            ("noise", &noise.dims(), &[samples, tokens, channels]),
            ("kept", &[kept.len()], &[samples * tokens]),
            ("sigma", &[sigma.len()], &[samples]),
            ("context", &context.dims()[..1], &[samples]),
        ];
        for (part, found, wanted) in parts {
            if found != wanted {
                return Err(BadBatch::Shape { part, found: found.into(), wanted: wanted.into() });
            }
        }
        let all_kept = |sample: &usize| kept[sample * tokens..][..tokens].iter().all(|kept| *kept);
        if let Some(sample) = (0..samples).find(all_kept) {
            return Err(BadBatch::NothingGenerated { sample });
        }
        Ok(Self { clean, noise, kept, sigma, context, rope })
    }

    /// One example, noised as `draws` say. It has something to generate, because its mask has.
    pub fn of(
        example: &LatentExample,
        model: &Transformer,
        sampler: &SigmaSampler,
        draws: &mut Draws,
    ) -> Self {
        let (grid, device) = (example.grid(), model.device());
        let sigma = sampler.sigma(grid.tokens(), draws.sigma());
        let latents = example.latents();
        let channels = latents.dim().0;
        let noise = draws.normals(grid.tokens() * channels);
        let context = example.context();
        Self {
            clean: tokens(latents.iter().copied().collect(), channels, grid.tokens(), device),
            noise: Tensor::from_data(TensorData::new(noise, [1, grid.tokens(), channels]), device),
            kept: example.keep().keep().values().iter().copied().collect(),
            sigma: vec![sigma],
            context: upload(context.iter().copied().collect(), [1, context.nrows(), context.ncols()], device),
            rope: Rope::new(&Positions::of(grid, example.rate()), model.config(), device),
        }
    }

    /// Clean latent tokens, `[B, T, 128]`.
    pub fn clean(&self) -> &Tensor<3> {
        &self.clean
    }

    /// Noise, `[B, T, 128]`.
    pub fn noise(&self) -> &Tensor<3> {
        &self.noise
    }

    /// Which tokens are kept, `[B T]`, row after row.
    pub fn kept(&self) -> &[bool] {
        &self.kept
    }

    /// The noise level of every sample.
    pub fn sigma(&self) -> &[f32] {
        &self.sigma
    }

    /// Text context, `[B, S, C]`.
    pub fn context(&self) -> &Tensor<3> {
        &self.context
    }

    /// The batch as the model sees it.
    pub fn noised(&self) -> Noised {
        let [batch, count, _] = self.clean.dims();
        let device = self.clean.device();
        let kept: Vec<f32> = self.kept.iter().map(|kept| f32::from(*kept)).collect();
        let kept = upload(kept, [batch, count, 1], &device);
        let sigma = upload(self.sigma.clone(), [batch, 1, 1], &device);
        Noised {
            latents: maths::noised(&self.clean, &self.noise, &sigma, &kept),
            target: maths::velocity(&self.clean, &self.noise),
            timesteps: TokenTimesteps::new(batch, &maths::token_timesteps(&self.sigma, &self.kept)),
            kept,
        }
    }
}

pub(crate) fn upload<const D: usize>(values: Vec<f32>, shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// Latents `[C, F' H' W']` to tokens `[1, T, C]`.
pub(crate) fn tokens(values: Vec<f32>, channels: usize, count: usize, device: &Device) -> Tensor<3> {
    upload(values, [1, channels, count], device).swap_dims(1, 2)
}

/// A noised batch.
#[derive(Debug, Clone)]
pub struct Noised {
    /// What the model sees, `[B, T, 128]`.
    pub latents: Tensor<3>,
    /// The velocity that it should predict, `[B, T, 128]`.
    pub target: Tensor<3>,
    /// The timestep of every token.
    pub timesteps: TokenTimesteps,
    /// 1 where a token is kept, `[B, T, 1]`.
    pub kept: Tensor<3>,
}

/// What a step gives: the loss of every sample, and the gradient of every adapter.
#[derive(Debug, Clone)]
pub struct StepGradients {
    /// The loss of every sample, `[B]`; the mean is what was differentiated. Reading it waits for the device, which can
    /// be given the rest of a step before.
    pub loss: Tensor<1>,
    /// The gradients of `A` and `B`, in the order of [`TransformerLora::modules`].
    pub gradients: Vec<[Tensor<2>; 2]>,
}

/// The model's prediction for a noised batch, `[B, T, 128]`, and its loss per sample, without gradients.
pub fn predict(model: &Transformer, lora: &TransformerLora, batch: &Batch) -> (Tensor<3>, Tensor<1>) {
    let noised = batch.noised();
    let prediction = model.forward(&input(batch, &noised), Some(lora), &[]);
    let loss = maths::masked_mse(prediction.clone(), noised.target.clone(), &noised.kept);
    (prediction, loss)
}

/// Bytes of the forward pass that [`gradients`] keeps on the CPU rather than computing them twice: a small model trains
/// as fast as it can, and a large one in little memory.
pub const KEPT_BYTES: u64 = 1 << 30;

/// Loss and gradients of one batch, keeping of the forward pass [`KEPT_BYTES`] on the CPU, and on a GPU what it has room
/// for.
pub fn gradients(model: &Transformer, lora: &TransformerLora, batch: &Batch) -> StepGradients {
    let kept_bytes = StepSize::of(model.config(), lora, batch).kept_bytes_of(model);
    gradients_within(model, lora, batch, kept_bytes)
}

/// Loss and gradients of one batch, keeping the graphs of as many blocks as fit into `kept_bytes`.
pub fn gradients_within(
    model: &Transformer,
    lora: &TransformerLora,
    batch: &Batch,
    kept_bytes: u64,
) -> StepGradients {
    let kept = StepSize::of(model.config(), lora, batch).kept_blocks_in(&Formats::of(model), kept_bytes);
    gradients_keeping(model, lora, batch, kept)
}

/// Loss and gradients of one batch.
///
/// The last `kept` blocks keep the graph of their forward pass. The others keep their input only; the backward pass
/// runs each of them once more. The numbers do not depend on how many there are.
pub fn gradients_keeping(
    model: &Transformer,
    lora: &TransformerLora,
    batch: &Batch,
    kept: usize,
) -> StepGradients {
    // A block whose weights only visit the device must not hold them there.
    let kept = kept.min(model.config().num_layers - model.hosted());
    let noised = batch.noised();
    let conditions = model.conditions(&input(batch, &noised));
    let (x, mut passes) = forward(model, lora, &conditions, noised.latents.clone(), kept);

    let x = x.autodiff().require_grad();
    let per_sample =
        maths::masked_mse(model.project(x.clone(), &conditions), noised.target.clone(), &noised.kept);
    let loss = per_sample.clone().inner();
    let mut upstream = gradient(&x, &per_sample.mean().backward());
    drop(x);

    let mut gradients = Vec::with_capacity(8 * passes.len());
    let mut visits = model.visits();
    for (i, lora) in lora.transformer_blocks.iter().enumerate().rev() {
        let pass = match passes.pop() {
            Some(Pass::Graph(pass)) => {
                visits.expect(i.checked_sub(1));
                pass
            }
            Some(Pass::Input(x)) => {
                let block = visits.block(i, i.checked_sub(1));
                Graph::of(&block, x, &conditions, lora)
            }
            None => break,
        };
        let graph = vector_jacobian(pass.y, upstream);
        upstream = gradient(&pass.x, &graph);
        gradients.extend(block_gradients(&pass.lora, &graph).into_iter().rev());
    }
    gradients.reverse();
    StepGradients { loss, gradients }
}

/// What the forward pass of a block leaves for its backward pass.
#[allow(clippy::large_enum_variant, reason = "there is one for each block")]
enum Pass {
    Input(Tensor<3>),
    Graph(Graph),
}

/// A block's gradient graph: its leaves, and what was computed from them.
struct Graph {
    x: Tensor<3>,
    lora: BlockLora,
    y: Tensor<3>,
}

impl Graph {
    fn of(block: &Block, x: Tensor<3>, conditions: &Conditions<'_>, lora: &BlockLora) -> Self {
        let (x, lora) = (x.autodiff().require_grad(), lora.tracked());
        let y = block.forward(x.clone(), conditions, Some(&lora));
        Self { x, lora, y }
    }
}

/// What the model sees of a noised batch.
pub fn input<'a>(batch: &'a Batch, noised: &'a Noised) -> TransformerInput<'a> {
    TransformerInput {
        latents: noised.latents.clone(),
        timesteps: &noised.timesteps,
        sigma: &batch.sigma,
        context: batch.context.clone(),
        context_mask: None,
        rope: &batch.rope,
    }
}

/// The residual stream after the last block, and what each block leaves; the last `kept` leave their graph.
fn forward(
    model: &Transformer,
    lora: &TransformerLora,
    conditions: &Conditions<'_>,
    latents: Tensor<3>,
    kept: usize,
) -> (Tensor<3>, Vec<Pass>) {
    let layers = model.blocks().len();
    let mut passes = Vec::with_capacity(layers);
    let mut x = model.embed(latents);
    let mut visits = model.visits();
    for (i, lora) in lora.transformer_blocks.iter().enumerate() {
        let block = visits.block(i, Some(i + 1));
        if i + kept < layers {
            passes.push(Pass::Input(x.clone()));
            x = block.forward(x, conditions, Some(lora));
        } else {
            let graph = Graph::of(&block, x, conditions, lora);
            x = graph.y.clone().inner();
            passes.push(Pass::Graph(graph));
        }
    }
    (x, passes)
}

fn block_gradients(lora: &BlockLora, graph: &burn::tensor::Gradients) -> Vec<[Tensor<2>; 2]> {
    let of = |pair: &LoraPair| [gradient(&pair.lora_a, graph), gradient(&pair.lora_b, graph)];
    lora.pairs().into_iter().map(of).collect()
}

/// The gradient of a leaf; zero if the loss does not depend on it.
fn gradient<const D: usize>(leaf: &Tensor<D>, graph: &burn::tensor::Gradients) -> Tensor<D> {
    leaf.grad(graph).unwrap_or_else(|| leaf.clone().inner().zeros_like())
}

#[cfg(test)]
mod tests {
    use ltx_model::TransformerConfig;
    use tensor_batch::{FrameRate, LatentGrid};

    use super::*;

    /// Two samples of four tokens, which keep these.
    fn batch(kept: [bool; 8], sigma: Vec<f32>) -> Result<Batch, BadBatch> {
        let device = Device::flex();
        let tokens = || Tensor::zeros([2, 4, 128], &device);
        let grid = LatentGrid { frames: 1, height: 2, width: 2 };
        let rope =
            Rope::new(&Positions::of(grid, FrameRate::DEFAULT), &TransformerConfig::ltx_2_3(), &device);
        Batch::new(tokens(), tokens(), kept.into(), sigma, Tensor::zeros([2, 1, 8], &device), rope)
    }

    #[test]
    fn a_sample_without_generated_tokens_makes_no_batch() {
        let mut kept = [true, false, true, true, true, true, false, true];
        assert!(batch(kept, vec![0.5; 2]).is_ok());
        kept[6] = true;
        assert_eq!(batch(kept, vec![0.5; 2]).err(), Some(BadBatch::NothingGenerated { sample: 1 }));
    }

    #[test]
    fn parts_that_do_not_go_together_make_no_batch() {
        let error = batch([false; 8], vec![0.5]).unwrap_err();
        assert_eq!(error.to_string(), "`sigma` is [1], and the clean latents want [2]");
        assert_eq!((error.fault(), error.kind()), (Fault::Service, "batch-shape"));
    }
}
