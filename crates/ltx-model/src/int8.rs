//! Weights as 8-bit integers, with a scale for every block of them.
//!
//! A block is [`INT8_BLOCK`] neighbours along the input axis. Its scale is the largest magnitude in it over 127,
//! rounded up to bf16 before anything is divided by it, so that its own rounding costs nothing. What is lost is half
//! a step of the scale at most.

use burn::tensor::DType;
use half::{bf16, f16};
use rayon::prelude::*;

use crate::cpu::parallel::simd;

/// Neighbours along the input axis that share a scale.
pub(crate) const INT8_BLOCK: usize = 32;

/// The largest integer, and minus it the smallest.
const LARGEST: f32 = 127.0;

/// Integers `[out, in]`, and scales `[out, in / INT8_BLOCK]`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Quantised {
    pub(crate) values: Vec<i8>,
    pub(crate) scales: Vec<bf16>,
}

/// Quantises a weight of `inputs` columns, a multiple of [`INT8_BLOCK`], from its bytes in a file.
pub(crate) fn quantised(bytes: &[u8], dtype: DType, inputs: usize) -> Quantised {
    let count = bytes.len() / dtype.size();
    let (mut values, mut scales) = (vec![0; count], vec![bf16::ZERO; count / INT8_BLOCK]);
    let rows = bytes.par_chunks_exact(inputs * dtype.size());
    let outs = values.par_chunks_exact_mut(inputs).zip(scales.par_chunks_exact_mut(inputs / INT8_BLOCK));
    rows.zip(outs).for_each(|(row, (values, scales))| match dtype {
        DType::BF16 => quantise_row(row, values, scales, |[a, b]| bf16::from_le_bytes([a, b]).to_f32()),
        DType::F16 => quantise_row(row, values, scales, |[a, b]| f16::from_le_bytes([a, b]).to_f32()),
        _ => quantise_row(row, values, scales, f32::from_le_bytes),
    });
    Quantised { values, scales }
}

fn quantise_row<const N: usize>(
    row: &[u8],
    values: &mut [i8],
    scales: &mut [bf16],
    widened: impl Fn([u8; N]) -> f32,
) {
    simd(
        #[inline(always)]
        || {
            let (row, values) = (row.as_chunks::<N>().0, values.as_chunks_mut::<INT8_BLOCK>().0);
            let blocks = row.as_chunks::<INT8_BLOCK>().0;
            for ((block, values), scale) in blocks.iter().zip(values).zip(scales) {
                *scale = quantise_block(&block.map(&widened), values);
            }
        },
    );
}

/// The scale; not a number if one of the weights is not finite.
#[inline(always)]
fn quantise_block(weights: &[f32; INT8_BLOCK], values: &mut [i8; INT8_BLOCK]) -> bf16 {
    let largest = weights.iter().fold(0f32, |largest, weight| largest.max(weight.abs()));
    // A NaN is passed over above, and makes this sum one; so does an infinity times 0.
    let sound = weights.iter().fold(0f32, |sum, weight| sum + 0.0 * weight);
    let scale = rounded_up(largest / LARGEST);
    let inverse = if scale > bf16::ZERO { 1.0 / scale.to_f32() } else { 0.0 };
    for (value, weight) in values.iter_mut().zip(weights) {
        *value = (weight * inverse).round_ties_even().clamp(-LARGEST, LARGEST) as i8;
    }
    if sound == 0.0 { scale } else { bf16::NAN }
}

/// The smallest bf16 that is no smaller; `x` is not negative.
#[inline(always)]
fn rounded_up(x: f32) -> bf16 {
    let bits = x.to_bits();
    bf16::from_bits((bits >> 16) as u16 + u16::from(bits & 0xffff != 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(weights: &[f32]) -> Vec<u8> {
        weights.iter().flat_map(|weight| weight.to_le_bytes()).collect()
    }

    #[test]
    fn half_a_step_is_lost_at_most() {
        let weights: Vec<f32> =
            (0..6 * 96).map(|i| ((i as f32 * 12.9898).sin() * 43_758.547).fract() * 0.3).collect();
        let found = quantised(&bytes(&weights), DType::F32, 96);
        assert_eq!((found.values.len(), found.scales.len()), (6 * 96, 6 * 3));
        for (i, (weight, value)) in weights.iter().zip(&found.values).enumerate() {
            let scale = found.scales[i / INT8_BLOCK].to_f32();
            assert!((weight - scale * f32::from(*value)).abs() <= 0.5001 * scale, "weight {i}");
        }
        // The scale is at most a bf16's last place above the largest magnitude over 127.
        for (block, scale) in weights.chunks(INT8_BLOCK).zip(&found.scales) {
            let largest = block.iter().fold(0f32, |largest, weight| largest.max(weight.abs()));
            assert!((1.0..1.0079).contains(&(scale.to_f32() * LARGEST / largest)));
        }
    }

    #[test]
    fn every_format_of_a_file_is_read() {
        let weights: Vec<f32> = (0..64).map(|i| (i as f32 - 31.5) / 8.0).collect();
        let right = quantised(&bytes(&weights), DType::F32, 64);
        let short: Vec<u8> = weights.iter().flat_map(|w| bf16::from_f32(*w).to_le_bytes()).collect();
        assert_eq!(quantised(&short, DType::BF16, 64), right);
        let short: Vec<u8> = weights.iter().flat_map(|w| f16::from_f32(*w).to_le_bytes()).collect();
        assert_eq!(quantised(&short, DType::F16, 64), right);
    }

    #[test]
    fn zeros_stay_and_what_is_not_finite_shows() {
        assert_eq!(quantised(&bytes(&[0.0; 32]), DType::F32, 32).scales, [bf16::ZERO]);
        for spoilt in [f32::NAN, f32::INFINITY] {
            let mut weights = [1.0; 64];
            weights[40] = spoilt;
            let found = quantised(&bytes(&weights), DType::F32, 64);
            assert!(found.scales[0].is_finite() && found.scales[1].is_nan());
        }
        // The smallest numbers there are: nothing divides by zero.
        let found = quantised(&bytes(&[1e-44; 32]), DType::F32, 32);
        assert!(found.scales[0].is_finite());
    }
}
