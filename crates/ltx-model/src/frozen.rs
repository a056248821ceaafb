//! A frozen weight matrix in whichever format it is kept.

use burn::tensor::{DType, Device, Int, Tensor, TensorData};

use crate::{
    hosted::{brought, waiting},
    int8::{INT8_BLOCK, Quantised},
};

/// A weight `[out, in]` that gets no gradient.
#[derive(Debug, Clone)]
#[allow(
    clippy::large_enum_variant,
    reason = "there are ten of a block, and a handle is small beside its tensor"
)]
pub(crate) enum FrozenWeight {
    /// Floats.
    Dense(Tensor<2>),
    /// 8-bit integers `[out, in]`, and the scale of every [`INT8_BLOCK`] of them, bf16, `[out, in / INT8_BLOCK]`.
    Int8 { values: Tensor<2, Int>, scales: Tensor<2> },
}

impl FrozenWeight {
    /// `weight`, which is `[out, in]`, on `device`.
    pub(crate) fn int8(weight: Quantised, [outputs, inputs]: [usize; 2], device: &Device) -> Self {
        let values = TensorData::new(weight.values, [outputs, inputs]);
        let scales = TensorData::new(weight.scales, [outputs, inputs / INT8_BLOCK]);
        Self::Int8 {
            values: Tensor::from_data(values, (device, DType::I8)),
            scales: Tensor::from_data(scales, (device, DType::BF16)),
        }
    }

    /// Rounded to 8-bit integers where it is.
    pub(crate) fn int8_of(weight: Tensor<2>) -> Self {
        let [outputs, inputs] = weight.dims();
        let blocks = weight.reshape([outputs, inputs / INT8_BLOCK, INT8_BLOCK]);
        let scales = (blocks.clone().abs().max_dim(2) / 127.0).cast(DType::BF16);
        let values = (blocks / scales.clone().cast(DType::F32)).round().clamp(-127.0, 127.0);
        Self::Int8 {
            values: values.reshape([outputs, inputs]).int().cast(DType::I8),
            scales: scales.reshape([outputs, inputs / INT8_BLOCK]),
        }
    }

    /// On the host, ready to be brought to `device`.
    pub(crate) fn waiting_for(self, device: &Device) -> Self {
        match self {
            Self::Dense(weight) => Self::Dense(waiting(weight, device)),
            Self::Int8 { values, scales } => {
                Self::Int8 { values: waiting(values, device), scales: waiting(scales, device) }
            }
        }
    }

    /// The same on `device`.
    pub(crate) fn on(&self, device: &Device) -> Self {
        match self {
            Self::Dense(weight) => Self::Dense(brought(weight, device)),
            Self::Int8 { values, scales } => {
                Self::Int8 { values: brought(values, device), scales: brought(scales, device) }
            }
        }
    }

    /// The whole of it as floats.
    pub(crate) fn dense(&self, dtype: DType) -> Tensor<2> {
        match self {
            Self::Dense(weight) => weight.clone().cast(dtype),
            Self::Int8 { values, scales } => {
                let ([outputs, inputs], blocks) = (values.dims(), scales.dims()[1]);
                let values = values.clone().float().cast(dtype).reshape([outputs, blocks, INT8_BLOCK]);
                let scales = scales.clone().cast(dtype).reshape([outputs, blocks, 1]);
                (values * scales).reshape([outputs, inputs])
            }
        }
    }
}
