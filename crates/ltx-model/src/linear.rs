//! A linear layer in the checkpoint's own layout.

use burn::tensor::{DType, Device, Tensor};

use crate::{frozen::FrozenWeight, fused, hosted::brought, lora::LoraPair, weights::Weights};

/// `y = x W^T + b`, with `weight` `[out, in]` as PyTorch stores it, so that loading is a plain copy.
#[derive(Debug, Clone)]
pub(crate) struct Linear {
    weight: FrozenWeight,
    bias: Tensor<1>,
}

impl Linear {
    pub(crate) fn read(weights: &Weights, inputs: usize, outputs: usize) -> Self {
        let weight = weights.frozen("weight", [outputs, inputs]);
        Self { weight, bias: weights.tensor("bias", [outputs]) }
    }

    /// One of the large layers that a block is made of, which may be kept as 8-bit integers.
    pub(crate) fn read_projection(weights: &Weights, inputs: usize, outputs: usize) -> Self {
        let weight = weights.projection("weight", [outputs, inputs]);
        Self { weight, bias: weights.tensor("bias", [outputs]) }
    }

    /// One that has no bias in the file. It gets zeros, so that it is the same operation as the others.
    pub(crate) fn read_without_bias(weights: &Weights, inputs: usize, outputs: usize) -> Self {
        Self { weight: weights.frozen("weight", [outputs, inputs]), bias: weights.zeros(outputs) }
    }

    /// The number format of its input: that of the bias, which is kept as activations are.
    pub(crate) fn activations(&self) -> DType {
        self.bias.dtype()
    }

    /// The same on `device`.
    pub(crate) fn on(&self, device: &Device) -> Self {
        Self { weight: self.weight.on(device), bias: brought(&self.bias, device) }
    }

    /// `[.., in]` to `[.., out]`.
    pub(crate) fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        self.forward_with(x, None)
    }

    /// The same with a low-rank branch beside the frozen weight, which is never materialised:
    /// `y = x W^T + b + s (x A^T) B^T`.
    pub(crate) fn forward_with<const D: usize>(&self, x: Tensor<D>, lora: Option<&LoraPair>) -> Tensor<D> {
        let mut shape = x.dims();
        let inputs = shape[D - 1];
        let rows = shape[..D - 1].iter().product();
        let x: Tensor<2> = x.reshape([rows, inputs]);
        let y = fused::linear(x, &self.weight, &self.bias, lora);
        shape[D - 1] = y.dims()[1];
        y.reshape(shape)
    }

    /// [`forward_with`](Self::forward_with) of heads times `2 sigmoid(logit)`: `x` `[B, T, H d]`, `logits` `[B, T, H]`.
    pub(crate) fn forward_gated(
        &self,
        x: Tensor<3>,
        logits: Tensor<3>,
        lora: Option<&LoraPair>,
    ) -> Tensor<3> {
        let [batch, tokens, _] = x.dims();
        let y = fused::gated_linear(x, logits, &self.weight, &self.bias, lora);
        let width = y.dims()[1];
        y.reshape([batch, tokens, width])
    }
}
