//! The fused operations on the CPU: what each computes, and what it keeps.

use burn::{
    backend::{Flex, flex::FlexTensor},
    tensor::DType,
};

use super::{
    activation,
    linear::{Branch, Frozen, Weight},
    norm::{self, Rotation, Rows},
    tensor::{contiguous, dims, halves, indices, like, small_integers, tensor, values},
};
use crate::fused::{
    graph::Kept,
    ops::{self, Kernels},
};

#[derive(Debug, Clone)]
struct ModulatedNorm {
    x: FlexTensor,
    scale: FlexTensor,
    shift: FlexTensor,
    index: FlexTensor,
    eps: f32,
}

impl ModulatedNorm {
    fn new(x: FlexTensor, scale: FlexTensor, shift: FlexTensor, index: FlexTensor, eps: f64) -> Self {
        let [x, scale, shift, index] = [x, scale, shift, index].map(contiguous);
        Self { x, scale, shift, index, eps: eps as f32 }
    }

    fn forward(&self) -> FlexTensor {
        let index = indices(&self.index);
        let [scale, shift] =
            [&self.scale, &self.shift].map(|rows| Rows { values: values(rows), index: &index });
        like(norm::modulated(values(&self.x), width(&self.x), scale, shift, self.eps), &self.x)
    }
}

impl Kept<1, Flex> for ModulatedNorm {
    fn backward(self, grad: FlexTensor, _: [bool; 1]) -> [Option<FlexTensor>; 1] {
        let index = indices(&self.index);
        let scale = Rows { values: values(&self.scale), index: &index };
        let grad = contiguous(grad);
        let dx = norm::modulated_backward(values(&self.x), values(&grad), width(&self.x), scale, self.eps);
        [Some(like(dx, &self.x))]
    }
}

#[derive(Debug, Clone)]
struct GatedSum {
    gate: FlexTensor,
    index: FlexTensor,
}

impl GatedSum {
    fn new(gate: FlexTensor, index: FlexTensor) -> Self {
        Self { gate: contiguous(gate), index: contiguous(index) }
    }

    fn forward(&self, x: FlexTensor, out: FlexTensor) -> FlexTensor {
        let (x, out) = (contiguous(x), contiguous(out));
        let index = indices(&self.index);
        let gate = Rows { values: values(&self.gate), index: &index };
        like(norm::gated_sum(values(&x), values(&out), width(&x), gate), &x)
    }
}

impl Kept<2, Flex> for GatedSum {
    fn backward(self, grad: FlexTensor, [_, of_out]: [bool; 2]) -> [Option<FlexTensor>; 2] {
        let grad = contiguous(grad);
        let index = indices(&self.index);
        let gate = Rows { values: values(&self.gate), index: &index };
        let dout = of_out.then(|| like(norm::gated(values(&grad), width(&grad), gate), &grad));
        [Some(grad), dout]
    }
}

#[derive(Debug, Clone)]
struct HeadNorm {
    x: FlexTensor,
    weight: FlexTensor,
    /// Cosines and sines.
    rope: Option<[FlexTensor; 2]>,
    eps: f32,
}

impl HeadNorm {
    fn new(x: FlexTensor, weight: FlexTensor, rope: Option<[FlexTensor; 2]>, eps: f64) -> Self {
        let (x, weight) = (contiguous(x), contiguous(weight));
        Self { x, weight, rope: rope.map(|tables| tables.map(contiguous)), eps: eps as f32 }
    }

    fn rotation(&self) -> Option<Rotation<'_>> {
        let [cos, sin] = self.rope.as_ref()?;
        let [_, heads, tokens, _] = dims(cos);
        Some(Rotation { cos: values(cos), sin: values(sin), heads, tokens })
    }

    fn forward(&self) -> FlexTensor {
        let out = norm::weighted(values(&self.x), values(&self.weight), self.rotation(), self.eps);
        like(out, &self.x)
    }
}

impl Kept<1, Flex> for HeadNorm {
    fn backward(self, grad: FlexTensor, _: [bool; 1]) -> [Option<FlexTensor>; 1] {
        let grad = contiguous(grad);
        let (x, grad, weight) = (values(&self.x), values(&grad), values(&self.weight));
        let dx = norm::weighted_backward(x, grad, weight, self.rotation(), self.eps);
        [Some(like(dx, &self.x))]
    }
}

#[derive(Debug, Clone)]
struct GateHeads {
    x: FlexTensor,
    logits: FlexTensor,
}

impl GateHeads {
    fn new(x: FlexTensor, logits: FlexTensor) -> Self {
        Self { x: contiguous(x), logits: contiguous(logits) }
    }

    fn forward(&self) -> FlexTensor {
        let heads = width(&self.logits);
        like(activation::gate_heads(values(&self.x), values(&self.logits), heads), &self.x)
    }
}

impl Kept<2, Flex> for GateHeads {
    fn backward(self, grad: FlexTensor, _: [bool; 2]) -> [Option<FlexTensor>; 2] {
        let grad = contiguous(grad);
        let (x, logits, heads) = (values(&self.x), values(&self.logits), width(&self.logits));
        let (dx, dlogits) = activation::gate_heads_backward(x, logits, values(&grad), heads);
        [Some(like(dx, &self.x)), Some(like(dlogits, &self.logits))]
    }
}

#[derive(Debug, Clone)]
struct Gelu {
    z: FlexTensor,
}

impl Kept<1, Flex> for Gelu {
    fn backward(self, grad: FlexTensor, _: [bool; 1]) -> [Option<FlexTensor>; 1] {
        let grad = contiguous(grad);
        [Some(like(activation::gelu_backward(values(&self.z), values(&grad)), &self.z))]
    }
}

/// A frozen weight as it is kept; what it is widened to lasts as long as a product.
#[derive(Debug, Clone)]
enum Stored {
    /// Float32 or bf16.
    Dense(FlexTensor),
    Int8 {
        values: FlexTensor,
        scales: FlexTensor,
    },
}

impl Stored {
    fn new(weight: ops::Weight<Flex>) -> Self {
        match weight {
            ops::Weight::Dense(weight) => Self::Dense(contiguous(weight)),
            ops::Weight::Int8 { values, scales } => {
                Self::Int8 { values: contiguous(values), scales: contiguous(scales) }
            }
        }
    }

    fn dims(&self) -> [usize; 2] {
        match self {
            Self::Dense(weight) => dims(weight),
            Self::Int8 { values, .. } => dims(values),
        }
    }

    fn weight(&self) -> Weight<'_> {
        match self {
            Self::Dense(weight) if weight.dtype() == DType::BF16 => Weight::Bf16(halves(weight)),
            Self::Dense(weight) => Weight::F32(values(weight)),
            Self::Int8 { values, scales } => {
                Weight::Int8 { values: small_integers(values), scales: halves(scales) }
            }
        }
    }
}

/// A frozen linear layer; it needs its input for no gradient.
#[derive(Debug, Clone)]
struct Linear {
    weight: Stored,
    bias: FlexTensor,
}

impl Linear {
    fn new(weight: ops::Weight<Flex>, bias: FlexTensor) -> Self {
        Self { weight: Stored::new(weight), bias: contiguous(bias) }
    }

    fn layer(&self) -> Frozen<'_> {
        let [outputs, inputs] = self.weight.dims();
        Frozen { weight: self.weight.weight(), bias: values(&self.bias), inputs, outputs }
    }
}

impl Kept<1, Flex> for Linear {
    fn backward(self, grad: FlexTensor, _: [bool; 1]) -> [Option<FlexTensor>; 1] {
        let grad = contiguous(grad);
        let [rows, _] = dims(&grad);
        [Some(tensor(self.layer().backward(values(&grad)), [rows, self.layer().inputs]))]
    }
}

/// A frozen linear layer with a low-rank branch.
#[derive(Debug, Clone)]
struct AdaptedLinear {
    layer: Linear,
    a: FlexTensor,
    b: FlexTensor,
    scale: f32,
    x: FlexTensor,
    /// `x A^T`, once it is computed.
    low: Option<FlexTensor>,
}

impl AdaptedLinear {
    fn new(layer: Linear, x: FlexTensor, factors: [FlexTensor; 2], scale: f64) -> Self {
        let ([a, b], x) = (factors.map(contiguous), contiguous(x));
        Self { layer, a, b, scale: scale as f32, x, low: None }
    }

    fn branch(&self) -> Branch<'_> {
        let [rank, _] = dims(&self.a);
        Branch { a: values(&self.a), b: values(&self.b), rank, scale: self.scale }
    }

    fn forward(&mut self) -> FlexTensor {
        let [rows, _] = dims(&self.x);
        let layer = self.layer.layer();
        let mut y = layer.forward(values(&self.x));
        let low = self.branch().forward(values(&self.x), &mut y);
        let out = tensor(y, [rows, layer.outputs]);
        self.low = Some(tensor(low, [rows, self.branch().rank]));
        out
    }
}

impl Kept<3, Flex> for AdaptedLinear {
    fn backward(self, grad: FlexTensor, [of_x, ..]: [bool; 3]) -> [Option<FlexTensor>; 3] {
        let grad = contiguous(grad);
        let low = self.low.as_ref().map(values).unwrap_or_default();
        let gradients = self.branch().backward(values(&self.x), low, values(&grad));
        let dx = of_x.then(|| {
            let mut dx = self.layer.layer().backward(values(&grad));
            self.branch().add_input_gradient(&gradients.low, &mut dx);
            like(dx, &self.x)
        });
        [dx, Some(like(gradients.a, &self.a)), Some(like(gradients.b, &self.b))]
    }
}

/// An adapted layer on gated heads.
#[derive(Debug, Clone)]
struct OnGatedHeads {
    gate: GateHeads,
    layer: AdaptedLinear,
}

impl Kept<4, Flex> for OnGatedHeads {
    fn backward(self, grad: FlexTensor, [of_x, of_logits, of_a, of_b]: [bool; 4]) -> [Option<FlexTensor>; 4] {
        let [dx, da, db] = self.layer.backward(grad, [of_x || of_logits, of_a, of_b]);
        let [dx, dlogits] = dx.map_or([None, None], |dx| self.gate.backward(dx, [of_x, of_logits]));
        [dx, dlogits, da, db]
    }
}

/// The length of the last axis.
fn width(tensor: &FlexTensor) -> usize {
    let shape = tensor.layout().shape();
    shape[shape.num_dims() - 1]
}

impl Kernels for Flex {
    fn modulated_norm(
        x: FlexTensor,
        scale: FlexTensor,
        shift: FlexTensor,
        index: FlexTensor,
        eps: f64,
    ) -> (FlexTensor, impl Kept<1, Self>) {
        let kept = ModulatedNorm::new(x, scale, shift, index, eps);
        (kept.forward(), kept)
    }

    fn gated_sum(
        x: FlexTensor,
        out: FlexTensor,
        gate: FlexTensor,
        index: FlexTensor,
    ) -> (FlexTensor, impl Kept<2, Self>) {
        let kept = GatedSum::new(gate, index);
        (kept.forward(x, out), kept)
    }

    fn head_norm(
        x: FlexTensor,
        weight: FlexTensor,
        rope: Option<[FlexTensor; 2]>,
        eps: f64,
    ) -> (FlexTensor, impl Kept<1, Self>) {
        let kept = HeadNorm::new(x, weight, rope, eps);
        (kept.forward(), kept)
    }

    fn gate_heads(x: FlexTensor, logits: FlexTensor) -> (FlexTensor, impl Kept<2, Self>) {
        let kept = GateHeads::new(x, logits);
        (kept.forward(), kept)
    }

    fn gelu_tanh(z: FlexTensor) -> (FlexTensor, impl Kept<1, Self>) {
        let z = contiguous(z);
        (like(activation::gelu(values(&z)), &z), Gelu { z })
    }

    fn linear(
        x: FlexTensor,
        weight: ops::Weight<Self>,
        bias: FlexTensor,
    ) -> (FlexTensor, impl Kept<1, Self>) {
        let (x, kept) = (contiguous(x), Linear::new(weight, bias));
        let [rows, _] = dims(&x);
        (tensor(kept.layer().forward(values(&x)), [rows, kept.layer().outputs]), kept)
    }

    fn adapted_linear(
        x: FlexTensor,
        weight: ops::Weight<Self>,
        bias: FlexTensor,
        factors: [FlexTensor; 2],
        scale: f64,
    ) -> (FlexTensor, impl Kept<3, Self>) {
        let mut kept = AdaptedLinear::new(Linear::new(weight, bias), x, factors, scale);
        (kept.forward(), kept)
    }

    fn gated_adapted_linear(
        [x, logits]: [FlexTensor; 2],
        weight: ops::Weight<Self>,
        bias: FlexTensor,
        factors: [FlexTensor; 2],
        scale: f64,
    ) -> (FlexTensor, impl Kept<4, Self>) {
        let gate = GateHeads::new(x, logits);
        let mut layer = AdaptedLinear::new(Linear::new(weight, bias), gate.forward(), factors, scale);
        (layer.forward(), OnGatedHeads { gate, layer })
    }
}
