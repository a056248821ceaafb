//! The one convolution of the VAE.

use burn::tensor::{
    Tensor, module,
    ops::{ConvOptions, PadMode},
};

use crate::weights::Weights;

/// What lies beyond the picture's border.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpatialPadding {
    /// Zeros: LTX-2.3.
    Zeros,
    /// The picture mirrored, without repeating the border: older decoders. Needs two rows and two columns.
    Reflect,
}

/// How a convolution looks beyond its input, the same all through an encoder or a decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvPadding {
    /// Whether output frame `t` sees inputs `t-2, t-1, t`; otherwise `t-1, t, t+1`. Edge frames are repeated.
    pub causal: bool,
    /// Beyond height and width.
    pub spatial: SpatialPadding,
}

/// A 3x3x3 convolution with bias and stride 1, which keeps `F`, `H` and `W`.
#[derive(Debug, Clone)]
pub struct CausalConv3d {
    weight: Tensor<5>,
    bias: Tensor<1>,
    padding: ConvPadding,
}

impl CausalConv3d {
    /// `weight` `[out, in, 3, 3, 3]` (time, height, width) and `bias` `[out]`.
    pub fn new(weight: Tensor<5>, bias: Tensor<1>, padding: ConvPadding) -> Self {
        Self { weight, bias, padding }
    }

    /// Reads the wrapped convolution: the checkpoint's doubled `conv.`.
    pub(super) fn read(weights: &Weights, inputs: usize, outputs: usize, padding: ConvPadding) -> Self {
        let conv = weights.at("conv");
        let weight = conv.tensor("weight", [outputs, inputs, 3, 3, 3]);
        Self::new(weight, conv.tensor("bias", [outputs]), padding)
    }

    /// `[B, in, F, H, W]` to `[B, out, F, H, W]`.
    ///
    /// # Panics
    /// If the channels differ from the weight's, or a side of one pixel is to be reflected.
    pub fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        let x = pad_frames(x, self.padding.causal); // [B, in, F + 2, H, W]
        let (x, border) = match self.padding.spatial {
            SpatialPadding::Zeros => (x, 1),
            SpatialPadding::Reflect => (x.pad([(1, 1), (1, 1)], PadMode::Reflect), 0),
        };
        convolved(x, self.weight.clone(), self.bias.clone(), border)
    }
}

/// A convolution that looks at `border` zeros beyond height and width, and at no more frames than there are.
fn convolved(x: Tensor<5>, weight: Tensor<5>, bias: Tensor<1>, border: usize) -> Tensor<5> {
    #[cfg(feature = "cuda")]
    if crate::cuda::convolves(&x) {
        return crate::cuda::convolution(x, weight, bias, border);
    }
    module::conv3d(x, weight, Some(bias), ConvOptions::new([1; 3], [0, border, border], [1; 3], 1))
}

/// Two more frames: copies of the first in front or, if not causal, one of the first and one of the last.
fn pad_frames(x: Tensor<5>, causal: bool) -> Tensor<5> {
    let frames = x.dims()[2];
    let first = x.clone().narrow(2, 0, 1);
    if causal {
        return Tensor::cat(vec![first.clone(), first, x], 2);
    }
    let last = x.clone().narrow(2, frames - 1, 1);
    Tensor::cat(vec![first, x, last], 2)
}
