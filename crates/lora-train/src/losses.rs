//! Losses that can be read: averaged, and told apart by how noisy the samples were.

use serde::{Deserialize, Serialize};

use crate::maths::sigma_quarter;

/// An average of losses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Losses {
    /// The mean of all.
    pub mean: f64,
    /// The mean over each quarter of sigma, [0, 1/4), [1/4, 1/2), [1/2, 3/4) and [3/4, 1]; none where there was no
    /// sample.
    pub by_sigma: [Option<f64>; 4],
}

/// Losses being added up, by quarter of sigma.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct LossSum {
    sums: [f64; 4],
    counts: [u64; 4],
}

impl LossSum {
    pub(crate) fn add(&mut self, sigma: f32, loss: f64) {
        let quarter = sigma_quarter(sigma);
        self.sums[quarter] += loss;
        self.counts[quarter] += 1;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.counts == [0; 4]
    }

    /// The averages; none of nothing.
    pub(crate) fn losses(&self) -> Option<Losses> {
        let mean = |sum: f64, count: u64| (count > 0).then(|| sum / count as f64);
        let by_sigma = std::array::from_fn(|quarter| mean(self.sums[quarter], self.counts[quarter]));
        mean(self.sums.iter().sum(), self.counts.iter().sum()).map(|mean| Losses { mean, by_sigma })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_loss_counts_once_and_in_its_quarter() {
        let mut sum = LossSum::default();
        assert!(sum.is_empty() && sum.losses().is_none());
        for (sigma, loss) in [(0.1, 1.0), (0.2, 3.0), (0.75, 5.0), (1.0, 7.0), (0.9, 9.0)] {
            sum.add(sigma, loss);
        }
        let losses = sum.losses().unwrap();
        assert_eq!(losses, Losses { mean: 5.0, by_sigma: [Some(2.0), None, None, Some(7.0)] });
    }
}
