//! Down- and upsampling by moving pixels into channels and back.

use burn::tensor::Tensor;

use super::{CausalConv3d, Compression, ConvPadding};
use crate::weights::Weights;

/// `compress_*_res` of the encoder: a convolution, folded, beside the group means of the folded input.
#[derive(Debug, Clone)]
pub struct Downsample {
    conv: CausalConv3d,
    stride: [usize; 3],
    width: usize,
}

impl Downsample {
    /// `conv` gives `width / (st sh sw)` channels, where `stride` is `[st, sh, sw]`; the block gives `width`.
    pub fn new(conv: CausalConv3d, stride: [usize; 3], width: usize) -> Self {
        Self { conv, stride, width }
    }

    pub(super) fn read(weights: &Weights, block: &Compression, padding: ConvPadding) -> Self {
        let outputs = block.width / block.fold();
        let conv = CausalConv3d::read(&weights.at("conv"), block.inputs, outputs, padding);
        Self::new(conv, block.stride, block.width)
    }

    /// `[B, C, F, H, W]` to `[B, width, (F + st - 1) / st, H / sh, W / sw]`.
    ///
    /// # Panics
    /// If height or width is no multiple of the stride, or `F` is even and halved.
    pub fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        let x = match self.stride[0] {
            2 => Tensor::cat(vec![x.clone().narrow(2, 0, 1), x], 2),
            _ => x,
        };
        let skip = group_means(space_to_depth(x.clone(), self.stride), self.width);
        skip + space_to_depth(self.conv.forward(x), self.stride)
    }
}

/// `compress_*` of the decoder: a convolution, unfolded; the first frame of a doubled time is dropped.
#[derive(Debug, Clone)]
pub struct Upsample {
    conv: CausalConv3d,
    stride: [usize; 3],
    residual: bool,
}

impl Upsample {
    /// `conv` gives `st sh sw` times the channels of the block, where `stride` is `[st, sh, sw]`. With `residual`,
    /// as LTX-2.0 has it, the unfolded input is added, its channels repeated as a whole.
    pub fn new(conv: CausalConv3d, stride: [usize; 3], residual: bool) -> Self {
        Self { conv, stride, residual }
    }

    pub(super) fn read(weights: &Weights, block: &Compression, padding: ConvPadding) -> Self {
        let outputs = block.width * block.fold();
        let conv = CausalConv3d::read(&weights.at("conv"), block.inputs, outputs, padding);
        Self::new(conv, block.stride, block.residual)
    }

    /// `[B, C, F, H, W]` to `[B, width, st F - st + 1, sh H, sw W]`.
    pub fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        let skip = self.residual.then(|| self.unfold(x.clone()));
        let y = self.unfold(self.conv.forward(x));
        match skip {
            Some(skip) => {
                let times = y.dims()[1] / skip.dims()[1];
                y + skip.repeat_dim(1, times)
            }
            None => y,
        }
    }

    fn unfold(&self, x: Tensor<5>) -> Tensor<5> {
        let y = depth_to_space(x, self.stride);
        let dropped = self.stride[0] - 1;
        let frames = y.dims()[2] - dropped;
        y.narrow(2, dropped, frames)
    }
}

/// `[B, C, F, H, W]` to `[B, C st sh sw, F / st, H / sh, W / sw]`, new channel `((c st + dt) sh + dy) sw + dx`.
fn space_to_depth(x: Tensor<5>, [st, sh, sw]: [usize; 3]) -> Tensor<5> {
    let [b, c, f, h, w] = x.dims();
    let (f, h, w) = (f / st, h / sh, w / sw);
    let split = x.reshape([b, c, f, st, h, sh, w, sw]);
    split.permute([0, 1, 3, 5, 7, 2, 4, 6]).reshape([b, c * st * sh * sw, f, h, w])
}

/// The inverse of [`space_to_depth`].
fn depth_to_space(x: Tensor<5>, [st, sh, sw]: [usize; 3]) -> Tensor<5> {
    let [b, c, f, h, w] = x.dims();
    let c = c / (st * sh * sw);
    let split = x.reshape([b, c, st, sh, sw, f, h, w]);
    split.permute([0, 1, 5, 2, 6, 3, 7, 4]).reshape([b, c, f * st, h * sh, w * sw])
}

/// Channel `o` is the mean of the `C / width` neighbouring channels from `o C / width` on.
fn group_means(x: Tensor<5>, width: usize) -> Tensor<5> {
    let [b, c, f, h, w] = x.dims();
    if c == width {
        return x;
    }
    let groups: Tensor<6> = x.reshape([b, width, c / width, f, h, w]);
    groups.mean_dim(2).squeeze_dim(2)
}
