//! Where latents are centred, and how far they spread.

use burn::tensor::Tensor;

use crate::weights::Weights;

/// Mean and standard deviation of each latent channel, `[C]`.
#[derive(Debug, Clone)]
pub struct LatentStatistics {
    mean_of_means: Tensor<1>,
    std_of_means: Tensor<1>,
}

impl LatentStatistics {
    /// Statistics of `C` channels each.
    pub fn new(mean_of_means: Tensor<1>, std_of_means: Tensor<1>) -> Self {
        Self { mean_of_means, std_of_means }
    }

    /// Reads two of the entries; files may hold more.
    pub(super) fn read(weights: &Weights, channels: usize) -> Self {
        let statistics = weights.at("per_channel_statistics");
        let tensor = |name| statistics.tensor(name, [channels]);
        Self::new(tensor("mean-of-means"), tensor("std-of-means"))
    }

    /// `(x - mean) / std`, `[B, C, F, H, W]`: what is stored, trained on and decoded.
    pub fn normalize(&self, x: Tensor<5>) -> Tensor<5> {
        (x - over_channels(&self.mean_of_means)) / over_channels(&self.std_of_means)
    }

    /// `x std + mean`: the inverse.
    pub fn denormalize(&self, x: Tensor<5>) -> Tensor<5> {
        x * over_channels(&self.std_of_means) + over_channels(&self.mean_of_means)
    }
}

fn over_channels(values: &Tensor<1>) -> Tensor<5> {
    values.clone().reshape([1, values.dims()[0], 1, 1, 1])
}
