//! Loss and gradients of one batch, block by block: memory grows with one block and not with the depth.

use burn::tensor::{Device, Tensor, TensorData};
use ltx_model::{
    BlockLora, Conditions, LoraPair, Positions, Rope, TokenTimesteps, Transformer, TransformerInput,
    TransformerLora, to_host,
};
use tensor_batch::LatentExample;

use crate::{
    maths::{self, SigmaSampler},
    random::Draws,
};

/// Clean latents with their noise: all that a step takes besides the model.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Clean latent tokens, `[B, T, 128]`.
    pub clean: Tensor<3>,
    /// Noise, `[B, T, 128]`.
    pub noise: Tensor<3>,
    /// Which tokens are kept, `[B T]`, row after row.
    pub kept: Vec<bool>,
    /// The noise level of every sample.
    pub sigma: Vec<f32>,
    /// Text context, `[B, S, C]`.
    pub context: Tensor<3>,
    /// Rotary table of the tokens' positions.
    pub rope: Rope,
}

impl Batch {
    /// One example, noised as `draws` say.
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

fn upload<const D: usize>(values: Vec<f32>, shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// Latents `[C, F' H' W']` to tokens `[1, T, C]`.
fn tokens(values: Vec<f32>, channels: usize, count: usize, device: &Device) -> Tensor<3> {
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
    /// The loss of every sample, `[B]`; the mean is what was differentiated.
    pub loss: Vec<f32>,
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

/// Loss and gradients of one batch.
///
/// The forward pass keeps no graph, only the input of every block; the backward pass runs each block once more and
/// differentiates it alone.
pub fn gradients(model: &Transformer, lora: &TransformerLora, batch: &Batch) -> StepGradients {
    let noised = batch.noised();
    let conditions = model.conditions(&input(batch, &noised));
    let (x, mut inputs) = forward(model, lora, &conditions, noised.latents.clone());

    let x = x.autodiff().require_grad();
    let per_sample =
        maths::masked_mse(model.project(x.clone(), &conditions), noised.target.clone(), &noised.kept);
    let loss = per_sample.clone().inner();
    let mut upstream = gradient(&x, &per_sample.mean().backward());

    let mut gradients = Vec::with_capacity(8 * inputs.len());
    for (block, lora) in model.blocks().iter().zip(&lora.transformer_blocks).rev() {
        let Some(x) = inputs.pop() else { break };
        let (x, lora) = (x.autodiff().require_grad(), lora.tracked());
        // A vector-Jacobian product: the gradient of <y, upstream> is that of the loss.
        let graph = (block.forward(x.clone(), &conditions, Some(&lora)) * upstream).sum().backward();
        upstream = gradient(&x, &graph);
        gradients.extend(block_gradients(&lora, &graph).into_iter().rev());
    }
    gradients.reverse();
    StepGradients { loss: to_host(loss).0, gradients }
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

/// The residual stream after the last block, and the input of every block.
fn forward(
    model: &Transformer,
    lora: &TransformerLora,
    conditions: &Conditions<'_>,
    latents: Tensor<3>,
) -> (Tensor<3>, Vec<Tensor<3>>) {
    let mut inputs = Vec::with_capacity(model.blocks().len());
    let mut x = model.embed(latents);
    for (block, lora) in model.blocks().iter().zip(&lora.transformer_blocks) {
        inputs.push(x.clone());
        x = block.forward(x, conditions, Some(lora));
    }
    (x, inputs)
}

fn block_gradients(lora: &BlockLora, graph: &burn::tensor::Gradients) -> Vec<[Tensor<2>; 2]> {
    let of = |pair: &LoraPair| [gradient(&pair.lora_a, graph), gradient(&pair.lora_b, graph)];
    lora.pairs().into_iter().map(of).collect()
}

/// The gradient of a leaf; zero if the loss does not depend on it.
fn gradient<const D: usize>(leaf: &Tensor<D>, graph: &burn::tensor::Gradients) -> Tensor<D> {
    leaf.grad(graph).unwrap_or_else(|| leaf.clone().inner().zeros_like())
}
