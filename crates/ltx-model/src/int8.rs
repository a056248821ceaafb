//! Weights as 8-bit integers, with a scale for every block of them.
//!
//! A block is [`INT8_BLOCK`] neighbours along the input axis. Its scale is the largest magnitude in it over 127,
//! rounded up to bf16 before anything is divided by it, so that its own rounding costs nothing. What is lost is half
//! a step of the scale at most.

use burn::tensor::DType;
use half::{bf16, f16};
use rayon::prelude::*;

use crate::{cpu::parallel::simd, host_buffer::zeros};

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

/// Some rows of a weight that is being quantised.
#[derive(Debug)]
pub(crate) struct Rows<'a> {
    values: &'a mut [i8],
    scales: &'a mut [bf16],
}

impl Quantised {
    /// Room for `count` weights, in whole blocks.
    pub(crate) fn zeros(count: usize) -> Self {
        Self { values: zeros(count), scales: vec![bf16::ZERO; count / INT8_BLOCK] }
    }

    /// Cut into parts of `rows` rows of `inputs` columns, which are whole blocks.
    pub(crate) fn split(
        &mut self,
        rows: usize,
        inputs: usize,
    ) -> impl IndexedParallelIterator<Item = Rows<'_>> {
        let values = self.values.par_chunks_mut(rows * inputs);
        let scales = self.scales.par_chunks_mut(rows * inputs / INT8_BLOCK);
        values.zip(scales).map(|(values, scales)| Rows { values, scales })
    }
}

impl Rows<'_> {
    /// Quantises these rows from their bytes in a file.
    pub(crate) fn quantise(self, bytes: &[u8], dtype: DType) {
        match dtype {
            DType::BF16 => self.widened(bytes, |[a, b]| bf16::from_le_bytes([a, b]).to_f32()),
            DType::F16 => self.widened(bytes, |[a, b]| f16::from_le_bytes([a, b]).to_f32()),
            _ => self.widened(bytes, f32::from_le_bytes),
        }
    }

    #[inline(always)]
    fn widened<const N: usize>(self, bytes: &[u8], widened: impl Fn([u8; N]) -> f32) {
        simd(
            #[inline(always)]
            || {
                let values = self.values.as_chunks_mut::<INT8_BLOCK>().0;
                let blocks = bytes.as_chunks::<N>().0.as_chunks::<INT8_BLOCK>().0;
                for ((block, values), scale) in blocks.iter().zip(values).zip(self.scales) {
                    *scale = quantise_block(&block.map(&widened), values);
                }
            },
        );
    }
}

/// The bits of the magnitude of a float, which are in the order of magnitudes; and those of infinity, above which there
/// is nothing but what is no number.
const MAGNITUDE: u32 = 0x7fff_ffff;
const INFINITY: u32 = 0x7f80_0000;

/// Where the floats are whole numbers, so that adding this rounds to the nearest, halves to even, and leaves the integer
/// in the lowest bits.
const WHOLE: f32 = 12_582_912.0;

/// The scale; not a number if one of the weights is not finite.
///
/// The largest is found among integers and the rounding is an addition: both are done for many weights at once.
#[inline(always)]
fn quantise_block(weights: &[f32; INT8_BLOCK], values: &mut [i8; INT8_BLOCK]) -> bf16 {
    let largest = weights.iter().fold(0, |largest, weight| (weight.to_bits() & MAGNITUDE).max(largest));
    let scale = rounded_up(f32::from_bits(largest) / LARGEST);
    let inverse = if scale > bf16::ZERO { 1.0 / scale.to_f32() } else { 0.0 };
    for (value, weight) in values.iter_mut().zip(weights) {
        *value = ((weight * inverse).clamp(-LARGEST, LARGEST) + WHOLE).to_bits() as i8;
    }
    if largest < INFINITY { scale } else { bf16::NAN }
}

/// The smallest bf16 that is no smaller; `x` is not negative.
#[inline(always)]
fn rounded_up(x: f32) -> bf16 {
    let bits = x.to_bits();
    bf16::from_bits((bits >> 16) as u16 + u16::from(bits & 0xffff != 0))
}

/// Quantises a weight of `inputs` columns from its bytes in a file.
#[cfg(test)]
pub(crate) fn quantised(bytes: &[u8], dtype: DType, inputs: usize) -> Quantised {
    let mut weight = Quantised::zeros(bytes.len() / dtype.size());
    let rows = bytes.par_chunks(inputs * dtype.size());
    rows.zip(weight.split(1, inputs)).for_each(|(bytes, rows)| rows.quantise(bytes, dtype));
    weight
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

    #[test]
    fn halves_are_rounded_to_even() {
        // The scale is 1: the first weight is the largest integer.
        let mut weights = [0.0; 32];
        weights[0] = 127.0;
        for (i, half) in
            [0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 126.5, -126.5, 0.4999, -3.2].into_iter().enumerate()
        {
            weights[i + 1] = half;
        }
        let found = quantised(&bytes(&weights), DType::F32, 32);
        assert_eq!(found.scales, [bf16::ONE]);
        assert_eq!(found.values[..11], [127, 0, 2, 2, 0, -2, -2, 126, -126, 0, -3]);
    }
}
