#![allow(clippy::unwrap_used, reason = "a test helper fails its test")]

use burn::{
    backend::flex::FlexTensor,
    tensor::{DType, Device, TensorData},
};

use super::*;

/// Sizes of a case: B, H, T, S, d.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    batch: usize,
    heads: usize,
    queries: usize,
    keys: usize,
    width: usize,
}

/// A case in float64, with the plain formula as loops.
#[derive(Debug, Clone)]
struct Case {
    sizes: Sizes,
    q: Vec<f64>,
    k: Vec<f64>,
    v: Vec<f64>,
    /// `[B, S]`
    bias: Vec<f64>,
    upstream: Vec<f64>,
    scale: f64,
}

/// Numbers between -1 and 1 without a pattern.
fn noise(count: usize, seed: u64) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        f64::from((state >> 40) as f32) / f64::from(1 << 23) - 1.0
    };
    (0..count).map(|_| f64::from((next() + next()) as f32)).collect()
}

impl Case {
    fn new(sizes: Sizes, scale: f64, masked: bool) -> Self {
        let of_queries = sizes.batch * sizes.heads * sizes.queries * sizes.width;
        let of_keys = sizes.batch * sizes.heads * sizes.keys * sizes.width;
        let hidden = |at: usize| if masked && at % 3 == 1 { f64::from(f32::MIN) } else { 0.0 };
        Self {
            sizes,
            q: noise(of_queries, 1),
            k: noise(of_keys, 2),
            v: noise(of_keys, 3),
            bias: (0..sizes.batch * sizes.keys).map(hidden).collect(),
            upstream: noise(of_queries, 4),
            scale,
        }
    }

    /// The rows of one head.
    fn rows<'a>(&self, x: &'a [f64], count: usize, [batch, head]: [usize; 2]) -> Vec<&'a [f64]> {
        let Sizes { heads, width, .. } = self.sizes;
        x[(batch * heads + head) * count * width..][..count * width].chunks_exact(width).collect()
    }

    /// The softmax of one query's scores.
    fn weights(&self, q: &[f64], k: &[&[f64]], batch: usize) -> Vec<f64> {
        let bias = &self.bias[batch * self.sizes.keys..];
        let scores: Vec<f64> = k.iter().zip(bias).map(|(k, bias)| dot(q, k) * self.scale + bias).collect();
        let max = scores.iter().copied().fold(f64::MIN, f64::max);
        let weights: Vec<f64> = scores.iter().map(|score| (score - max).exp()).collect();
        let sum: f64 = weights.iter().sum();
        weights.into_iter().map(|weight| weight / sum).collect()
    }

    /// Result, and the gradients of `<result, upstream>` by q, k and v, from the derivative of the softmax:
    /// `dp_j / ds_i = p_j (1_ij - p_i)`.
    fn right(&self) -> [Vec<f64>; 4] {
        let Sizes { batch, heads, queries, keys, width } = self.sizes;
        let mut right: [Vec<f64>; 4] = [(); 4].map(|()| Vec::new());
        for at in (0..batch * heads).map(|i| [i / heads, i % heads]) {
            let (q, upstream) = (self.rows(&self.q, queries, at), self.rows(&self.upstream, queries, at));
            let (k, v) = (self.rows(&self.k, keys, at), self.rows(&self.v, keys, at));
            let (mut dk, mut dv) = (vec![0.0; keys * width], vec![0.0; keys * width]);
            for (q, upstream) in q.iter().zip(upstream) {
                let p = self.weights(q, &k, at[0]);
                let gains: Vec<f64> = v.iter().map(|v| dot(upstream, v)).collect();
                let mean = dot(&p, &gains);
                let ds: Vec<f64> =
                    p.iter().zip(gains).map(|(p, gain)| p * (gain - mean) * self.scale).collect();
                let blend = |shares: &[f64], rows: &[&[f64]], i: usize| -> f64 {
                    shares.iter().zip(rows).map(|(share, row)| share * row[i]).sum()
                };
                right[0].extend((0..width).map(|i| blend(&p, &v, i)));
                right[1].extend((0..width).map(|i| blend(&ds, &k, i)));
                for at in 0..keys * width {
                    dk[at] += ds[at / width] * q[at % width];
                    dv[at] += p[at / width] * upstream[at % width];
                }
            }
            right[2].extend(dk);
            right[3].extend(dv);
        }
        right
    }

    /// `[B, H, rows, d]`, but lying in memory as `[B, rows, H, d]`, as the model's heads do.
    fn upload(&self, values: &[f64], rows: usize) -> Tensor<4> {
        let Sizes { batch, heads, width, .. } = self.sizes;
        let values: Vec<f32> = values.iter().map(|value| *value as f32).collect();
        let data = TensorData::new(values, [batch, heads, rows, width]);
        let tokens = Tensor::<4>::from_data(data, &Device::flex()).swap_dims(1, 2);
        // Adding nought makes a tensor that lies as it is seen.
        (tokens + 0.0).swap_dims(1, 2)
    }

    fn tensors(&self) -> [Tensor<4>; 4] {
        let Sizes { queries, keys, .. } = self.sizes;
        let upload = |values: &[f64], rows| self.upload(values, rows);
        [
            upload(&self.q, queries),
            upload(&self.k, keys),
            upload(&self.v, keys),
            upload(&self.upstream, queries),
        ]
    }

    fn bias(&self) -> Option<Tensor<4>> {
        let values: Vec<f32> = self.bias.iter().map(|bias| *bias as f32).collect();
        let data = TensorData::new(values, [self.sizes.batch, 1, 1, self.sizes.keys]);
        self.bias.iter().any(|bias| *bias != 0.0).then(|| Tensor::from_data(data, &Device::flex()))
    }

    /// Result, and gradients of q, k and v.
    fn computed(&self) -> [Vec<f64>; 4] {
        let [q, k, v, upstream] = self.tensors();
        let [q, k, v] = [q, k, v].map(|x| x.autodiff().require_grad());
        let out = attention(q.clone(), k.clone(), v.clone(), self.bias(), Some(self.scale));
        let graph = (out.clone() * upstream.autodiff()).sum().backward();
        [out.inner(), q.grad(&graph).unwrap(), k.grad(&graph).unwrap(), v.grad(&graph).unwrap()].map(host)
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn host(x: Tensor<4>) -> Vec<f64> {
    x.into_data().iter::<f64>().collect()
}

fn assert_close(found: &[Vec<f64>; 4], right: &[Vec<f64>; 4], what: &str) {
    for ((found, right), name) in found.iter().zip(right).zip(["result", "q", "k", "v"]) {
        assert_eq!(found.len(), right.len(), "{what}: {name}");
        let largest = right.iter().fold(0.0, |max: f64, value| max.max(value.abs()));
        for (i, (found, right)) in found.iter().zip(right).enumerate() {
            let error = (found - right).abs();
            assert!(error <= 3e-6 * largest.max(1.0), "{what}: {name} {i} is {found}, not {right}");
        }
    }
}

/// Several tiles of keys and of queries, each with a rest, and several tasks.
const MANY: Sizes = Sizes { batch: 1, heads: 2, queries: 1003, keys: 450, width: 5 };
/// Another number of keys than of queries, several heads and samples.
const CROSS: Sizes = Sizes { batch: 2, heads: 3, queries: 141, keys: 37, width: 4 };
const SELF: Sizes = Sizes { batch: 1, heads: 2, queries: 131, keys: 131, width: 6 };
const FEW: Sizes = Sizes { batch: 1, heads: 1, queries: 1, keys: 2, width: 2 };

#[test]
fn the_formula_is_differentiated_right() {
    let case = Case::new(FEW, 0.7, false);
    let [_, dq, dk, dv] = case.right();
    let scalar = |case: &Case| dot(&case.right()[0], &case.upstream);
    for (of, gradient) in [dq, dk, dv].iter().enumerate() {
        for (i, gradient) in gradient.iter().enumerate() {
            let moved = |by: f64| {
                let mut case = case.clone();
                [&mut case.q, &mut case.k, &mut case.v][of][i] += by;
                scalar(&case)
            };
            assert!(((moved(1e-5) - moved(-1e-5)) / 2e-5 - gradient).abs() < 1e-8);
        }
    }
}

#[test]
fn results_and_gradients_are_those_of_the_formula() {
    for (sizes, scale) in [(MANY, 0.6), (CROSS, 0.5), (SELF, 6f64.sqrt().recip()), (FEW, 1.0)] {
        let case = Case::new(sizes, scale, false);
        assert_close(&case.computed(), &case.right(), &format!("{sizes:?}"));
    }
}

#[test]
fn masked_keys_take_no_part() {
    let case = Case::new(CROSS, 0.7, true);
    let computed = case.computed();
    assert_close(&computed, &case.right(), "masked");
    let hidden = |at: usize| case.bias[at / (3 * 37 * 4) * 37 + at / 4 % 37] != 0.0;
    let leak =
        computed[2].iter().chain(&computed[3]).enumerate().map(|(i, value)| (i % computed[2].len(), value));
    assert!(leak.filter(|(i, _)| hidden(*i)).all(|(_, value)| *value == 0.0));
}

#[test]
fn keys_may_be_hidden_from_the_first_to_far_beyond_a_tile() {
    for hidden in [f64::from(f32::MIN), f64::NEG_INFINITY] {
        let mut case = Case::new(MANY, 0.6, false);
        case.bias[..300].fill(hidden);
        assert_close(&case.computed(), &case.right(), &format!("300 keys hidden by {hidden}"));
    }
}

#[test]
fn what_is_no_number_is_not_hidden() {
    let mut case = Case::new(CROSS, 0.5, false);
    case.k[0] = f64::NAN;
    let [out, ..] = case.computed();
    let of_first_head = &out[..CROSS.queries * CROSS.width];
    assert!(of_first_head.iter().all(|value| value.is_nan()));
}

#[test]
fn without_gradients_the_result_is_the_same() {
    let case = Case::new(CROSS, 0.5, true);
    let [q, k, v, _] = case.tensors();
    let plain = host(attention(q, k, v, case.bias(), Some(0.5)));
    assert_eq!(plain, case.computed()[0]);
}

#[test]
fn the_operations_of_any_backend_give_the_same() {
    for masked in [false, true] {
        let case = Case::new(CROSS, 0.5, masked);
        let primitive = |x: Tensor<4>| x.try_into_primitive::<Flex>().unwrap();
        let [q, k, v, upstream] = case.tensors().map(primitive);
        let bias = case.bias().unwrap_or_else(|| Tensor::zeros([1; 4], &Device::flex()));
        let given = Given::<Flex> { q, k, v, bias: primitive(bias), scale: case.scale };
        let attended = chunked::attend(&given);
        let [dq, dk, dv] = chunked::attend_backward(&given, &attended, &upstream);
        let host = |x: FlexTensor| x.into_data().iter::<f64>().collect::<Vec<f64>>();
        assert_close(&[attended.out, dq, dk, dv].map(host), &case.right(), "chunked");
    }
}

#[test]
fn other_number_formats_take_the_backends_own_operations() {
    let case = Case::new(FEW, 1.0, false);
    let [q, k, v, _] = case.tensors().map(|x| x.cast(DType::F64));
    let bias = Tensor::zeros([1; 4], (&Device::flex(), DType::F64));
    let out = host(attention(q, k, v, Some(bias), Some(1.0)));
    assert!(out.iter().zip(&case.right()[0]).all(|(a, b)| (a - b).abs() < 1e-12));
}
