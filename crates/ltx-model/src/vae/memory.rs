//! What encoding and decoding hold in memory at their highest, by arithmetic. All of it is float32.

use super::{VaeBlock, VaeConfig, config::RGB};

const FLOAT: u64 = 4;

/// Tensors as large as its own that a residual block holds at its highest: what it was given, the normalised input
/// of a convolution with and without the repeated frames, and what the convolution gives.
const RESIDUAL: u64 = 4;

impl VaeConfig {
    /// Bytes of the encoder's weights.
    pub fn encoder_weight_bytes(&self) -> u64 {
        let patched = self.patched();
        let (blocks, width) = chain(&self.encoder_blocks, self.encoder_base_channels, encoder_outputs);
        FLOAT
            * (convolution(patched, self.encoder_base_channels as u64)
                + blocks
                + convolution(width, self.encoder_outputs as u64))
    }

    /// Bytes of the decoder's weights.
    pub fn decoder_weight_bytes(&self) -> u64 {
        let (blocks, width) = chain(&self.decoder_blocks, self.decoder_inputs, decoder_outputs);
        FLOAT
            * (convolution(self.latent_channels as u64, self.decoder_inputs as u64)
                + blocks
                + convolution(width, self.patched()))
    }

    /// Bytes that encoding pixels of `[frames, height, width]` holds at its highest besides the weights, the pixels
    /// included.
    pub fn encoding_bytes(&self, [frames, height, width]: [usize; 3]) -> u64 {
        let pixels = (RGB * frames * height * width) as u64;
        let mut grid = [frames, height / self.patch_size, width / self.patch_size];
        let mut channels = self.encoder_base_channels as u64;
        // The pixels, patched and with the frames that the first convolution looks back at.
        let mut most = 2 * pixels + channels * cells(grid);
        for block in &self.encoder_blocks {
            match block {
                VaeBlock::Res { width, .. } => most = most.max(RESIDUAL * *width as u64 * cells(grid)),
                VaeBlock::Compress(block) => {
                    let outputs = (block.width / block.fold()) as u64;
                    // The input, itself and with repeated frames, of which there are more where time is folded; the
                    // means of its groups, and what the convolution gives.
                    let inputs = (1 + block.stride[0] as u64) * channels;
                    most = most.max((inputs + 2 * outputs) * cells(grid));
                    let [time, down, across] = block.stride;
                    grid = [grid[0].div_ceil(time), grid[1] / down, grid[2] / across];
                    channels = block.width as u64;
                }
            }
        }
        FLOAT * (pixels + most)
    }

    /// Bytes that decoding latents to pixels of `[frames, height, width]` holds at its highest besides the weights,
    /// the pixels included.
    pub fn decoding_bytes(&self, [frames, height, width]: [usize; 3]) -> u64 {
        let pixels = (RGB * frames * height * width) as u64;
        let folds = |axis: usize| -> usize {
            let stride = |block: &VaeBlock| match block {
                VaeBlock::Compress(block) => block.stride[axis],
                VaeBlock::Res { .. } => 1,
            };
            self.decoder_blocks.iter().map(stride).product()
        };
        let shrunk = |pixels: usize, axis| pixels.div_ceil(folds(axis) * self.patch_size);
        let mut grid = [frames.div_ceil(folds(0)), shrunk(height, 1), shrunk(width, 2)];
        let mut most = 0;
        for block in &self.decoder_blocks {
            match block {
                VaeBlock::Res { width, .. } => most = most.max(RESIDUAL * *width as u64 * cells(grid)),
                VaeBlock::Compress(block) => {
                    let inputs = block.inputs as u64 * cells(grid);
                    grid = [0, 1, 2].map(|axis| grid[axis] * block.stride[axis]);
                    // The convolution's result, and the same unfolded.
                    most = most.max(2 * inputs + 2 * block.width as u64 * cells(grid));
                }
            }
        }
        FLOAT * (pixels + most.max(2 * pixels))
    }

    fn patched(&self) -> u64 {
        (RGB * self.patch_size * self.patch_size) as u64
    }
}

fn cells(grid: [usize; 3]) -> u64 {
    grid.into_iter().map(|side| side as u64).product()
}

/// Values of a 3x3x3 convolution.
fn convolution(inputs: u64, outputs: u64) -> u64 {
    (27 * inputs + 1) * outputs
}

/// Values of a row of blocks that begins with `width` channels, and the channels that it ends with.
fn chain(blocks: &[VaeBlock], width: usize, outputs: impl Fn(usize, usize) -> usize) -> (u64, u64) {
    let mut channels = width as u64;
    let mut values = 0;
    for block in blocks {
        match block {
            VaeBlock::Res { num_layers, width } => {
                values += 2 * *num_layers as u64 * convolution(*width as u64, *width as u64);
            }
            VaeBlock::Compress(block) => {
                let outputs = outputs(block.width, block.fold()) as u64;
                values += convolution(block.inputs as u64, outputs);
                channels = block.width as u64;
            }
        }
    }
    (values, channels)
}

/// An encoder's convolution gives what is then folded.
fn encoder_outputs(width: usize, fold: usize) -> usize {
    width / fold
}

/// A decoder's gives what is then unfolded.
fn decoder_outputs(width: usize, fold: usize) -> usize {
    width * fold
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_networks_have_319_and_407_million_weights() {
        let config = VaeConfig::ltx_2_3();
        let millions = |bytes: u64| (bytes / FLOAT + 500_000) / 1_000_000;
        assert_eq!(millions(config.encoder_weight_bytes()), 319);
        assert_eq!(millions(config.decoder_weight_bytes()), 407);
    }

    #[test]
    fn the_first_level_decides() {
        let config = VaeConfig::ltx_2_3();
        // 128 channels at a quarter of the pixels' sides, four times, and the pixels themselves.
        let level = 128 * 89 * 192 * 192;
        let pixels = 3 * 89 * 768 * 768;
        assert_eq!(config.encoding_bytes([89, 768, 768]), 4 * (4 * level + pixels));
        let (whole, tile) = (config.decoding_bytes([89, 768, 768]), config.decoding_bytes([89, 384, 384]));
        assert!(tile * 39 / 10 < whole && whole < tile * 41 / 10, "{whole} {tile}");
    }
}
