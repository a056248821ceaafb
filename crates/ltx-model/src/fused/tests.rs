#![allow(clippy::unwrap_used, reason = "a test helper fails its test")]
//! Every operation in float32, where the kernels run, against the same function in float64, where it is composed of
//! burn's operations and differentiated by burn.

use burn::tensor::{Device, TensorData};

use super::*;
use crate::int8::quantised;

const BATCH: usize = 2;
const TOKENS: usize = 7;
const HEADS: usize = 3;
/// No multiple of any vector's width.
const WIDTH: usize = 3 * 14;
const DISTINCT: usize = 3;

/// Numbers between -2 and 2 without a pattern.
fn noise<const D: usize>(shape: [usize; D], seed: usize, dtype: DType) -> Tensor<D> {
    let count = shape.iter().product::<usize>();
    let value = |i: usize| (((i + 31 * seed) as f64 * 12.9898).sin() * 43_758.545_3).fract() * 2.0;
    let values: Vec<f32> = (0..count).map(|i| value(i) as f32).collect();
    Tensor::<D>::from_data(TensorData::new(values, shape), &Device::flex()).cast(dtype)
}

fn host<const D: usize>(x: Tensor<D>) -> Vec<f64> {
    x.into_data().iter::<f64>().collect()
}

fn assert_close(found: &[Vec<f64>], right: &[Vec<f64>]) {
    assert_eq!(found.len(), right.len());
    for (which, (found, right)) in found.iter().zip(right).enumerate() {
        assert_eq!(found.len(), right.len());
        let largest = right.iter().fold(1.0, |max: f64, value| max.max(value.abs()));
        for (i, (found, right)) in found.iter().zip(right).enumerate() {
            let apart = (found - right).abs();
            assert!(apart < 2e-6 * largest, "value {i} of tensor {which} is {found}, not {right}");
        }
        assert!(right.iter().any(|value| *value != 0.0), "tensor {which} is all zero");
    }
}

/// Result and gradients of an operation on tracked inputs, in float32 and in float64, without and with a graph.
fn agrees<const D: usize, const N: usize>(
    shapes: [[usize; D]; N],
    operation: impl Fn([Tensor<D>; N], DType) -> Tensor<D>,
) {
    let run = |dtype: DType| {
        let mut seed = 0;
        let inputs = shapes.map(|shape| {
            seed += 1;
            noise(shape, seed, dtype)
        });
        let plain = operation(inputs.clone(), dtype);
        let tracked = inputs.map(|input| input.autodiff().require_grad());
        let out = operation(tracked.clone(), dtype);
        assert_eq!(host(plain), host(out.clone().inner()));
        let upstream = noise(out.dims(), 9, dtype).autodiff();
        let graph = (out.clone() * upstream).sum().backward();
        let gradients = tracked.map(|input| host(input.grad(&graph).unwrap()));
        [vec![host(out.inner())], gradients.to_vec()].concat()
    };
    assert_close(&run(DType::F32), &run(DType::F64));
}

const X: [usize; 3] = [BATCH, TOKENS, WIDTH];

fn rows(seed: usize, dtype: DType) -> TokenRows {
    let index: Vec<i32> = (0..BATCH * TOKENS).map(|token| (token * 5 % DISTINCT) as i32).collect();
    TokenRows {
        rows: noise([DISTINCT, WIDTH], seed, dtype),
        index: Tensor::from_data(TensorData::new(index, [BATCH * TOKENS]), &Device::flex()),
    }
}

fn rope(dtype: DType) -> Rope {
    let table = |seed| noise([1, HEADS, TOKENS, WIDTH / HEADS / 2], seed, dtype);
    Rope { cos: table(21), sin: table(22) }
}

#[test]
fn modulated_norms() {
    agrees([X], |[x], dtype| modulated_norm(x, rows(11, dtype), rows(12, dtype), 1e-6));
}

#[test]
fn gated_sums() {
    agrees([X, X], |[x, out], dtype| gated_sum(x, out, rows(11, dtype)));
}

#[test]
fn norms_of_heads() {
    let weight = |dtype| noise([WIDTH], 13, dtype);
    agrees([X], |[x], dtype| head_norm(x, &weight(dtype), None, HEADS, 1e-6));
    agrees([X], |[x], dtype| head_norm(x, &weight(dtype), Some(&rope(dtype)), HEADS, 1e-6));
}

#[test]
fn gates_of_heads() {
    agrees([X, [BATCH, TOKENS, HEADS]], |[x, logits], _| gate_heads(x, logits * 4.0));
}

#[test]
fn activations() {
    agrees([[1, 70, 101]], |[z], _| gelu_tanh(z * 3.0));
}

/// A weight as it is kept in every format; in float64 the same numbers, as exact as they are.
fn weights([outputs, inputs]: [usize; 2], dtype: DType) -> Vec<FrozenWeight> {
    let weight: Tensor<2> = noise([outputs, inputs], 14, DType::F32);
    let bytes: Vec<u8> = host(weight.clone()).into_iter().flat_map(|w| (w as f32).to_le_bytes()).collect();
    let int8 = quantised(&bytes, DType::F32, inputs);
    let mut kept = vec![
        FrozenWeight::Dense(weight.clone()),
        FrozenWeight::Dense(weight.cast(DType::BF16)),
        FrozenWeight::int8(int8, [outputs, inputs], &Device::flex()),
    ];
    if dtype == DType::F64 {
        kept.iter_mut().for_each(|weight| *weight = FrozenWeight::Dense(weight.dense(dtype)));
    }
    kept
}

#[test]
fn linear_layers() {
    // So wide that a weight is widened in several panels.
    let (rows, inputs, outputs, rank) = (9, 8_192, 200, 4);
    for which in 0..3 {
        let layer =
            |dtype| (weights([outputs, inputs], dtype).swap_remove(which), noise([outputs], 15, dtype));
        agrees([[rows, inputs]], |[x], dtype| {
            let (weight, bias) = layer(dtype);
            linear(x / 64.0, &weight, &bias, None)
        });
        agrees([[rows, inputs], [rank, inputs], [outputs, rank]], |[x, lora_a, lora_b], dtype| {
            let (weight, bias) = layer(dtype);
            linear(x / 64.0, &weight, &bias, Some(&LoraPair { lora_a, lora_b, scale: 0.5 }))
        });
    }
}

#[test]
fn weights_become_floats() {
    let [exact, short, int8] = weights([6, 64], DType::F64).try_into().unwrap();
    let [exact, short, int8] = [exact, short, int8].map(|weight| host(weight.dense(DType::F64)));
    assert_ne!(exact, short);
    for ((exact, short), int8) in exact.iter().zip(&short).zip(&int8) {
        assert!((exact - short).abs() <= exact.abs() / 256.0);
        // Half a step, which is a 127th of 2 at most.
        assert!((exact - int8).abs() <= 1.01 / 127.0);
    }
}

#[test]
fn an_input_without_gradient_takes_part() {
    let tracked = |seed| noise([4, 4], seed, DType::F32).autodiff().require_grad();
    let pair = LoraPair { lora_a: tracked(1), lora_b: tracked(2), scale: 1.0 };
    let (weight, bias) = (FrozenWeight::Dense(noise([4, 4], 3, DType::F32)), noise([4], 4, DType::F32));
    let graph = linear(noise([5, 4], 5, DType::F32), &weight, &bias, Some(&pair)).sum().backward();
    assert!(pair.lora_a.grad(&graph).is_some() && pair.lora_b.grad(&graph).is_some());
}

#[test]
fn a_gradient_is_carried_on() {
    let x = noise(X, 1, DType::F32).autodiff().require_grad();
    let upstream = noise(X, 2, DType::F32);
    let graph = vector_jacobian(x.clone() * 3.0, upstream.clone());
    assert_eq!(host(x.grad(&graph).unwrap()), host(upstream * 3.0));
}
