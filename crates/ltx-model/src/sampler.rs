//! Sampling with mask conditioning: kept tokens stay what they are, the others come out of noise.

use std::ops::ControlFlow;

use burn::tensor::{Tensor, TensorData};

use crate::{Rope, TokenTimesteps, Transformer, TransformerInput, TransformerLora};

/// The number of tokens that the reference's schedule assumes, whatever the video's size.
pub const SCHEDULE_TOKENS: usize = 4096;

/// The noise levels of `steps` steps, from 1 down to 0: `steps + 1` values.
///
/// `s = k / (k + 1/linear - 1)` with `k = exp(mu(tokens))`, then stretched so that the last level above 0 is
/// `terminal`. All in float32 and in this order, because the timestep's sinusoid magnifies a rounding by 1000. A single
/// step goes from 1 to 0.
pub fn sigma_schedule(steps: usize, tokens: usize, terminal: Option<f32>) -> Vec<f32> {
    if steps < 2 {
        return vec![1.0, 0.0];
    }
    let mu = 0.95 + (2.05 - 0.95) * (tokens as f64 - 1024.0) / (4096.0 - 1024.0);
    let k = mu.exp() as f32;
    let shifted = |i: usize| {
        let linear = 1.0 - i as f32 / steps as f32;
        k / (k + (1.0 / linear - 1.0))
    };
    let mut sigmas: Vec<f32> = (0..steps).map(shifted).collect();
    if let Some(terminal) = terminal {
        let scale = (1.0 - sigmas[steps - 1]) / (1.0 - terminal);
        sigmas.iter_mut().for_each(|sigma| *sigma = 1.0 - (1.0 - *sigma) / scale);
    }
    sigmas.push(0.0);
    sigmas
}

/// For how many tokens a schedule is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ScheduleTokens {
    /// [`SCHEDULE_TOKENS`], whatever the video's size: what the reference's trainer and most pipelines do.
    #[default]
    Reference,
    /// As many as the video has, as training draws its noise levels.
    Actual,
}

/// Which noise levels a sampler steps through.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Schedule {
    /// Denoising steps.
    pub steps: usize,
    /// For how many tokens.
    pub tokens: ScheduleTokens,
    /// The last level above 0; none: it is not stretched.
    pub terminal: Option<f32>,
}

impl Default for Schedule {
    /// The reference's: 30 steps, down to 0.1 and then 0.
    fn default() -> Self {
        Self { steps: 30, tokens: ScheduleTokens::Reference, terminal: Some(0.1) }
    }
}

impl Schedule {
    /// The noise levels for a video of `tokens`, by [`sigma_schedule`].
    pub fn sigmas(&self, tokens: usize) -> Vec<f32> {
        let tokens = match self.tokens {
            ScheduleTokens::Reference => SCHEDULE_TOKENS,
            ScheduleTokens::Actual => tokens,
        };
        sigma_schedule(self.steps, tokens, self.terminal)
    }
}

/// How predictions are combined.
#[derive(Debug, Clone, PartialEq)]
pub struct Guidance {
    /// Strength of the prompt against the negative prompt; 1 leaves the latter out.
    pub cfg: f64,
    /// Strength of spatio-temporal guidance; 0 leaves it out.
    pub stg: f64,
    /// The blocks that it perturbs.
    pub stg_blocks: Vec<usize>,
    /// How far the spread of the result is brought back to the prediction's own, 0 to 1.
    pub rescale: f64,
}

/// The block that the reference perturbs, of its 48.
pub const STG_BLOCK: usize = 28;

impl Guidance {
    /// The reference's defaults for a model of `layers` blocks.
    pub fn reference(layers: usize) -> Self {
        Self { cfg: 3.0, stg: 1.0, stg_blocks: vec![Self::stg_block(STG_BLOCK, layers)], rescale: 0.7 }
    }

    /// The block of `layers` that stands where block `of_48` stands in the reference's 48.
    pub fn stg_block(of_48: usize, layers: usize) -> usize {
        of_48 * layers / 48
    }
}

/// What is sampled: a video of which some tokens are kept. Tokens are `[1, T, 128]`.
#[derive(Debug, Clone)]
pub struct Inpainting {
    clean: Tensor<3>,
    noise: Tensor<3>,
    /// 1 where a token is generated, `[1, T, 1]`.
    generated: Tensor<3>,
    kept: Vec<bool>,
}

impl Inpainting {
    /// `clean` latent tokens, of which only the `kept` ones (T of them) are seen, and `noise`, both `[1, T, 128]`.
    pub fn new(clean: Tensor<3>, kept: Vec<bool>, noise: Tensor<3>) -> Self {
        let mask = kept.iter().map(|kept| f32::from(!kept)).collect();
        let data = TensorData::new::<f32, _>(mask, [1, kept.len(), 1]);
        let generated = Tensor::<3>::from_data(data, &clean.device());
        let clean = clean * (generated.clone().neg() + 1.0);
        Self { clean, noise, generated, kept }
    }

    /// Clean where kept, noise elsewhere.
    pub fn start(&self) -> Tensor<3> {
        self.noise.clone() * self.generated.clone() + self.clean.clone()
    }

    /// 1 where a token is generated, `[1, T, 1]`.
    pub fn generated(&self) -> &Tensor<3> {
        &self.generated
    }

    /// `x0` where generated, the clean latents where kept.
    fn masked(&self, x0: Tensor<3>) -> Tensor<3> {
        x0 * self.generated.clone() + self.clean.clone()
    }

    fn timesteps(&self, sigma: f32) -> Vec<f32> {
        self.kept.iter().map(|kept| if *kept { 0.0 } else { sigma }).collect()
    }
}

/// What the model is told besides the latents.
#[derive(Debug, Clone)]
pub struct Prompts {
    /// The context of the prompt, `[1, S, C]`.
    pub positive: Tensor<3>,
    /// The context of what shall not be seen, `[1, S, C]`.
    pub negative: Tensor<3>,
}

/// One step as it was made; predictions are of the clean latents, `[1, T, 128]`.
#[derive(Debug, Clone)]
pub struct SampleStep {
    /// Counted from 0.
    pub step: usize,
    /// With the prompt.
    pub positive: Tensor<3>,
    /// With the negative prompt, unless the guidance leaves it out.
    pub negative: Option<Tensor<3>>,
    /// With perturbed blocks, unless the guidance leaves it out.
    pub perturbed: Option<Tensor<3>>,
    /// All of them combined.
    pub guided: Tensor<3>,
    /// The latents after the step.
    pub latents: Tensor<3>,
}

/// A model, with or without adapters, that samples.
#[derive(Debug, Clone)]
pub struct Sampler<'a> {
    /// The base.
    pub model: &'a Transformer,
    /// The adapters.
    pub lora: Option<&'a TransformerLora>,
    /// Rotary table of the tokens' positions.
    pub rope: &'a Rope,
    /// How predictions are combined.
    pub guidance: Guidance,
}

impl Sampler<'_> {
    /// Euler steps along `sigmas`, which descend to 0. Gives the tokens `[1, T, 128]`; kept ones are exactly the clean
    /// latents. `observe` sees every step, and may end the sampling after it: there is no result then.
    pub fn sample(
        &self,
        inpainting: &Inpainting,
        prompts: &Prompts,
        sigmas: &[f32],
        observe: &mut dyn FnMut(SampleStep) -> ControlFlow<()>,
    ) -> Option<Tensor<3>> {
        let mut x = inpainting.start();
        for (step, pair) in sigmas.windows(2).enumerate() {
            let (sigma, next) = (pair[0], pair[1]);
            let seen = self.predict(inpainting, prompts, &x, sigma);
            let x0 = inpainting.masked(seen.guided.clone());
            let direction = (x.clone() - x0) / sigma;
            x = x + direction * (next - sigma);
            if observe(SampleStep { step, latents: x.clone(), ..seen }).is_break() {
                return None;
            }
        }
        Some(x)
    }

    fn predict(&self, inpainting: &Inpainting, prompts: &Prompts, x: &Tensor<3>, sigma: f32) -> SampleStep {
        let clean = |context: &Tensor<3>, perturbed: &[usize]| {
            let timesteps = TokenTimesteps::new(1, &inpainting.timesteps(sigma));
            let input = TransformerInput {
                latents: x.clone(),
                timesteps: &timesteps,
                sigma: &[sigma],
                context: context.clone(),
                context_mask: None,
                rope: self.rope,
            };
            // x0 = x - t v, with t = sigma where a token is generated and 0 where it is kept.
            let velocity = self.model.forward(&input, self.lora, perturbed);
            x.clone() - velocity * inpainting.generated.clone() * sigma
        };
        let guidance = &self.guidance;
        let positive = clean(&prompts.positive, &[]);
        let negative = (guidance.cfg != 1.0).then(|| clean(&prompts.negative, &[]));
        let perturbed = (guidance.stg != 0.0).then(|| clean(&prompts.positive, &guidance.stg_blocks));
        let guided = guidance.combine(&positive, negative.as_ref(), perturbed.as_ref());
        SampleStep { step: 0, positive, negative, perturbed, guided, latents: x.clone() }
    }
}

impl Guidance {
    /// `g = p + (cfg - 1)(p - n) + stg (p - q)`, then `g (rescale std(p) / std(g) + 1 - rescale)`.
    fn combine(&self, p: &Tensor<3>, n: Option<&Tensor<3>>, q: Option<&Tensor<3>>) -> Tensor<3> {
        let mut g = p.clone();
        if let Some(n) = n {
            g = g + (p.clone() - n.clone()) * (self.cfg - 1.0);
        }
        if let Some(q) = q {
            g = g + (p.clone() - q.clone()) * self.stg;
        }
        if self.rescale == 0.0 {
            return g;
        }
        let factor = deviation(p) / deviation(&g) * self.rescale + (1.0 - self.rescale); // [1]
        g * factor.unsqueeze()
    }
}

/// The sample standard deviation (divisor n - 1) over the whole tensor, kept tokens included; `[1]`.
fn deviation(x: &Tensor<3>) -> Tensor<1> {
    let count = x.shape().num_elements() as f64;
    let centred = x.clone() - x.clone().mean().unsqueeze();
    (centred.square().sum() / (count - 1.0)).sqrt()
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn a_schedule_descends_from_1_by_way_of_its_terminal_to_0() {
        let sigmas = sigma_schedule(30, SCHEDULE_TOKENS, Some(0.1));
        assert_eq!((sigmas.len(), sigmas[30]), (31, 0.0));
        assert!((sigmas[0] - 1.0).abs() < 1e-6 && (sigmas[29] - 0.1).abs() < 1e-6);
        assert!(sigmas.is_sorted_by(|a, b| a > b));
        assert_eq!(sigma_schedule(1, SCHEDULE_TOKENS, Some(0.1)), [1.0, 0.0]);
    }

    #[test]
    fn the_default_schedule_is_the_references_and_another_goes_by_the_videos_own_tokens() {
        let schedule = Schedule::default();
        assert_eq!(schedule.sigmas(60), sigma_schedule(30, 4096, Some(0.1)));
        let actual = Schedule { tokens: ScheduleTokens::Actual, ..schedule };
        assert_eq!(actual.sigmas(60), sigma_schedule(30, 60, Some(0.1)));
        assert_ne!(actual.sigmas(60), schedule.sigmas(60));
    }

    #[test]
    fn the_perturbed_block_keeps_its_place_in_a_model_of_any_depth() {
        let block = |layers| Guidance::reference(layers).stg_blocks;
        assert_eq!([48, 4, 12, 1].map(block), [vec![28], vec![2], vec![7], vec![0]]);
    }

    #[test]
    fn what_is_generated_is_never_seen() {
        let device = Device::flex();
        let tokens = |value: f32| Tensor::<3>::full([1, 2, 4], value, &device);
        let start = |hidden: f32| {
            let clean = Tensor::cat(vec![tokens(2.0).narrow(1, 0, 1), tokens(hidden).narrow(1, 0, 1)], 1);
            crate::to_host(Inpainting::new(clean, vec![true, false], tokens(0.5)).start()).0
        };
        assert_eq!(start(7.0), [2.0, 2.0, 2.0, 2.0, 0.5, 0.5, 0.5, 0.5]);
        assert_eq!(start(7.0), start(-7.0));
    }

    #[test]
    fn guidance_of_strength_one_and_none_is_the_prediction_itself() {
        let device = Device::flex();
        let p = Tensor::<3>::from_floats([[[1.0, -2.0], [0.5, 3.0]]], &device);
        let plain = Guidance { cfg: 1.0, stg: 0.0, stg_blocks: Vec::new(), rescale: 0.0 };
        let values = |t: Tensor<3>| crate::to_host(t).0;
        assert_eq!(values(plain.combine(&p, None, None)), values(p.clone()));
        let doubled = Guidance { cfg: 2.0, rescale: 1.0, ..plain };
        let n = Tensor::<3>::zeros([1, 2, 2], &device);
        // 2p has twice the spread of p; rescaled by one it is p again.
        let error = (doubled.combine(&p, Some(&n), None) - p).abs().max().into_scalar::<f32>();
        assert!(error < 1e-6, "{error}");
    }
}
