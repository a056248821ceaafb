//! Which source samples make a target sample along one axis, and with what weights.

use std::ops::Range;

/// The weights of an antialiased bicubic filter (a = -0.5) along one axis.
///
/// With `s = from / to` and `k = max(s, 1)`, sample `i` of the resized axis is centred at `s (i + 0.5)` and takes the
/// source samples within `2 k` of it, by the cubic of their distance over `k`, made to sum to 1. At the borders there
/// are fewer of them.
pub(crate) struct Taps {
    /// For each target sample, its first source sample, counted from the first that is used.
    starts: Vec<usize>,
    /// `blocks` for each target sample, zeros behind the last tap.
    weights: Vec<[f32; LANES]>,
    blocks: usize,
    used: Range<usize>,
}

impl Taps {
    /// The filter from `from` samples to `to`, of which only `wanted` are made.
    pub(crate) fn new(from: u32, to: u32, wanted: Range<u32>) -> Self {
        let step = f64::from(from) / f64::from(to);
        let stretch = step.max(1.0);
        let filters: Vec<_> = wanted.map(|i| filter(step * (f64::from(i) + 0.5), stretch, from)).collect();
        let first = filters.iter().map(|(taps, _)| taps.start).min().unwrap_or(0);
        let end = filters.iter().map(|(taps, _)| taps.end).max().unwrap_or(0);
        let longest = filters.iter().map(|(taps, _)| taps.len()).max().unwrap_or(0);
        let blocks = longest.div_ceil(LANES);
        let mut weights = Vec::with_capacity(filters.len() * blocks);
        for (_, filter) in &filters {
            let block = |i| std::array::from_fn(|lane| filter.get(i * LANES + lane).copied().unwrap_or(0.0));
            weights.extend((0..blocks).map(block));
        }
        let starts = filters.into_iter().map(|(taps, _)| taps.start - first).collect();
        Self { starts, weights, blocks, used: first..end }
    }

    /// How many source samples a target sample takes, those of weight 0 included: a multiple of [`LANES`].
    pub(crate) fn count(&self) -> usize {
        self.blocks * LANES
    }

    /// The source samples that are taken at all.
    pub(crate) fn used(&self) -> Range<usize> {
        self.used.clone()
    }

    /// For each target sample, its first source sample, counted from the first that is [`used`](Self::used), and the
    /// weights from there on. Those that would lie behind the last are 0.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &[[f32; LANES]])> {
        self.starts.iter().copied().zip(self.weights.chunks_exact(self.blocks.max(1)))
    }
}

/// How many taps are applied at once.
pub(crate) const LANES: usize = 4;

/// The taps of a sample centred at `center`, and their weights.
fn filter(center: f64, stretch: f64, from: u32) -> (Range<usize>, Vec<f32>) {
    let reach = 2.0 * stretch;
    // The casts truncate, and clamp at 0.
    let start = (center - reach + 0.5) as u32;
    let end = ((center + reach + 0.5) as u32).min(from);
    let weight = |j: u32| cubic((f64::from(j) - center + 0.5) / stretch);
    let sum: f64 = (start..end).map(weight).sum();
    (start as usize..end as usize, (start..end).map(|j| (weight(j) / sum) as f32).collect())
}

/// Keys' cubic with a = -0.5.
fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    match x.abs() {
        x if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
        x if x < 2.0 => A * (((x - 5.0) * x + 8.0) * x - 4.0),
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// For each wanted sample, its first source sample and all weights from there on.
    fn taps(from: u32, to: u32, wanted: Range<u32>) -> Vec<(usize, Vec<f32>)> {
        let taps = Taps::new(from, to, wanted);
        let first = taps.used().start;
        taps.iter().map(|(start, weights)| (first + start, weights.as_flattened().to_vec())).collect()
    }

    #[test]
    fn twice_the_size_takes_the_weights_of_textbooks() {
        // The cubic at 1.25, 0.25, 0.75 and 1.75.
        let weights = [-9.0 / 128.0, 111.0 / 128.0, 29.0 / 128.0, -3.0 / 128.0];
        let mirrored = [-3.0 / 128.0, 29.0 / 128.0, 111.0 / 128.0, -9.0 / 128.0];
        let all = taps(16, 32, 0..32);
        assert_eq!(all[10], (3, mirrored.to_vec()));
        assert_eq!(all[11], (4, weights.to_vec()));
    }

    #[test]
    fn half_the_size_takes_twice_the_taps() {
        // The cubic at 1.75, 1.25, 0.75 and 0.25, halved.
        let half = [-3.0 / 256.0, -9.0 / 256.0, 29.0 / 256.0, 111.0 / 256.0];
        let weights: Vec<f32> = half.into_iter().chain(half.into_iter().rev()).collect();
        assert_eq!(taps(64, 32, 5..6), [(7, weights)]);
    }

    #[test]
    fn the_same_size_takes_each_sample_alone() {
        for (i, (start, weights)) in taps(9, 9, 0..9).into_iter().enumerate() {
            let taken: Vec<_> = (start..).zip(weights).filter(|(_, weight)| *weight != 0.0).collect();
            assert_eq!(taken, [(i, 1.0)]);
        }
    }

    #[test]
    fn weights_sum_to_one_and_stay_inside() {
        for (from, to) in [(1, 1), (1, 64), (2, 3), (3, 2), (97, 58), (1000, 7), (7, 1000), (4000, 1)] {
            for (i, (start, weights)) in taps(from, to, 0..to).into_iter().enumerate() {
                let sum: f32 = weights.iter().sum();
                assert!((sum - 1.0).abs() < 1e-5, "{from} to {to}, {i}: {sum}");
                let last = weights.iter().rposition(|weight| *weight != 0.0).unwrap();
                assert!(start + last < from as usize, "{from} to {to}, {i}");
            }
        }
    }

    #[test]
    fn a_part_has_the_taps_of_the_whole() {
        assert_eq!(taps(97, 58, 13..45), taps(97, 58, 0..58)[13..45]);
        // Samples 13.5 and 44.5 are centred at 22.6 and 74.4 and reach 3.3.
        assert_eq!(Taps::new(97, 58, 13..45).used(), 19..78);
    }
}
