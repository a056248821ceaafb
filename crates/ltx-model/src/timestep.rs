//! Timestep embeddings and the modulation they give, once for each distinct timestep.

use burn::tensor::{Device, Int, Tensor, TensorData, activation};

use crate::{fused::TokenRows, linear::Linear, weights::Weights};

/// Width of the sinusoid.
const SINUSOID: usize = 256;

/// The sinusoidal embedding of scaled timesteps: 128 cosines, then 128 sines, each `[256]` row after the other.
pub fn sinusoid(scaled: &[f32]) -> Vec<f32> {
    let frequencies = frequencies();
    let row = |s: &f32| {
        let angles: Vec<f64> = frequencies.iter().map(|w| f64::from(s * w)).collect();
        let cosines: Vec<f32> = angles.iter().map(|a| a.cos() as f32).collect();
        let sines = angles.into_iter().map(|a| a.sin() as f32);
        cosines.into_iter().chain(sines).collect::<Vec<_>>()
    };
    scaled.iter().flat_map(row).collect()
}

/// `exp(-ln(10000) i / 128)`, every operation in float32.
fn frequencies() -> Vec<f32> {
    let half = SINUSOID / 2;
    let mut frequencies: Vec<f32> =
        (0..half).map(|i| (-(10_000f32.ln()) * i as f32 / half as f32).exp()).collect();
    // This one lies 0.02 units in the last place below a tie. The reference's exponential rounds it up, a correctly
    // rounded one down, and timesteps of up to 1000 magnify the difference to 3e-5 rad.
    frequencies[12] = frequencies[12].next_up();
    frequencies
}

/// `linear(SiLU(E(s)))` with `E(s) = linear_2(SiLU(linear_1(sinusoid(s))))`.
#[derive(Debug, Clone)]
pub struct AdaLayerNormSingle {
    linear_1: Linear,
    linear_2: Linear,
    linear: Linear,
}

impl AdaLayerNormSingle {
    /// `rows` modulation vectors of `width` for each timestep.
    pub(crate) fn read(weights: &Weights, width: usize, rows: usize) -> Self {
        let embedder = weights.at("emb.timestep_embedder");
        Self {
            linear_1: Linear::read(&embedder.at("linear_1"), SINUSOID, width),
            linear_2: Linear::read(&embedder.at("linear_2"), width, width),
            linear: Linear::read(&weights.at("linear"), width, rows * width),
        }
    }

    /// For U scaled timesteps: the modulation `[U, rows D]` and the embedding `E` `[U, D]`.
    pub fn forward(&self, scaled: &[f32], device: &Device) -> (Tensor<2>, Tensor<2>) {
        let data = TensorData::new(sinusoid(scaled), [scaled.len(), SINUSOID]);
        let sinusoid = Tensor::<2>::from_data(data, device).cast(self.linear_1.activations());
        let hidden = self.linear_1.forward(sinusoid);
        let embedded = self.linear_2.forward(activation::silu(hidden));
        (self.linear.forward(activation::silu(embedded.clone())), embedded)
    }
}

/// The timestep of every token, stored as the few distinct values and an index for each token.
///
/// Kept tokens have timestep 0 and the others share the sample's sigma, so that a sample has two distinct values;
/// modulation is computed for these and gathered, which is exact and spares a `T x 9D` product.
#[derive(Debug, Clone)]
pub struct TokenTimesteps {
    batch: usize,
    distinct: Vec<f32>,
    index: Vec<i32>,
}

impl TokenTimesteps {
    /// Timesteps of `batch` samples, row after row.
    pub fn new(batch: usize, timesteps: &[f32]) -> Self {
        let mut distinct: Vec<f32> = timesteps.to_vec();
        distinct.sort_by(f32::total_cmp);
        distinct.dedup();
        let index =
            timesteps.iter().map(|t| distinct.partition_point(|d| d.total_cmp(t).is_lt()) as i32).collect();
        Self { batch, distinct, index }
    }

    /// The distinct values, ascending.
    pub fn distinct(&self) -> &[f32] {
        &self.distinct
    }

    pub(crate) fn index(&self, device: &Device) -> Tensor<1, Int> {
        Tensor::from_data(TensorData::new(self.index.clone(), [self.index.len()]), device)
    }

    /// Samples, and tokens of each.
    pub fn dims(&self) -> [usize; 2] {
        [self.batch, self.index.len() / self.batch.max(1)]
    }
}

/// Rows of modulation for each distinct timestep, and which token takes which.
#[derive(Debug, Clone)]
pub(crate) struct Modulation {
    /// `[U, 9, D]`.
    rows: Tensor<3>,
    /// `[U, D]`.
    embedded: Tensor<2>,
    /// `[B T]`.
    index: Tensor<1, Int>,
}

impl Modulation {
    pub(crate) fn new(
        adaln: &AdaLayerNormSingle,
        timesteps: &TokenTimesteps,
        scale: f64,
        device: &Device,
    ) -> Self {
        let scaled: Vec<f32> = timesteps.distinct.iter().map(|s| s * scale as f32).collect();
        let (rows, embedded) = adaln.forward(&scaled, device);
        let [distinct, width] = embedded.dims();
        let rows = rows.reshape([distinct, 9, width]);
        Self { rows, embedded, index: timesteps.index(device) }
    }

    /// `table[k] + A[t, k]` for each distinct timestep, to be gathered; `table` is `[9, D]`.
    pub(crate) fn row(&self, table: &Tensor<2>, k: usize) -> TokenRows {
        let rows: Tensor<2> = self.rows.clone().narrow(1, k, 1).squeeze_dim(1);
        TokenRows { rows: rows + table.clone().narrow(0, k, 1), index: self.index.clone() }
    }

    /// `table[k] + E` for each distinct timestep, to be gathered; `table` is `[2, D]`.
    pub(crate) fn embedded(&self, table: &Tensor<2>, k: usize) -> TokenRows {
        TokenRows { rows: self.embedded.clone() + table.clone().narrow(0, k, 1), index: self.index.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_share_their_timesteps() {
        let timesteps = TokenTimesteps::new(2, &[0.0, 0.5, 0.5, 0.25, 0.0, 0.25]);
        assert_eq!(timesteps.distinct(), [0.0, 0.25, 0.5]);
        assert_eq!(timesteps.index, [0, 2, 2, 1, 0, 1]);
        assert_eq!(timesteps.dims(), [2, 3]);
    }
}
