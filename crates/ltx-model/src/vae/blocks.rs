//! Pixel norm and the residual block.

use burn::tensor::{Tensor, activation};

use super::{CausalConv3d, ConvPadding};
use crate::weights::Weights;

const PIXEL_NORM_EPS: f64 = 1e-8;

/// `x / sqrt(mean(x²) + 1e-8)` over the channels of each position, `[B, C, F, H, W]`.
pub fn pixel_norm(x: Tensor<5>) -> Tensor<5> {
    let mean = x.clone().square().mean_dim(1); // [B, 1, F, H, W]
    x * (mean + PIXEL_NORM_EPS).sqrt().recip()
}

/// What precedes every convolution but the first.
pub(super) fn norm_silu(x: Tensor<5>) -> Tensor<5> {
    activation::silu(pixel_norm(x))
}

/// `x + conv2(silu(norm(conv1(silu(norm(x))))))`.
#[derive(Debug, Clone)]
pub struct ResBlock {
    conv1: CausalConv3d,
    conv2: CausalConv3d,
}

impl ResBlock {
    /// A block of two convolutions that keep the channels.
    pub fn new(conv1: CausalConv3d, conv2: CausalConv3d) -> Self {
        Self { conv1, conv2 }
    }

    fn read(weights: &Weights, width: usize, padding: ConvPadding) -> Self {
        let conv = |name| CausalConv3d::read(&weights.at(name), width, width, padding);
        Self::new(conv("conv1"), conv("conv2"))
    }

    /// The `layers` blocks of one `res_x`.
    pub(super) fn read_all(
        weights: &Weights,
        layers: usize,
        width: usize,
        padding: ConvPadding,
    ) -> Vec<Self> {
        let block = |j| Self::read(&weights.at(format_args!("res_blocks.{j}")), width, padding);
        (0..layers).map(block).collect()
    }

    /// `[B, C, F, H, W]` to the same.
    pub fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        let h = self.conv1.forward(norm_silu(x.clone()));
        x + self.conv2.forward(norm_silu(h))
    }
}
