//! Latents to pixels.

use burn::tensor::{Device, Tensor};

use super::{
    CausalConv3d, LatentStatistics, ResBlock, Upsample, VaeBlock, VaeConfig, blocks::norm_silu, config::RGB,
    key_prefix, unpatchify,
};
use crate::{Checkpoint, ModelError, weights::Weights};

const FAMILIES: [&str; 3] = ["decoder.conv_in", "decoder.up_blocks", "decoder.conv_out"];

#[derive(Debug, Clone)]
enum UpBlock {
    Res(Vec<ResBlock>),
    Compress(Box<Upsample>),
}

impl UpBlock {
    fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        match self {
            Self::Res(blocks) => blocks.iter().fold(x, |x, block| block.forward(x)),
            Self::Compress(upsample) => upsample.forward(x),
        }
    }
}

/// Normalised latents to pixel video. Deterministic.
#[derive(Debug, Clone)]
pub struct VideoDecoder {
    conv_in: CausalConv3d,
    up_blocks: Vec<UpBlock>,
    conv_out: CausalConv3d,
    statistics: LatentStatistics,
    patch_size: usize,
}

impl VideoDecoder {
    /// Reads the decoder, with or without the `vae.` in front of its keys.
    ///
    /// # Errors
    /// If the configuration is none that is implemented, or the weights do not fit it; all faults at once.
    pub fn load(checkpoint: &Checkpoint, device: &Device) -> Result<Self, ModelError> {
        let config = VaeConfig::of(checkpoint)?;
        checkpoint.read(key_prefix(checkpoint), &FAMILIES, device, |weights| Self::read(weights, &config))
    }

    /// Whether `checkpoint` could be loaded; reads no weight.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn check(checkpoint: &Checkpoint, device: &Device) -> Result<(), ModelError> {
        let config = VaeConfig::of(checkpoint)?;
        checkpoint
            .survey(key_prefix(checkpoint), &FAMILIES, device, |weights| Self::read(weights, &config))
            .map(drop)
    }

    fn read(weights: &Weights, config: &VaeConfig) -> Self {
        let statistics = LatentStatistics::read(weights, config.latent_channels);
        let decoder = weights.at("decoder");
        let padding = config.decoder_padding;
        let conv_in = CausalConv3d::read(
            &decoder.at("conv_in"),
            config.latent_channels,
            config.decoder_inputs,
            padding,
        );
        let up_blocks = config.decoder_blocks.iter().enumerate().map(|(i, block)| {
            let weights = decoder.at(format_args!("up_blocks.{i}"));
            match block {
                VaeBlock::Res { num_layers, width } => {
                    UpBlock::Res(ResBlock::read_all(&weights, *num_layers, *width, padding))
                }
                VaeBlock::Compress(block) => {
                    UpBlock::Compress(Box::new(Upsample::read(&weights, block, padding)))
                }
            }
        });
        let up_blocks = up_blocks.collect();
        let patched = RGB * config.patch_size * config.patch_size;
        let conv_out =
            CausalConv3d::read(&decoder.at("conv_out"), config.decoder_base_channels, patched, padding);
        Self { conv_in, up_blocks, conv_out, statistics, patch_size: config.patch_size }
    }

    /// Normalised latents `[B, 128, F', H', W']` to `[B, 3, 8 F' - 7, 32 H', 32 W']`, nominally in [-1, 1] and not
    /// clamped.
    pub fn decode(&self, latents: Tensor<5>) -> Tensor<5> {
        self.decode_watched(latents, &mut |_, _| ())
    }

    /// [`decode`](Self::decode), showing the activation behind `conv_in`, each `up_blocks.i` and `conv_out`.
    pub fn decode_watched(&self, latents: Tensor<5>, watch: &mut dyn FnMut(&str, &Tensor<5>)) -> Tensor<5> {
        let mut x = self.conv_in.forward(self.statistics.denormalize(latents));
        watch("conv_in", &x);
        for (i, block) in self.up_blocks.iter().enumerate() {
            x = block.forward(x);
            watch(&format!("up_blocks.{i}"), &x);
        }
        let x = self.conv_out.forward(norm_silu(x));
        watch("conv_out", &x);
        unpatchify(x, self.patch_size)
    }
}
