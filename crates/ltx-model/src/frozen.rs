//! A frozen weight matrix in whichever format it is kept.

use burn::tensor::{DType, Device, Int, Tensor, TensorData};

use crate::int8::{INT8_BLOCK, Quantised};

/// A weight `[out, in]` that gets no gradient.
#[derive(Debug, Clone)]
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

    /// The same on `device`.
    pub(crate) fn on(&self, device: &Device) -> Self {
        match self {
            Self::Dense(weight) => Self::Dense(weight.clone().to_device(device)),
            Self::Int8 { values, scales } => Self::Int8 {
                values: values.clone().to_device(device),
                scales: scales.clone().to_device(device),
            },
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
