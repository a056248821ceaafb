//! The two passes of attention, composed of a backend's own operations, some queries at a time.

use burn::{
    backend::{Slice, TensorMetadata, tensor::FloatTensor},
    tensor::Scalar,
};

use super::{Attended, AttentionKernel, Given};

/// Queries of one chunk.
const CHUNK: usize = 128;

pub(crate) fn attend<B: AttentionKernel>(given: &Given<B>) -> Attended<B> {
    let (mut out, mut logs) = (Vec::new(), Vec::new());
    for chunk in chunks::<B>(&given.q) {
        let scores = scores(given, &chunk);
        let max = B::float_max_dim(scores.clone(), 3);
        let weights = B::float_exp(B::float_sub(scores, max.clone()));
        let sum = B::float_sum_dim(weights.clone(), 3);
        out.push(B::float_div(B::product(weights, given.v.clone()), sum.clone()));
        logs.push(B::float_add(max, B::float_log(sum)));
    }
    Attended { out: B::float_cat(out, 2), logs: B::float_cat(logs, 2) }
}

pub(crate) fn attend_backward<B: AttentionKernel>(
    given: &Given<B>,
    attended: &Attended<B>,
    grad: &FloatTensor<B>,
) -> [FloatTensor<B>; 3] {
    let mut dq = Vec::new();
    let (mut dk, mut dv) = (None, None);
    let add = |sum: Option<FloatTensor<B>>, more| match sum {
        Some(sum) => Some(B::float_add(sum, more)),
        None => Some(more),
    };
    for chunk in chunks::<B>(&given.q) {
        let of = |x: &FloatTensor<B>| B::float_slice(x.clone(), &chunk);
        let (q, out, logs, grad) = (of(&given.q), of(&attended.out), of(&attended.logs), of(grad));
        let p = B::float_exp(B::float_sub(scores(given, &chunk), logs));
        let dp = B::product(grad.clone(), B::float_transpose(given.v.clone()));
        let delta = B::float_sum_dim(B::float_mul(grad.clone(), out), 3);
        let ds = scaled::<B>(B::float_mul(p.clone(), B::float_sub(dp, delta)), given.scale);
        dv = add(dv, B::product(B::float_transpose(p), grad));
        dk = add(dk, B::product(B::float_transpose(ds.clone()), q));
        dq.push(B::product(ds, given.k.clone()));
    }
    let zeros = |x: &FloatTensor<B>| scaled::<B>(x.clone(), 0.0);
    [B::float_cat(dq, 2), dk.unwrap_or_else(|| zeros(&given.k)), dv.unwrap_or_else(|| zeros(&given.v))]
}

/// The scores of the queries of one chunk, `[B, H, chunk, S]`.
fn scores<B: AttentionKernel>(given: &Given<B>, chunk: &[Slice]) -> FloatTensor<B> {
    let q = B::float_slice(given.q.clone(), chunk);
    let scores = B::product(scaled::<B>(q, given.scale), B::float_transpose(given.k.clone()));
    let per_query = given.bias.shape()[2] > 1;
    let bias = if per_query { B::float_slice(given.bias.clone(), chunk) } else { given.bias.clone() };
    B::float_add(scores, bias)
}

fn scaled<B: AttentionKernel>(x: FloatTensor<B>, scale: f64) -> FloatTensor<B> {
    B::float_mul_scalar(x, Scalar::from(scale))
}

/// Slices over the queries of `[B, H, T, d]`.
fn chunks<B: AttentionKernel>(q: &FloatTensor<B>) -> impl Iterator<Item = Vec<Slice>> + use<B> {
    let tokens = q.shape()[2];
    (0..tokens).step_by(CHUNK).map(move |start| {
        let end = (start + CHUNK).min(tokens);
        vec![Slice::full(), Slice::full(), Slice::new(start as isize, Some(end as isize), 1), Slice::full()]
    })
}
