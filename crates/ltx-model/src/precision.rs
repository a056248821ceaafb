//! In which number format the frozen weights are kept.

use std::{fmt, str::FromStr};

use burn::tensor::{DType, Device};

use crate::{cpu::tensor::on_cpu, int8::INT8_BLOCK};

/// How the frozen weights of the transformer are kept in memory.
///
/// Adapters, their gradients and the optimiser are float32 in any case. On the CPU the arithmetic is float32 too:
/// weights are widened as they are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BasePrecision {
    /// 32-bit floats: 52 GB for LTX-2.3.
    Float32,
    /// The format of the published file: 26 GB, and not a bit of it lost.
    Bf16,
    /// The projections of attention and feed-forward, which are nearly all of a block, as 8-bit integers with one
    /// scale for every 32 of them; everything else as with [`Bf16`](Self::Bf16). 14 GB.
    Int8,
}

impl BasePrecision {
    /// All of them, the most exact first.
    pub const ALL: [Self; 3] = [Self::Float32, Self::Bf16, Self::Int8];

    /// As it is written in arguments: `f32`, `bf16`, `int8`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Float32 => "f32",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
        }
    }

    /// What `device` takes unless told otherwise: float32 on the CPU, bf16 elsewhere.
    pub fn default_on(device: &Device) -> Self {
        if on_cpu(device) { Self::Float32 } else { Self::Bf16 }
    }

    /// Bytes of a value of what is computed on `device` with such weights.
    pub fn activation_bytes(self, device: &Device) -> u64 {
        self.activations(device).size() as u64
    }

    /// Bytes of `weights` values of the large layers of blocks, and of `others` beside them, as they are kept.
    pub fn weight_bytes(self, weights: u64, others: u64) -> u64 {
        match self {
            Self::Float32 => 4 * (weights + others),
            Self::Bf16 => 2 * (weights + others),
            Self::Int8 => weights + 2 * weights.div_ceil(INT8_BLOCK as u64) + 2 * others,
        }
    }

    /// The format of the weights that are not 8-bit integers.
    pub(crate) fn dense(self) -> DType {
        match self {
            Self::Float32 => DType::F32,
            Self::Bf16 | Self::Int8 => DType::BF16,
        }
    }

    /// The format of what is computed on `device`, and of the small tensors that take part in it.
    pub(crate) fn activations(self, device: &Device) -> DType {
        if on_cpu(device) { DType::F32 } else { self.dense() }
    }
}

impl fmt::Display for BasePrecision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A text that names no [`BasePrecision`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no precision: expected f32, bf16 or int8")]
pub struct UnknownPrecision(String);

impl FromStr for BasePrecision {
    type Err = UnknownPrecision;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|precision| precision.name() == text);
        found.ok_or_else(|| UnknownPrecision(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for precision in BasePrecision::ALL {
            assert_eq!(precision.to_string().parse(), Ok(precision));
        }
        assert_eq!("fp8".parse::<BasePrecision>(), Err(UnknownPrecision("fp8".to_owned())));
    }

    #[test]
    fn the_cpu_computes_in_float32() {
        let device = Device::flex();
        assert_eq!(BasePrecision::default_on(&device), BasePrecision::Float32);
        for precision in BasePrecision::ALL {
            assert_eq!(precision.activations(&device.clone().autodiff()), DType::F32);
        }
    }
}
