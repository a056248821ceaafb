//! Pixels to latents.

use burn::tensor::{Device, Tensor};
use tensor_batch::CELL_FRAMES;

use super::{
    CausalConv3d, Downsample, LatentStatistics, ResBlock, VaeBlock, VaeConfig, blocks::norm_silu,
    config::RGB, key_prefix, patchify,
};
use crate::{Checkpoint, ModelError, Wanted, weights::Weights};

const FAMILIES: [&str; 3] = ["encoder.conv_in", "encoder.down_blocks", "encoder.conv_out"];

#[derive(Debug, Clone)]
enum DownBlock {
    Res(Vec<ResBlock>),
    Compress(Box<Downsample>),
}

impl DownBlock {
    fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        match self {
            Self::Res(blocks) => blocks.iter().fold(x, |x, block| block.forward(x)),
            Self::Compress(downsample) => downsample.forward(x),
        }
    }
}

/// Pixel video to normalised latents.
#[derive(Debug, Clone)]
pub struct VideoEncoder {
    conv_in: CausalConv3d,
    down_blocks: Vec<DownBlock>,
    conv_out: CausalConv3d,
    statistics: LatentStatistics,
    patch_size: usize,
    latent_channels: usize,
}

impl VideoEncoder {
    /// Reads the encoder, with or without the `vae.` in front of its keys.
    ///
    /// # Errors
    /// If the configuration is none that is implemented, or the weights do not fit it; all faults at once.
    pub fn load(checkpoint: &Checkpoint, device: &Device) -> Result<Self, ModelError> {
        let config = VaeConfig::of(checkpoint)?;
        checkpoint.read(key_prefix(checkpoint), &FAMILIES, device, |weights| Self::read(weights, &config))
    }

    /// Whether `checkpoint` could be loaded, and what would be read of it; reads no weight.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn check(checkpoint: &Checkpoint, device: &Device) -> Result<Wanted, ModelError> {
        let config = VaeConfig::of(checkpoint)?;
        checkpoint.survey(key_prefix(checkpoint), &FAMILIES, device, |weights| Self::read(weights, &config))
    }

    fn read(weights: &Weights, config: &VaeConfig) -> Self {
        let statistics = LatentStatistics::read(weights, config.latent_channels);
        let encoder = weights.at("encoder");
        let padding = config.encoder_padding;
        let patched = RGB * config.patch_size * config.patch_size;
        let mut width = config.encoder_base_channels;
        let conv_in = CausalConv3d::read(&encoder.at("conv_in"), patched, width, padding);
        let mut down_blocks = Vec::new();
        for (i, block) in config.encoder_blocks.iter().enumerate() {
            let weights = encoder.at(format_args!("down_blocks.{i}"));
            width = block.width();
            down_blocks.push(match block {
                VaeBlock::Res { num_layers, width } => {
                    DownBlock::Res(ResBlock::read_all(&weights, *num_layers, *width, padding))
                }
                VaeBlock::Compress(block) => {
                    DownBlock::Compress(Box::new(Downsample::read(&weights, block, padding)))
                }
            });
        }
        let conv_out = CausalConv3d::read(&encoder.at("conv_out"), width, config.encoder_outputs, padding);
        let (patch_size, latent_channels) = (config.patch_size, config.latent_channels);
        Self { conv_in, down_blocks, conv_out, statistics, patch_size, latent_channels }
    }

    /// `[B, 3, F, H, W]` in [-1, 1] to normalised latents `[B, 128, 1 + (F-1)/8, H/32, W/32]`. Frames behind the
    /// last `8k+1` are dropped.
    ///
    /// # Panics
    /// If `F` is 0, or `H` or `W` no multiple of 32.
    pub fn encode(&self, pixels: Tensor<5>) -> Tensor<5> {
        self.encode_watched(pixels, &mut |_, _| ())
    }

    /// [`encode`](Self::encode), showing the activation behind `conv_in`, each `down_blocks.i` and `conv_out`.
    ///
    /// # Panics
    /// As [`encode`](Self::encode).
    pub fn encode_watched(&self, pixels: Tensor<5>, watch: &mut dyn FnMut(&str, &Tensor<5>)) -> Tensor<5> {
        let frames = whole_frames(pixels.dims()[2]);
        let mut x = self.conv_in.forward(patchify(pixels.narrow(2, 0, frames), self.patch_size));
        watch("conv_in", &x);
        for (i, block) in self.down_blocks.iter().enumerate() {
            x = block.forward(x);
            watch(&format!("down_blocks.{i}"), &x);
        }
        let x = self.conv_out.forward(norm_silu(x));
        watch("conv_out", &x);
        // The rest is the logarithm of a variance, which nothing samples from.
        self.statistics.normalize(x.narrow(1, 0, self.latent_channels))
    }
}

/// The largest `8k+1` that is at most `frames`.
fn whole_frames(frames: usize) -> usize {
    let cell = CELL_FRAMES as usize;
    frames.saturating_sub(1) / cell * cell + 1
}

#[cfg(test)]
mod tests {
    use super::whole_frames;

    #[test]
    fn frames_behind_the_last_whole_cell_are_dropped() {
        assert_eq!([1, 8, 9, 12, 16, 17].map(whole_frames), [1, 1, 9, 9, 9, 17]);
    }
}
