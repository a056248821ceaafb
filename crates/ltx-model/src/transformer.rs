//! The transformer, video stream only.

use burn::tensor::{DType, Device, Tensor};

use crate::{
    BasePrecision, BlockLora, Checkpoint, ModelError, Rope, TransformerConfig, TransformerLora, Wanted,
    fused::{gated_sum, modulated_norm},
    gated_attention::{AttentionKind, FeedForward, GatedAttention},
    hosted::brought,
    linear::Linear,
    norm::{layer_norm, rms_norm},
    timestep::{AdaLayerNormSingle, Modulation, TokenTimesteps},
    visits::Visits,
    weights::Weights,
};

const PREFIX: &str = "model.diffusion_model.";

/// The video stream's families of keys; the audio stream's lie beside them and are never read.
const FAMILIES: [&str; 10] = [
    "patchify_proj",
    "adaln_single",
    "prompt_adaln_single",
    "scale_shift_table",
    "proj_out",
    "transformer_blocks.*.scale_shift_table",
    "transformer_blocks.*.prompt_scale_shift_table",
    "transformer_blocks.*.attn1",
    "transformer_blocks.*.attn2",
    "transformer_blocks.*.ff",
];

/// What the transformer sees in one forward pass.
#[derive(Debug, Clone)]
pub struct TransformerInput<'a> {
    /// Latent tokens, noised where they are generated, `[B, T, 128]`.
    pub latents: Tensor<3>,
    /// The timestep of every token: sigma, or 0 where the token is kept.
    pub timesteps: &'a TokenTimesteps,
    /// The noise level of every sample, `[B]`; it modulates the prompt.
    pub sigma: &'a [f32],
    /// The connector's output, `[B, S, C]`.
    pub context: Tensor<3>,
    /// 1 where the context may be attended to, `[B, S]`; all of it if none.
    pub context_mask: Option<Tensor<2>>,
    /// Rotary table of the tokens' positions.
    pub rope: &'a Rope,
}

/// LTX-2.3's transformer.
#[derive(Debug, Clone)]
pub struct Transformer {
    config: TransformerConfig,
    device: Device,
    precision: BasePrecision,
    /// The number format of the residual stream and of all that is computed along it.
    activations: DType,
    patchify_proj: Linear,
    adaln_single: AdaLayerNormSingle,
    prompt_adaln_single: AdaLayerNormSingle,
    transformer_blocks: Vec<Block>,
    scale_shift_table: Tensor<2>,
    proj_out: Linear,
    /// How many blocks, from the first on, have their weights on the host.
    hosted: usize,
}

impl Transformer {
    /// Reads the video stream of `checkpoint` onto `device`, one tensor at a time, and keeps it there in `precision`.
    ///
    /// # Errors
    /// If the checkpoint is of another generation, its tensors do not fit its configuration, or the file cannot be
    /// read.
    pub fn load(
        checkpoint: &Checkpoint,
        device: &Device,
        precision: BasePrecision,
    ) -> Result<Self, ModelError> {
        Self::load_beside(checkpoint, device, precision, 0)
    }

    /// The same with the weights of the first `hosted` blocks on the host: [`visits`](Self::visits) brings each to
    /// the device when its turn comes. All other tensors are on the device.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_beside(
        checkpoint: &Checkpoint,
        device: &Device,
        precision: BasePrecision,
        hosted: usize,
    ) -> Result<Self, ModelError> {
        let config = TransformerConfig::of(checkpoint)?;
        let read = |weights: &Weights| Self::read(weights, &config, hosted);
        checkpoint.read_in(precision, PREFIX, &FAMILIES, device, read)
    }

    /// Whether `checkpoint` could be loaded, and what would be read of it; reads no weight.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn check(checkpoint: &Checkpoint, device: &Device) -> Result<Wanted, ModelError> {
        let config = TransformerConfig::of(checkpoint)?;
        checkpoint.survey(PREFIX, &FAMILIES, device, |weights| Self::read(weights, &config, 0))
    }

    fn read(weights: &Weights, config: &TransformerConfig, hosted: usize) -> Self {
        let (width, host) = (config.inner_dim(), Device::flex());
        let block = |i| {
            let weights = weights.at(format_args!("transformer_blocks.{i}"));
            let weights = if i < hosted { weights.kept_on(&host) } else { weights };
            Block::read(&weights, config)
        };
        Self {
            config: config.clone(),
            device: weights.device().clone(),
            precision: weights.precision(),
            activations: weights.activations(),
            patchify_proj: Linear::read(&weights.at("patchify_proj"), config.in_channels, width),
            adaln_single: AdaLayerNormSingle::read(&weights.at("adaln_single"), width, 9),
            prompt_adaln_single: AdaLayerNormSingle::read(&weights.at("prompt_adaln_single"), width, 2),
            transformer_blocks: (0..config.num_layers).map(block).collect(),
            scale_shift_table: weights.tensor("scale_shift_table", [2, width]),
            proj_out: Linear::read(&weights.at("proj_out"), width, config.in_channels),
            hosted,
        }
    }

    /// A model of noise, made on the device: it costs what the real one costs, and predicts nothing.
    pub fn noise(config: &TransformerConfig, device: &Device, precision: BasePrecision) -> Self {
        Self::noise_beside(config, device, precision, 0)
    }

    /// The same with the weights of the first `hosted` blocks on the host, as [`load_beside`](Self::load_beside) has
    /// them.
    pub fn noise_beside(
        config: &TransformerConfig,
        device: &Device,
        precision: BasePrecision,
        hosted: usize,
    ) -> Self {
        Self::read(&Weights::noise(device, precision), config, hosted)
    }

    /// The numbers of this model.
    pub fn config(&self) -> &TransformerConfig {
        &self.config
    }

    /// How its frozen weights are kept.
    pub fn precision(&self) -> BasePrecision {
        self.precision
    }

    /// Where this model is.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The blocks, in order. The first [`hosted`](Self::hosted) are not where the model computes.
    pub fn blocks(&self) -> &[Block] {
        &self.transformer_blocks
    }

    /// How many blocks, from the first on, have their weights on the host.
    pub fn hosted(&self) -> usize {
        self.hosted
    }

    /// The blocks as they are used, on the device.
    pub fn visits(&self) -> Visits<'_> {
        Visits::new(&self.transformer_blocks, self.hosted, &self.device)
    }

    /// The embedding of token timesteps.
    pub fn adaln_single(&self) -> &AdaLayerNormSingle {
        &self.adaln_single
    }

    /// The embedding of the sample's sigma, which modulates the prompt.
    pub fn prompt_adaln_single(&self) -> &AdaLayerNormSingle {
        &self.prompt_adaln_single
    }

    /// The predicted velocity `noise - clean`, `[B, T, 128]`.
    ///
    /// `perturbed` are the blocks whose self-attention is replaced by its values (spatio-temporal guidance).
    pub fn forward(
        &self,
        input: &TransformerInput<'_>,
        lora: Option<&TransformerLora>,
        perturbed: &[usize],
    ) -> Tensor<3> {
        let conditions = self.conditions(input);
        let mut x = self.embed(input.latents.clone());
        let mut visits = self.visits();
        for i in 0..self.transformer_blocks.len() {
            let lora = lora.map(|lora| &lora.transformer_blocks[i]);
            let block = visits.block(i, Some(i + 1));
            x = block.run(x, &conditions, lora, perturbed.contains(&i), None);
        }
        self.project(x, &conditions)
    }

    /// What every block needs and none changes.
    pub fn conditions<'a>(&self, input: &TransformerInput<'a>) -> Conditions<'a> {
        let scale = self.config.timestep_scale_multiplier;
        let scaled: Vec<f32> = input.sigma.iter().map(|sigma| sigma * scale as f32).collect();
        let (prompt, _) = self.prompt_adaln_single.forward(&scaled, &self.device);
        Conditions {
            modulation: Modulation::new(&self.adaln_single, input.timesteps, scale, &self.device),
            prompt: prompt.cast(DType::F32).reshape([input.sigma.len(), 2, self.config.inner_dim()]),
            // Modulated in float32, whatever the layers compute in.
            context: input.context.clone().cast(DType::F32),
            activations: self.activations,
            bias: input.context_mask.clone().map(additive),
            rope: input.rope,
        }
    }

    /// Latent tokens `[B, T, 128]` to the residual stream `[B, T, D]`.
    pub fn embed(&self, latents: Tensor<3>) -> Tensor<3> {
        self.patchify_proj.forward(latents.cast(self.activations))
    }

    /// The residual stream after the last block `[B, T, D]` to the velocity `[B, T, 128]`, in float32.
    pub fn project(&self, x: Tensor<3>, conditions: &Conditions<'_>) -> Tensor<3> {
        let row =
            |k| conditions.modulation.embedded(&self.scale_shift_table, k).gathered(&x).cast(DType::F32);
        let (shift, scale) = (row(0), row(1));
        let y = layer_norm(x.cast(DType::F32), self.config.norm_eps) * (scale + 1.0) + shift;
        self.proj_out.forward(y.cast(self.activations)).cast(DType::F32)
    }
}

/// 0 where `mask` `[B, S]` is 1, the lowest finite number where it is 0; `[B, 1, 1, S]`.
fn additive(mask: Tensor<2>) -> Tensor<4> {
    let lowest = match mask.dtype() {
        DType::BF16 => f64::from(half::bf16::MIN),
        _ => f64::from(f32::MIN),
    };
    mask.mul_scalar(-1.0).add_scalar(1.0).mul_scalar(lowest).unsqueeze_dims(&[1, 2])
}

/// What every block of a forward pass needs: modulation of tokens and prompt, context, positions.
#[derive(Debug, Clone)]
pub struct Conditions<'a> {
    modulation: Modulation,
    /// `[B, 2, D]`: shift and scale of the context.
    prompt: Tensor<3>,
    context: Tensor<3>,
    activations: DType,
    bias: Option<Tensor<4>>,
    rope: &'a Rope,
}

/// One block of the video stream.
#[derive(Debug, Clone)]
pub struct Block {
    scale_shift_table: Tensor<2>,
    prompt_scale_shift_table: Tensor<2>,
    attn1: GatedAttention,
    attn2: GatedAttention,
    ff: FeedForward,
    norm_eps: f64,
}

/// Sees what a block computes on the way, by name.
type Observer<'a> = &'a mut dyn FnMut(&'static str, &Tensor<3>);

impl Block {
    fn read(weights: &Weights, config: &TransformerConfig) -> Self {
        let (width, heads) = (config.inner_dim(), config.num_attention_heads);
        Self {
            scale_shift_table: weights.tensor("scale_shift_table", [9, width]),
            prompt_scale_shift_table: weights.tensor("prompt_scale_shift_table", [2, width]),
            attn1: GatedAttention::read(&weights.at("attn1"), width, width, heads),
            attn2: GatedAttention::read(&weights.at("attn2"), width, config.cross_attention_dim, heads),
            ff: FeedForward::read(&weights.at("ff"), width),
            norm_eps: config.norm_eps,
        }
    }

    /// The same on `device`.
    pub(crate) fn on(&self, device: &Device) -> Self {
        Self {
            scale_shift_table: brought(&self.scale_shift_table, device),
            prompt_scale_shift_table: brought(&self.prompt_scale_shift_table, device),
            attn1: self.attn1.on(device),
            attn2: self.attn2.on(device),
            ff: self.ff.on(device),
            norm_eps: self.norm_eps,
        }
    }

    /// The residual stream `[B, T, D]` through this block.
    pub fn forward(&self, x: Tensor<3>, conditions: &Conditions<'_>, lora: Option<&BlockLora>) -> Tensor<3> {
        self.run(x, conditions, lora, false, None)
    }

    /// The same, showing every intermediate to `observe` under its name in the reference.
    pub fn forward_observed(
        &self,
        x: Tensor<3>,
        conditions: &Conditions<'_>,
        observe: &mut dyn FnMut(&'static str, &Tensor<3>),
    ) -> Tensor<3> {
        self.run(x, conditions, None, false, Some(observe))
    }

    fn run(
        &self,
        x: Tensor<3>,
        on: &Conditions<'_>,
        lora: Option<&BlockLora>,
        perturbed: bool,
        mut observe: Option<Observer<'_>>,
    ) -> Tensor<3> {
        let row = |k| on.modulation.row(&self.scale_shift_table, k);
        let modulated = |x: &Tensor<3>, scale, shift| {
            modulated_norm(x.clone(), row(scale), row(shift), self.norm_eps) // [B, T, D]
        };
        let mut show = |name, x: &dyn Fn() -> Tensor<3>| {
            if let Some(observe) = &mut observe {
                observe(name, &x());
            }
        };

        let n1 = modulated(&x, 1, 0);
        show("norm1_modulated", &|| n1.clone());
        let kind = if perturbed { AttentionKind::ValueOnly } else { AttentionKind::Full };
        let out = self.attn1.forward(n1.clone(), n1, Some(on.rope), None, lora.map(|l| &l.attn1), kind);
        show("attn1_out", &|| out.clone());
        let x = gated_sum(x, out, row(2));
        show("x_after_self_attn", &|| x.clone());

        show("norm2", &|| rms_norm(x.clone(), self.norm_eps));
        let q_in = modulated(&x, 7, 6);
        show("attn2_input", &|| q_in.clone());
        let context = self.modulated_context(on); // [B, S, C]
        show("attn2_context_modulated", &|| context.clone());
        let (lora, bias) = (lora.map(|l| &l.attn2), on.bias.clone());
        let out = self.attn2.forward(q_in, context, None, bias, lora, AttentionKind::Full);
        show("attn2_out", &|| out.clone());
        let x = gated_sum(x, out, row(8));
        show("x_after_cross_attn", &|| x.clone());

        let n3 = modulated(&x, 4, 3);
        show("norm3_modulated", &|| n3.clone());
        let out = self.ff.forward(n3);
        show("ff_out", &|| out.clone());
        gated_sum(x, out, row(5))
    }

    fn modulated_context(&self, on: &Conditions<'_>) -> Tensor<3> {
        let table = self.prompt_scale_shift_table.clone().cast(DType::F32);
        let prompt = on.prompt.clone() + table.unsqueeze();
        let (shift, scale) = (prompt.clone().narrow(1, 0, 1), prompt.narrow(1, 1, 1)); // [B, 1, D]
        (on.context.clone() * (scale + 1.0) + shift).cast(on.activations)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::Mode;

    #[test]
    fn the_published_model_is_asked_for_whole_and_without_its_audio() {
        let device = Device::flex();
        let weights = Weights::over(&[], PREFIX, &device, Mode::Survey);
        Transformer::read(&weights, &TransformerConfig::ltx_2_3(), 0);
        let (_, asked) = weights.finish();
        // 30 tensors a block, and 17 outside: 26.25 GB in bf16.
        assert_eq!(asked.len(), 48 * 30 + 17);
        assert_eq!(asked.values().sum::<usize>(), 13_124_316_288);
        assert!(asked.keys().all(|key| key.starts_with(PREFIX) && !key.contains("audio")));
    }
}
