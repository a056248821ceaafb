//! Attention that never stores `T x S` scores: a band of queries at a time, recomputed in the backward pass.

use burn::backend::flex::FlexTensor;
use rayon::prelude::*;

use super::{
    exp::exp,
    matrix::{Matrix, Store, Target, Threads, multiply},
    parallel::simd,
    reduce,
    tensor::dims,
};

/// Values of one band's scores: half of a core's second-level cache, as the backward pass holds two.
const BAND_SCORES: usize = 1 << 16;
/// Queries of one band. Every band packs all keys once more, so that few queries would not pay.
const BAND_QUERIES: [usize; 2] = [32, 128];

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

    /// `count` rows of one head from row `start` on.
    fn rows(&self, batch: usize, head: usize, start: usize, count: usize) -> Matrix<'a> {
        let [b, h, t, i] = self.strides;
        let data = &self.data[(batch * b + head * h + start * t).min(self.data.len())..];
        Matrix::strided(data, count, self.dims[3], [t, i])
    }

    fn all(&self, batch: usize, head: usize) -> Matrix<'a> {
        self.rows(batch, head, 0, self.dims[2])
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
    fn band(&self) -> usize {
        let keys = self.k.dims[2].max(1);
        (BAND_SCORES / keys).clamp(BAND_QUERIES[0], BAND_QUERIES[1])
    }

    /// The scores of `count` queries from `start` on, row after row, without the bias.
    fn scores(&self, at: [usize; 2], start: usize, count: usize, out: &mut Vec<f32>, threads: Threads) {
        let keys = self.k.dims[2];
        out.resize(count * keys, 0.0);
        let (q, k) = (self.q.rows(at[0], at[1], start, count), self.k.all(at[0], at[1]));
        multiply(Target::new(out, count, keys), q, k.t(), self.scale, Store::Replace, threads);
        self.add_bias(at, start, out);
    }

    fn add_bias(&self, [batch, head]: [usize; 2], start: usize, scores: &mut [f32]) {
        let [b, h, t, s] = self.bias.strides;
        // The softmax of a row does not change if all of it does.
        if self.bias.dims[3] == 1 {
            return;
        }
        for (row, scores) in scores.chunks_exact_mut(self.k.dims[2].max(1)).enumerate() {
            let at = batch * b + head * h + (start + row) * t;
            for (key, score) in scores.iter_mut().enumerate() {
                *score += self.bias.data[at + key * s];
            }
        }
    }
}

/// `softmax(scale q k^T + bias) v` as `[B, T, H, d]`, and the logarithm of every softmax's denominator, `[B, T, H]`.
pub(crate) fn forward(inputs: &Inputs<'_>) -> (Vec<f32>, Vec<f32>) {
    let [batch, heads, tokens, width] = inputs.q.dims;
    let mut out = vec![0.0; batch * tokens * heads * width];
    let mut logs = vec![0.0; batch * tokens * heads];
    let band = inputs.band();
    let threads = threads_for(batch * tokens.div_ceil(band));
    let row = heads * width;
    let samples = out.par_chunks_mut((tokens * row).max(1)).zip(logs.par_chunks_mut((tokens * heads).max(1)));
    samples.enumerate().for_each(|(sample, (out, logs))| {
        let bands = out.par_chunks_mut(band * row).zip(logs.par_chunks_mut(band * heads));
        bands.enumerate().for_each_init(Vec::new, |scores, (i, (out, logs))| {
            for head in 0..heads {
                forward_band(inputs, [sample, head], i * band, out, logs, scores, threads);
            }
        });
    });
    (out, logs)
}

fn forward_band(
    inputs: &Inputs<'_>,
    at: [usize; 2],
    start: usize,
    out: &mut [f32],
    logs: &mut [f32],
    scores: &mut Vec<f32>,
    threads: Threads,
) {
    let [_, heads, _, width] = inputs.q.dims;
    let (row, count, keys) = (heads * width, logs.len() / heads, inputs.k.dims[2]);
    inputs.scores(at, start, count, scores, threads);
    simd(
        #[inline(always)]
        || {
            for (query, scores) in scores.chunks_exact_mut(keys).enumerate() {
                logs[query * heads + at[1]] = exponentials(scores);
            }
        },
    );
    let out = &mut out[at[1] * width..];
    let target = Target::strided(out, count, width, row);
    multiply(
        target,
        Matrix::new(scores, count, keys),
        inputs.v.all(at[0], at[1]),
        1.0,
        Store::Replace,
        threads,
    );
}

/// The softmax of a row in place; the logarithm of its denominator.
#[inline(always)]
fn exponentials(row: &mut [f32]) -> f32 {
    let max = reduce::max(row);
    for value in row.iter_mut() {
        *value = exp(*value - max);
    }
    let sum = reduce::sum(row.len(), |i| row[i]);
    let share = 1.0 / sum;
    for value in row.iter_mut() {
        *value *= share;
    }
    max + sum.ln()
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
    let threads = threads_for(batch * heads);
    let zeros = |rows| vec![0.0; batch * heads * rows * width];
    let (mut dq, mut dk, mut dv) = (zeros(tokens), zeros(keys), zeros(keys));
    let (query_block, key_block) = ((tokens * width).max(1), (keys * width).max(1));
    let of_heads =
        dq.par_chunks_mut(query_block).zip(dk.par_chunks_mut(key_block)).zip(dv.par_chunks_mut(key_block));
    of_heads.enumerate().for_each(|(i, ((dq, dk), dv))| {
        backward_head(inputs, upstream, [i / heads, i % heads], [dq, dk, dv], threads);
    });
    [(dq, tokens), (dk, keys), (dv, keys)].map(|(grad, rows)| merged(&grad, [batch, heads, rows, width]))
}

fn backward_head(
    inputs: &Inputs<'_>,
    upstream: &Upstream<'_>,
    at: [usize; 2],
    [dq, dk, dv]: [&mut [f32]; 3],
    threads: Threads,
) {
    let [_, heads, tokens, width] = inputs.q.dims;
    let keys = inputs.k.dims[2];
    let (k, v) = (inputs.k.all(at[0], at[1]), inputs.v.all(at[0], at[1]));
    let (mut p, mut ds) = (Vec::new(), Vec::new());
    for start in (0..tokens).step_by(inputs.band()) {
        let count = inputs.band().min(tokens - start);
        let q = inputs.q.rows(at[0], at[1], start, count);
        let grad = upstream.grad.rows(at[0], at[1], start, count);
        let log = |query: usize| upstream.logs[(at[0] * tokens + start + query) * heads + at[1]];
        let delta = |query: usize| dot(&upstream.out, &upstream.grad, [at[0], at[1], start + query]);

        inputs.scores(at, start, count, &mut p, threads);
        ds.resize(count * keys, 0.0);
        multiply(Target::new(&mut ds, count, keys), grad, v.t(), 1.0, Store::Replace, threads);
        simd(
            #[inline(always)]
            || {
                for (query, (p, ds)) in p.chunks_exact_mut(keys).zip(ds.chunks_exact_mut(keys)).enumerate() {
                    let (log, delta) = (log(query), delta(query));
                    for (p, ds) in p.iter_mut().zip(ds) {
                        *p = exp(*p - log);
                        *ds = *p * (*ds - delta);
                    }
                }
            },
        );
        let (p, ds) = (Matrix::new(&p, count, keys), Matrix::new(&ds, count, keys));
        let dq = &mut dq[start * width..(start + count) * width];
        multiply(Target::new(dq, count, width), ds, k, inputs.scale, Store::Replace, threads);
        multiply(Target::new(dk, keys, width), ds.t(), q, inputs.scale, Store::Add, threads);
        multiply(Target::new(dv, keys, width), p.t(), grad, 1.0, Store::Add, threads);
    }
}

/// The product of two rows.
#[inline(always)]
fn dot(a: &Heads<'_>, b: &Heads<'_>, [batch, head, row]: [usize; 3]) -> f32 {
    let start = |x: &Heads<'_>| batch * x.strides[0] + head * x.strides[1] + row * x.strides[2];
    let (at_a, at_b) = (start(a), start(b));
    reduce::sum(a.dims[3], |i| a.data[at_a + i * a.strides[3]] * b.data[at_b + i * b.strides[3]])
}

/// `[B, H, T, d]` to `[B, T, H, d]`.
fn merged(values: &[f32], [_, heads, rows, width]: [usize; 4]) -> Vec<f32> {
    let mut out = vec![0.0; values.len()];
    out.par_chunks_mut((heads * width).max(1)).enumerate().for_each(|(token, out)| {
        let (sample, row) = (token / rows, token % rows);
        for (head, out) in out.chunks_exact_mut(width).enumerate() {
            let at = ((sample * heads + head) * rows + row) * width;
            out.copy_from_slice(&values[at..at + width]);
        }
    });
    out
}

/// Whether products within one of `tasks` should share the pool.
fn threads_for(tasks: usize) -> Threads {
    if tasks >= rayon::current_num_threads() { Threads::One } else { Threads::All }
}
