//! 16-bit floats as they lie in a file, made 32-bit floats.

use burn::tensor::DType;
use half::{bf16, f16};

use crate::cpu::parallel::simd;

/// Widens `bytes`, which are of `dtype`, into as many floats. Nothing is rounded.
pub(crate) fn widen(bytes: &[u8], dtype: DType, out: &mut [f32]) {
    match dtype {
        DType::BF16 => each(bytes, out, |[a, b]| bf16::from_le_bytes([a, b]).to_f32()),
        DType::F16 => each(bytes, out, |[a, b]| f16::from_le_bytes([a, b]).to_f32()),
        _ => each(bytes, out, f32::from_le_bytes),
    }
}

#[inline(always)]
fn each<const N: usize>(bytes: &[u8], out: &mut [f32], widened: impl Fn([u8; N]) -> f32) {
    simd(
        #[inline(always)]
        || {
            for (out, bytes) in out.iter_mut().zip(bytes.as_chunks::<N>().0) {
                *out = widened(*bytes);
            }
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_of_16_bits_is_what_its_type_says() {
        let bytes: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
        for (dtype, right) in [
            (DType::BF16, (|bits| bf16::from_bits(bits).to_f32()) as fn(u16) -> f32),
            (DType::F16, |bits| f16::from_bits(bits).to_f32()),
        ] {
            let mut found = vec![0.0; 1 << 16];
            widen(&bytes, dtype, &mut found);
            for (bits, found) in (0..=u16::MAX).zip(found) {
                assert_eq!(found.to_bits(), right(bits).to_bits(), "{dtype:?} {bits:#06x}");
            }
        }
    }
}
