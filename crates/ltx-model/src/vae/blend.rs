//! Overlap-add: tiles along one axis, weighted and summed, handed out as soon as no further tile adds to them.

use std::{iter::Peekable, ops::Range, vec};

use burn::tensor::{Tensor, TensorData};

use super::Interval;

/// One tile: what it is made from, where it goes, and what its positions count; over all tiles of an axis the
/// weights of a position add up to 1.
#[derive(Clone)]
pub(super) struct Span {
    input: Range<usize>,
    output: Range<usize>,
    weights: Vec<f32>,
}

/// Tiles made from `inputs`, which go to `outputs` and count `weights`.
pub(super) fn spans(
    inputs: impl Iterator<Item = Interval>,
    outputs: &[Interval],
    weights: fn(&Interval) -> Vec<f32>,
) -> Vec<Span> {
    let range = |interval: &Interval| interval.start..interval.end;
    let span =
        |(input, output)| Span { input: range(&input), output: range(output), weights: weights(output) };
    let mut spans: Vec<Span> = inputs.zip(outputs).map(span).collect();
    let mut total = vec![0.0; spans.last().map_or(0, |last| last.output.end)];
    for span in &spans {
        for (total, weight) in total[span.output.clone()].iter_mut().zip(&span.weights) {
            *total += weight;
        }
    }
    for span in &mut spans {
        for (weight, total) in span.weights.iter_mut().zip(&total[span.output.clone()]) {
            *weight /= f32::max(*total, 1e-8);
        }
    }
    spans
}

/// Makes the tiles of `axis` one by one and yields the blended result piece by piece.
pub(super) struct OverlapAdd<F> {
    axis: usize,
    spans: Peekable<vec::IntoIter<Span>>,
    make: F,
    /// The sum so far of positions that further tiles add to.
    carry: Option<Tensor<5>>,
}

impl<F: FnMut(Range<usize>) -> Tensor<5>> OverlapAdd<F> {
    pub(super) fn new(axis: usize, spans: Vec<Span>, make: F) -> Self {
        Self { axis, spans: spans.into_iter().peekable(), make, carry: None }
    }

    /// Everything at once.
    pub(super) fn whole(self) -> Tensor<5> {
        let axis = self.axis;
        Tensor::cat(self.collect(), axis)
    }

    fn carried(&mut self, tile: Tensor<5>) -> Tensor<5> {
        let Some(carry) = self.carry.take() else { return tile };
        let [carried, length] = [&carry, &tile].map(|x| x.dims()[self.axis]);
        let shared = tile.clone().narrow(self.axis, 0, carried) + carry;
        if carried == length {
            return shared;
        }
        Tensor::cat(vec![shared, tile.narrow(self.axis, carried, length - carried)], self.axis)
    }
}

impl<F: FnMut(Range<usize>) -> Tensor<5>> Iterator for OverlapAdd<F> {
    type Item = Tensor<5>;

    fn next(&mut self) -> Option<Tensor<5>> {
        loop {
            let Span { input, output, weights } = self.spans.next()?;
            let tile = weighted((self.make)(input), self.axis, weights);
            let sum = self.carried(tile);
            let finished = self.spans.peek().map_or(output.end, |next| next.output.start) - output.start;
            if finished == output.len() {
                return Some(sum);
            }
            self.carry = Some(sum.clone().narrow(self.axis, finished, output.len() - finished));
            // Two tiles may start together where time starts one latent frame earlier.
            if finished > 0 {
                return Some(sum.narrow(self.axis, 0, finished));
            }
        }
    }
}

fn weighted(tile: Tensor<5>, axis: usize, weights: Vec<f32>) -> Tensor<5> {
    if weights.iter().all(|weight| *weight == 1.0) {
        return tile;
    }
    let mut shape = [1; 5];
    shape[axis] = weights.len();
    let weights = Tensor::from_data(TensorData::new(weights, shape), &tile.device());
    tile * weights
}
