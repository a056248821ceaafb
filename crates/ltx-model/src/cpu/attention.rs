//! Attention that never stores `T x S` scores: a tile of them at a time, recomputed in the backward pass.
//!
//! A tile is some keys against some queries. The keys of a tile are transposed once and meet all queries in turn, so that
//! every product finds its matrices in the order in which it multiplies.

use std::ops::Range;

use burn::backend::flex::FlexTensor;
use rayon::prelude::*;

use super::{
    exp::exp_of_negative,
    matrix::{Matrix, Store, Target, Threads, multiply},
    parallel::{self, simd, zeros},
    reduce,
    tensor::dims,
};

/// Keys of one tile.
const KEYS: usize = 192;
/// Queries of one tile. Its scores, twice in the backward pass, stay in a core's second-level cache.
const QUERIES: usize = 192;
/// Queries that one task of the forward pass takes: enough to pay for transposing the keys once more.
const TASK: usize = 4 * QUERIES;

/// A `[B, H, T, d]` tensor in memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heads<'a> {
    pub(crate) data: &'a [f32],
    /// B, H, T, d.
    pub(crate) dims: [usize; 4],
    pub(crate) strides: [usize; 4],
}

impl<'a> Heads<'a> {
    /// A tensor of four axes, in whatever order they lie.
    pub(crate) fn of(tensor: &'a FlexTensor) -> Self {
        let layout = tensor.layout();
        let strides: Vec<usize> = layout.strides().iter().map(|stride| stride.unsigned_abs()).collect();
        Self {
            data: &tensor.storage::<f32>()[layout.start_offset()..],
            dims: dims(tensor),
            strides: std::array::from_fn(|axis| if layout.shape()[axis] == 1 { 0 } else { strides[axis] }),
        }
    }

    /// Some rows of one head.
    fn rows(&self, [batch, head]: [usize; 2], rows: &Range<usize>) -> Matrix<'a> {
        let [b, h, t, i] = self.strides;
        let data = &self.data[(batch * b + head * h + rows.start * t).min(self.data.len())..];
        Matrix::strided(data, rows.len(), self.dims[3], [t, i])
    }
}

/// What attention attends with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Inputs<'a> {
    pub(crate) q: Heads<'a>,
    pub(crate) k: Heads<'a>,
    pub(crate) v: Heads<'a>,
    /// Added to the scores; its axes may have length 1, and a single value changes nothing.
    pub(crate) bias: Heads<'a>,
    pub(crate) scale: f32,
}

impl Inputs<'_> {
    /// Adds the bias to the scores of `queries` against `keys`, row after row.
    fn add_bias(
        &self,
        [batch, head]: [usize; 2],
        queries: &Range<usize>,
        keys: &Range<usize>,
        scores: &mut [f32],
    ) {
        let [b, h, t, s] = self.bias.strides;
        // The softmax of a row does not change if all of it does.
        if self.bias.dims[3] == 1 {
            return;
        }
        for (query, scores) in queries.clone().zip(scores.chunks_exact_mut(keys.len())) {
            let at = batch * b + head * h + query * t;
            for (key, score) in keys.clone().zip(scores) {
                *score += self.bias.data[at + key * s];
            }
        }
    }
}

/// `0..rows` in parts of `size`, the last one perhaps smaller.
fn parts(rows: usize, size: usize) -> impl Iterator<Item = Range<usize>> {
    (0..rows).step_by(size).map(move |start| start..(start + size).min(rows))
}

/// A product on this thread: heads and parts of them are what is shared among threads.
fn tile_product(out: Target<'_>, a: Matrix<'_>, b: Matrix<'_>, scale: f32, store: Store) {
    multiply(out, a, b, scale, store, Threads::One);
}

/// Columns of some rows, in memory of their own.
#[derive(Debug, Default)]
struct Columns {
    data: Vec<f32>,
    rows: usize,
}

impl Columns {
    fn take(&mut self, rows: Matrix<'_>) {
        (self.data, self.rows) = (rows.transposed(std::mem::take(&mut self.data)), rows.rows());
    }

    /// `[d, rows]`.
    fn matrix(&self) -> Matrix<'_> {
        Matrix::new(&self.data, self.data.len() / self.rows.max(1), self.rows)
    }
}

/// `softmax(scale q k^T + bias) v` as `[B, T, H, d]`, and the logarithm of every softmax's denominator, `[B, H, T]`.
pub(crate) fn forward(inputs: &Inputs<'_>) -> (Vec<f32>, Vec<f32>) {
    let shape @ [batch, heads, tokens, width] = inputs.q.dims;
    let mut out = zeros(batch * heads * tokens * width);
    let mut logs = vec![0.0; batch * heads * tokens];
    let of_heads = out.par_chunks_mut((tokens * width).max(1)).zip(logs.par_chunks_mut(tokens.max(1)));
    of_heads.enumerate().with_max_len(1).for_each(|(i, (out, logs))| {
        let tasks = out.par_chunks_mut((TASK * width).max(1)).zip(logs.par_chunks_mut(TASK));
        tasks.enumerate().with_max_len(1).for_each(|(task, (out, logs))| {
            forward_task(inputs, [i / heads, i % heads], task * TASK, out, logs);
        });
    });
    (merged(&out, shape), logs)
}

/// The result for some queries of one head, from number `first` on; `out` is nought.
fn forward_task(inputs: &Inputs<'_>, at: [usize; 2], first: usize, out: &mut [f32], logs: &mut [f32]) {
    let width = inputs.q.dims[3];
    let (mut k, mut scores) = (Columns::default(), vec![0.0; KEYS * QUERIES]);
    let mut softmax = vec![Softmax::default(); logs.len()];
    for keys in parts(inputs.k.dims[2], KEYS) {
        k.take(inputs.k.rows(at, &keys));
        let v = inputs.v.rows(at, &keys);
        for part in parts(logs.len(), QUERIES) {
            let queries = first + part.start..first + part.end;
            let scores = &mut scores[..part.len() * keys.len()];
            let target = Target::new(scores, part.len(), keys.len());
            tile_product(target, inputs.q.rows(at, &queries), k.matrix(), inputs.scale, Store::Replace);
            inputs.add_bias(at, &queries, &keys, scores);
            let out = &mut out[part.start * width..part.end * width];
            simd(
                #[inline(always)]
                || {
                    let rows = scores.chunks_exact_mut(keys.len()).zip(out.chunks_exact_mut(width));
                    for ((scores, out), softmax) in rows.zip(&mut softmax[part.clone()]) {
                        softmax.take(scores, out);
                    }
                },
            );
            let scores = Matrix::new(scores, part.len(), keys.len());
            tile_product(Target::new(out, part.len(), width), scores, v, 1.0, Store::Add);
        }
    }
    simd(
        #[inline(always)]
        || {
            for ((softmax, log), out) in softmax.iter().zip(logs).zip(out.chunks_exact_mut(width)) {
                *log = softmax.finish(out);
            }
        },
    );
}

/// The softmax of one query, some keys at a time (Milakov and Gimelshein 2018, "Online normalizer calculation for
/// softmax").
#[derive(Debug, Clone, Copy)]
struct Softmax {
    /// The largest score so far.
    max: f32,
    /// The sum of `exp(score - max)` so far.
    sum: f32,
}

impl Default for Softmax {
    fn default() -> Self {
        Self { max: f32::NEG_INFINITY, sum: 0.0 }
    }
}

impl Softmax {
    /// Turns the scores of more keys into their shares of the sum, which `out`, the weighted sum of the values before
    /// them, is brought to the scale of.
    #[inline(always)]
    fn take(&mut self, scores: &mut [f32], out: &mut [f32]) {
        let max = reduce::max(scores).max(self.max);
        if max > self.max {
            let factor = exp_of_negative(self.max - max);
            self.sum *= factor;
            out.iter_mut().for_each(|value| *value *= factor);
            self.max = max;
        }
        // Keys that are all hidden have no largest score, and no share.
        let shift = if max == f32::NEG_INFINITY { 0.0 } else { max };
        self.sum += reduce::sum_of_replaced(scores, |score| exp_of_negative(score - shift));
    }

    /// The logarithm of the denominator, by which `out` is divided.
    #[inline(always)]
    fn finish(self, out: &mut [f32]) -> f32 {
        let share = 1.0 / self.sum;
        out.iter_mut().for_each(|value| *value *= share);
        self.max + self.sum.ln()
    }
}

/// What the backward pass takes besides the inputs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Upstream<'a> {
    /// What [`forward`] gave.
    pub(crate) out: Heads<'a>,
    /// What [`forward`] gave.
    pub(crate) logs: &'a [f32],
    /// The gradient of `out`.
    pub(crate) grad: Heads<'a>,
}

/// The gradients of q, k and v, as `[B, T, H, d]`.
pub(crate) fn backward(inputs: &Inputs<'_>, upstream: &Upstream<'_>) -> [Vec<f32>; 3] {
    let [batch, heads, tokens, width] = inputs.q.dims;
    let keys = inputs.k.dims[2];
    let [mut dq, mut dk, mut dv] = [tokens, keys, keys].map(|rows| zeros(batch * heads * rows * width));
    let (query_block, key_block) = ((tokens * width).max(1), (keys * width).max(1));
    let of_heads =
        dq.par_chunks_mut(query_block).zip(dk.par_chunks_mut(key_block)).zip(dv.par_chunks_mut(key_block));
    of_heads.enumerate().with_max_len(1).for_each(|(i, ((dq, dk), dv))| {
        backward_head(inputs, upstream, [i / heads, i % heads], [dq, dk, dv]);
    });
    [(dq, tokens), (dk, keys), (dv, keys)].map(|(grad, rows)| merged(&grad, [batch, heads, rows, width]))
}

/// All gradients are nought before.
fn backward_head(
    inputs: &Inputs<'_>,
    upstream: &Upstream<'_>,
    at: [usize; 2],
    [dq, dk, dv]: [&mut [f32]; 3],
) {
    let deltas = dots(&upstream.out, &upstream.grad, at);
    let (keys, width) = (inputs.k.dims[2], inputs.k.dims[3]);
    let half = keys.div_ceil(KEYS).div_ceil(2) * KEYS;
    if keys <= half {
        return backward_keys(inputs, upstream, at, &deltas, 0..keys, [dq, dk, dv]);
    }
    // Two threads would wait for each other if one had a head more than the other to do. Halves of the keys share the
    // gradient of the queries alone.
    let mut of_rest = vec![0.0; dq.len()];
    let [(dk, dk_rest), (dv, dv_rest)] = [dk, dv].map(|grad| grad.split_at_mut(half * width));
    rayon::join(
        || backward_keys(inputs, upstream, at, &deltas, 0..half, [dq, dk, dv]),
        || backward_keys(inputs, upstream, at, &deltas, half..keys, [&mut of_rest, dk_rest, dv_rest]),
    );
    dq.iter_mut().zip(&of_rest).for_each(|(grad, more)| *grad += more);
}

/// Some keys' part of the gradients of one head; `dk` and `dv` are those of these keys.
fn backward_keys(
    inputs: &Inputs<'_>,
    upstream: &Upstream<'_>,
    at: [usize; 2],
    deltas: &[f32],
    all: Range<usize>,
    [dq, dk, dv]: [&mut [f32]; 3],
) {
    let [_, heads, tokens, width] = inputs.q.dims;
    let (mut k_columns, mut v_columns) = (Columns::default(), Columns::default());
    let (mut p, mut ds) = (vec![0.0; KEYS * QUERIES], vec![0.0; KEYS * QUERIES]);
    let logs = &upstream.logs[(at[0] * heads + at[1]) * tokens..][..tokens];
    for part in parts(all.len(), KEYS) {
        let keys = all.start + part.start..all.start + part.end;
        let k = inputs.k.rows(at, &keys);
        k_columns.take(k);
        v_columns.take(inputs.v.rows(at, &keys));
        let count = keys.len();
        let [dk, dv] = [&mut *dk, &mut *dv].map(|grad| &mut grad[part.start * width..part.end * width]);
        for queries in parts(tokens, QUERIES) {
            let (q, grad) = (inputs.q.rows(at, &queries), upstream.grad.rows(at, &queries));
            let (p, ds) = (&mut p[..queries.len() * count], &mut ds[..queries.len() * count]);
            let target = Target::new(p, queries.len(), count);
            tile_product(target, q, k_columns.matrix(), inputs.scale, Store::Replace);
            inputs.add_bias(at, &queries, &keys, p);
            let target = Target::new(ds, queries.len(), count);
            tile_product(target, grad, v_columns.matrix(), 1.0, Store::Replace);
            softmax_backward(p, ds, &logs[queries.clone()], &deltas[queries.clone()]);
            let dq = &mut dq[queries.start * width..queries.end * width];
            let (p, ds) = (Matrix::new(p, queries.len(), count), Matrix::new(ds, queries.len(), count));
            tile_product(Target::new(dq, queries.len(), width), ds, k, inputs.scale, Store::Add);
            tile_product(Target::new(dk, count, width), ds.t(), q, inputs.scale, Store::Add);
            tile_product(Target::new(dv, count, width), p.t(), grad, 1.0, Store::Add);
        }
    }
}

/// Turns scores into shares `p`, and the gradient of the shares into that of the scores: `p (dp - delta)`.
fn softmax_backward(p: &mut [f32], dp: &mut [f32], logs: &[f32], deltas: &[f32]) {
    let keys = p.len() / logs.len();
    simd(
        #[inline(always)]
        || {
            let rows = p.chunks_exact_mut(keys).zip(dp.chunks_exact_mut(keys));
            for ((p, dp), (log, delta)) in rows.zip(logs.iter().zip(deltas)) {
                for (p, dp) in p.iter_mut().zip(dp) {
                    *p = exp_of_negative(*p - log);
                    *dp = *p * (*dp - delta);
                }
            }
        },
    );
}

/// The product of every row of one head with the same of another tensor.
fn dots(a: &Heads<'_>, b: &Heads<'_>, at: [usize; 2]) -> Vec<f32> {
    let start = |x: &Heads<'_>, row| at[0] * x.strides[0] + at[1] * x.strides[1] + row * x.strides[2];
    let dot = |row| {
        let (at_a, at_b) = (start(a, row), start(b, row));
        reduce::sum(a.dims[3], |i| a.data[at_a + i * a.strides[3]] * b.data[at_b + i * b.strides[3]])
    };
    let mut out = vec![0.0; a.dims[2]];
    simd(
        #[inline(always)]
        || {
            // A loop of its own: the iterator's would not be widened with it.
            for (row, out) in out.iter_mut().enumerate() {
                *out = dot(row);
            }
        },
    );
    out
}

/// `[B, H, T, d]` to `[B, T, H, d]`.
fn merged(values: &[f32], [_, heads, rows, width]: [usize; 4]) -> Vec<f32> {
    parallel::rows(values.len(), heads * width, |token, out| {
        let (sample, row) = (token / rows, token % rows);
        for (head, out) in out.chunks_exact_mut(width).enumerate() {
            let at = ((sample * heads + head) * rows + row) * width;
            out.copy_from_slice(&values[at..at + width]);
        }
    })
}
