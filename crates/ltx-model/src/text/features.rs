//! Hidden states to features: normalise, flatten, project.

use burn::tensor::Tensor;

use super::GemmaConfig;
use crate::{linear::Linear, norm::rms_norm, weights::Weights};

/// Epsilon of the normalisation of hidden states.
const STATE_EPS: f64 = 1e-6;

/// The projection of all hidden states of a token to one row of features.
#[derive(Debug, Clone)]
pub struct FeatureExtractor {
    video_aggregate_embed: Linear,
    factor: f64,
    inputs: usize,
}

/// Divides each of the `L` states `[T, hidden]` by its root mean square, token by token, and lays them side
/// by side: `[T, hidden L]`, where state `l` of dimension `d` is column `d L + l`.
pub fn normalise_states(states: Vec<Tensor<2>>) -> Tensor<2> {
    let normalised = states.into_iter().map(|state| rms_norm(state, STATE_EPS)).collect();
    Tensor::stack::<3>(normalised, 2).flatten(1, 2)
}

impl FeatureExtractor {
    /// `width` is that of the features.
    pub(crate) fn read(weights: &Weights, gemma: &GemmaConfig, width: usize) -> Self {
        let inputs = gemma.hidden_size * gemma.hidden_states();
        Self {
            video_aggregate_embed: Linear::read(&weights.at("video_aggregate_embed"), inputs, width),
            factor: (width as f64 / gemma.hidden_size as f64).sqrt(),
            inputs,
        }
    }

    /// The features `[T, D]` of a caption's tokens, from all their hidden states, `[T, hidden]` each.
    pub fn forward(&self, states: Vec<Tensor<2>>) -> Tensor<2> {
        self.video_aggregate_embed.forward(normalise_states(states).mul_scalar(self.factor))
    }

    /// The reference's layout `[length, D]` of features `[T, D]`: padding first, whose rows hold what the
    /// projection makes of nothing.
    pub fn left_padded(&self, features: Tensor<2>, length: usize) -> Tensor<2> {
        let padding = length.saturating_sub(features.dims()[0]);
        if padding == 0 {
            return features;
        }
        let nothing = Tensor::zeros([1, self.inputs], &features.device());
        let row = self.video_aggregate_embed.forward(nothing);
        Tensor::cat(vec![row.repeat_dim(0, padding), features], 0)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tolerance};

    use super::*;

    #[test]
    fn states_are_the_fast_axis_of_the_flattened_row() {
        let device = Device::flex();
        let state = |rows: [[f32; 2]; 2]| Tensor::from_data(rows, &device);
        let flat = normalise_states(vec![state([[3.0, -3.0], [0.0, 0.0]]), state([[0.0, 2.0], [1.0, 1.0]])]);
        let root = 2f32.sqrt();
        let wanted = Tensor::<2>::from_data([[1.0, 0.0, -1.0, root], [0.0, 1.0, 0.0, 1.0]], &device);
        flat.into_data().assert_approx_eq::<f32>(&wanted.into_data(), Tolerance::absolute(1e-5));
    }
}
