//! Normalisations without learned offsets.

use burn::tensor::Tensor;

/// `x / sqrt(mean(x²) + eps)` over the last axis.
pub(crate) fn rms_norm<const D: usize>(x: Tensor<D>, eps: f64) -> Tensor<D> {
    let mean = x.clone().square().mean_dim(D - 1);
    x * (mean + eps).sqrt().recip()
}

/// `(x - mean(x)) / sqrt(var(x) + eps)` over the last axis.
pub(crate) fn layer_norm<const D: usize>(x: Tensor<D>, eps: f64) -> Tensor<D> {
    let mean = x.clone().mean_dim(D - 1);
    let centred = x - mean;
    let variance = centred.clone().square().mean_dim(D - 1);
    centred * (variance + eps).sqrt().recip()
}
