//! Numbers of the types that LoRA files have.

use half::{bf16, f16};
use safetensors::Dtype;

/// The values of a tensor; none for types that are no plain floating-point numbers.
pub(super) fn floats(dtype: Dtype, bytes: &[u8]) -> Option<Vec<f64>> {
    let values = match dtype {
        Dtype::F64 => bytes.as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect(),
        Dtype::F32 => bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes).into()).collect(),
        Dtype::F16 => bytes.as_chunks().0.iter().map(|bytes| f16::from_le_bytes(*bytes).into()).collect(),
        Dtype::BF16 => bytes.as_chunks().0.iter().map(|bytes| bf16::from_le_bytes(*bytes).into()).collect(),
        Dtype::F8_E4M3 => bytes.iter().map(|byte| e4m3(*byte)).collect(),
        Dtype::F8_E5M2 => bytes.iter().map(|byte| f16::from_bits(u16::from(*byte) << 8).into()).collect(),
        _ => return None,
    };
    Some(values)
}

/// Eight bits: sign, four of exponent with a bias of 7, three of mantissa. There is no infinity, and all ones are no
/// number (Micikevicius et al. 2022, table 1).
fn e4m3(byte: u8) -> f64 {
    let (exponent, mantissa) = (i32::from(byte >> 3 & 0xf), f64::from(byte & 7));
    let size = match (exponent, byte & 7) {
        (0xf, 7) => f64::NAN,
        (0, _) => mantissa / 8.0 * 2f64.powi(-6),
        _ => (1.0 + mantissa / 8.0) * 2f64.powi(exponent - 7),
    };
    if byte >> 7 == 1 { -size } else { size }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_gives_its_numbers() {
        assert_eq!(floats(Dtype::F64, &1.5f64.to_le_bytes()), Some(vec![1.5]));
        assert_eq!(floats(Dtype::F32, &(-0.25f32).to_le_bytes()), Some(vec![-0.25]));
        assert_eq!(floats(Dtype::F16, &f16::from_f32(3.0).to_le_bytes()), Some(vec![3.0]));
        assert_eq!(floats(Dtype::BF16, &bf16::from_f32(-2.0).to_le_bytes()), Some(vec![-2.0]));
        // 1, the largest, the smallest, and minus the smallest normal one.
        assert_eq!(
            floats(Dtype::F8_E4M3, &[0x38, 0x7e, 0x01, 0x88]),
            Some(vec![1.0, 448.0, 0.001953125, -0.015625])
        );
        assert_eq!(floats(Dtype::F8_E5M2, &[0x3c, 0x7b, 0xc0]), Some(vec![1.0, 57344.0, -2.0]));
        assert!(floats(Dtype::F8_E4M3, &[0x7f]).unwrap()[0].is_nan());
        assert_eq!(floats(Dtype::I32, &[0; 4]), None);
    }
}
