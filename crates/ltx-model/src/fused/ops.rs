//! The operations: what each computes from tensors of the CPU backend, and what it keeps.

use burn::{
    backend::{
        Autodiff, Backend, Flex,
        autodiff::checkpoint::strategy::CheckpointStrategy,
        backend_extension,
        flex::FlexTensor,
        tensor::{FloatTensor, IntTensor},
    },
    tensor::DType,
};

use super::graph::{Kept, record};
use crate::cpu::{
    activation,
    linear::{Branch, Frozen, Weight},
    norm::{self, Rotation, Rows},
    tensor::{contiguous, dims, halves, indices, like, small_integers, tensor, values},
};

/// The operations as the functions of [`super`] call them.
#[backend_extension(Autodiff, Flex, Cube: cfg(feature = "cuda"))]
pub(crate) trait Fused: Backend {
    /// `rms(x) (1 + scale) + shift`: `x` `[B, T, D]`, the others `[U, D]`, `index` `[B T]`.
    fn modulated_norm(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        index: IntTensor<Self>,
        eps: f64,
    ) -> FloatTensor<Self>;

    /// `x + out gate`: `x` and `out` `[B, T, D]`, `gate` `[U, D]`, `index` `[B T]`.
    fn gated_sum(
        x: FloatTensor<Self>,
        out: FloatTensor<Self>,
        gate: FloatTensor<Self>,
        index: IntTensor<Self>,
    ) -> FloatTensor<Self>;

    /// `rms(x) weight`: `x` `[B, T, D]`, `weight` `[D]`.
    fn weighted_norm(x: FloatTensor<Self>, weight: FloatTensor<Self>, eps: f64) -> FloatTensor<Self>;

    /// The same with each head rotated: `cos` and `sin` `[1, H, T, d/2]`.
    fn rotated_norm(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        cos: FloatTensor<Self>,
        sin: FloatTensor<Self>,
        eps: f64,
    ) -> FloatTensor<Self>;

    /// `x 2 sigmoid(logits)` for every head: `x` `[B, T, H d]`, `logits` `[B, T, H]`.
    fn gate_heads(x: FloatTensor<Self>, logits: FloatTensor<Self>) -> FloatTensor<Self>;

    /// The tanh form of GELU.
    fn gelu_tanh(z: FloatTensor<Self>) -> FloatTensor<Self>;

    /// `x W^T + b`: `x` `[rows, in]`, `weight` `[out, in]`, float32 or bf16, `bias` `[out]`.
    fn linear(x: FloatTensor<Self>, weight: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self>;

    /// The same with a weight of 8-bit integers, `values` `[out, in]` and `scales` `[out, in / INT8_BLOCK]`.
    fn linear_int8(
        x: FloatTensor<Self>,
        values: IntTensor<Self>,
        scales: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    /// `x W^T + b + scale (x A^T) B^T`: `a` `[rank, in]`, `b` `[out, rank]`.
    fn adapted_linear(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        scale: f64,
    ) -> FloatTensor<Self>;

    /// The same with a weight of 8-bit integers.
    fn adapted_linear_int8(
        x: FloatTensor<Self>,
        values: IntTensor<Self>,
        scales: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        scale: f64,
    ) -> FloatTensor<Self>;

    /// [`adapted_linear`](Self::adapted_linear) of [`gate_heads`](Self::gate_heads): `x` `[rows, H d]`, `logits`
    /// `[rows, H]`.
    fn gated_adapted_linear(
        x: FloatTensor<Self>,
        logits: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        scale: f64,
    ) -> FloatTensor<Self> {
        Self::adapted_linear(Self::gate_heads(x, logits), weight, bias, a, b, scale)
    }

    /// The same with a weight of 8-bit integers.
    #[allow(clippy::too_many_arguments, reason = "tensors cross the dispatch one by one")]
    fn gated_adapted_linear_int8(
        x: FloatTensor<Self>,
        logits: FloatTensor<Self>,
        values: IntTensor<Self>,
        scales: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        scale: f64,
    ) -> FloatTensor<Self> {
        Self::adapted_linear_int8(Self::gate_heads(x, logits), values, scales, bias, a, b, scale)
    }

    /// `<y, upstream>`, whose gradient by y is `upstream` itself; the value is not computed, it is 0.
    fn seeded(y: FloatTensor<Self>, upstream: FloatTensor<Self>) -> FloatTensor<Self>;
}

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

impl Kept<1> for ModulatedNorm {
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

impl Kept<2> for GatedSum {
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

impl Kept<1> for HeadNorm {
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

impl Kept<2> for GateHeads {
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

impl Kept<1> for Gelu {
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
    fn dense(weight: FlexTensor) -> Self {
        Self::Dense(contiguous(weight))
    }

    fn int8(values: FlexTensor, scales: FlexTensor) -> Self {
        Self::Int8 { values: contiguous(values), scales: contiguous(scales) }
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
    fn new(weight: Stored, bias: FlexTensor) -> Self {
        Self { weight, bias: contiguous(bias) }
    }

    fn layer(&self) -> Frozen<'_> {
        let [outputs, inputs] = self.weight.dims();
        Frozen { weight: self.weight.weight(), bias: values(&self.bias), inputs, outputs }
    }
}

impl Kept<1> for Linear {
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
    fn new(layer: Linear, x: FlexTensor, a: FlexTensor, b: FlexTensor, scale: f64) -> Self {
        let [x, a, b] = [x, a, b].map(contiguous);
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

impl Kept<3> for AdaptedLinear {
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

/// The gradient of a product with it.
#[derive(Debug, Clone)]
struct Seed {
    upstream: FlexTensor,
}

impl Kept<1> for Seed {
    fn backward(self, _: FlexTensor, _: [bool; 1]) -> [Option<FlexTensor>; 1] {
        [Some(self.upstream)]
    }
}

/// The length of the last axis.
fn width(tensor: &FlexTensor) -> usize {
    let shape = tensor.layout().shape();
    shape[shape.num_dims() - 1]
}

fn gelu_of(z: FlexTensor) -> (FlexTensor, Gelu) {
    let z = contiguous(z);
    (like(activation::gelu(values(&z)), &z), Gelu { z })
}

fn linear_of(x: FlexTensor, layer: &Linear) -> FlexTensor {
    let x = contiguous(x);
    let [rows, _] = dims(&x);
    tensor(layer.layer().forward(values(&x)), [rows, layer.layer().outputs])
}

fn recorded_linear<C: CheckpointStrategy>(
    x: FloatTensor<Autodiff<Flex, C>>,
    layer: Linear,
) -> FloatTensor<Autodiff<Flex, C>> {
    let (x, of_x) = x.into_parts();
    record::<C, _, _, 1>([of_x], linear_of(x, &layer), layer)
}

fn recorded_adapted_linear<C: CheckpointStrategy>(
    x: FloatTensor<Autodiff<Flex, C>>,
    layer: Linear,
    a: FloatTensor<Autodiff<Flex, C>>,
    b: FloatTensor<Autodiff<Flex, C>>,
    scale: f64,
) -> FloatTensor<Autodiff<Flex, C>> {
    let ((x, of_x), (a, of_a), (b, of_b)) = (x.into_parts(), a.into_parts(), b.into_parts());
    let mut kept = AdaptedLinear::new(layer, x, a, b, scale);
    record::<C, _, _, 3>([of_x, of_a, of_b], kept.forward(), kept)
}

impl Fused for Flex {
    fn modulated_norm(
        x: FlexTensor,
        scale: FlexTensor,
        shift: FlexTensor,
        index: FlexTensor,
        eps: f64,
    ) -> FlexTensor {
        ModulatedNorm::new(x, scale, shift, index, eps).forward()
    }

    fn gated_sum(x: FlexTensor, out: FlexTensor, gate: FlexTensor, index: FlexTensor) -> FlexTensor {
        GatedSum::new(gate, index).forward(x, out)
    }

    fn weighted_norm(x: FlexTensor, weight: FlexTensor, eps: f64) -> FlexTensor {
        HeadNorm::new(x, weight, None, eps).forward()
    }

    fn rotated_norm(
        x: FlexTensor,
        weight: FlexTensor,
        cos: FlexTensor,
        sin: FlexTensor,
        eps: f64,
    ) -> FlexTensor {
        HeadNorm::new(x, weight, Some([cos, sin]), eps).forward()
    }

    fn gate_heads(x: FlexTensor, logits: FlexTensor) -> FlexTensor {
        GateHeads::new(x, logits).forward()
    }

    fn gelu_tanh(z: FlexTensor) -> FlexTensor {
        gelu_of(z).0
    }

    fn linear(x: FlexTensor, weight: FlexTensor, bias: FlexTensor) -> FlexTensor {
        linear_of(x, &Linear::new(Stored::dense(weight), bias))
    }

    fn linear_int8(x: FlexTensor, values: FlexTensor, scales: FlexTensor, bias: FlexTensor) -> FlexTensor {
        linear_of(x, &Linear::new(Stored::int8(values, scales), bias))
    }

    fn adapted_linear(
        x: FlexTensor,
        weight: FlexTensor,
        bias: FlexTensor,
        a: FlexTensor,
        b: FlexTensor,
        scale: f64,
    ) -> FlexTensor {
        AdaptedLinear::new(Linear::new(Stored::dense(weight), bias), x, a, b, scale).forward()
    }

    fn adapted_linear_int8(
        x: FlexTensor,
        values: FlexTensor,
        scales: FlexTensor,
        bias: FlexTensor,
        a: FlexTensor,
        b: FlexTensor,
        scale: f64,
    ) -> FlexTensor {
        AdaptedLinear::new(Linear::new(Stored::int8(values, scales), bias), x, a, b, scale).forward()
    }

    fn seeded(_: FlexTensor, _: FlexTensor) -> FlexTensor {
        tensor(vec![0.0], [1])
    }
}

impl<C: CheckpointStrategy> Fused for Autodiff<Flex, C> {
    fn modulated_norm(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        index: IntTensor<Self>,
        eps: f64,
    ) -> FloatTensor<Self> {
        let (x, of_x) = x.into_parts();
        let kept = ModulatedNorm::new(x, scale.into_primitive(), shift.into_primitive(), index, eps);
        record::<C, _, _, 1>([of_x], kept.forward(), kept)
    }

    fn gated_sum(
        x: FloatTensor<Self>,
        out: FloatTensor<Self>,
        gate: FloatTensor<Self>,
        index: IntTensor<Self>,
    ) -> FloatTensor<Self> {
        let ((x, of_x), (out, of_out)) = (x.into_parts(), out.into_parts());
        let kept = GatedSum::new(gate.into_primitive(), index);
        record::<C, _, _, 2>([of_x, of_out], kept.forward(x, out), kept)
    }

    fn weighted_norm(x: FloatTensor<Self>, weight: FloatTensor<Self>, eps: f64) -> FloatTensor<Self> {
        let (x, of_x) = x.into_parts();
        let kept = HeadNorm::new(x, weight.into_primitive(), None, eps);
        record::<C, _, _, 1>([of_x], kept.forward(), kept)
    }

    fn rotated_norm(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        cos: FloatTensor<Self>,
        sin: FloatTensor<Self>,
        eps: f64,
    ) -> FloatTensor<Self> {
        let (x, of_x) = x.into_parts();
        let rope = Some([cos.into_primitive(), sin.into_primitive()]);
        let kept = HeadNorm::new(x, weight.into_primitive(), rope, eps);
        record::<C, _, _, 1>([of_x], kept.forward(), kept)
    }

    fn gate_heads(x: FloatTensor<Self>, logits: FloatTensor<Self>) -> FloatTensor<Self> {
        let ((x, of_x), (logits, of_logits)) = (x.into_parts(), logits.into_parts());
        let kept = GateHeads::new(x, logits);
        record::<C, _, _, 2>([of_x, of_logits], kept.forward(), kept)
    }

    fn gelu_tanh(z: FloatTensor<Self>) -> FloatTensor<Self> {
        let (z, of_z) = z.into_parts();
        let (out, kept) = gelu_of(z);
        record::<C, _, _, 1>([of_z], out, kept)
    }

    fn linear(x: FloatTensor<Self>, weight: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self> {
        recorded_linear::<C>(x, Linear::new(Stored::dense(weight.into_primitive()), bias.into_primitive()))
    }

    fn linear_int8(
        x: FloatTensor<Self>,
        values: IntTensor<Self>,
        scales: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let weight = Stored::int8(values, scales.into_primitive());
        recorded_linear::<C>(x, Linear::new(weight, bias.into_primitive()))
    }

    fn adapted_linear(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        scale: f64,
    ) -> FloatTensor<Self> {
        let layer = Linear::new(Stored::dense(weight.into_primitive()), bias.into_primitive());
        recorded_adapted_linear::<C>(x, layer, a, b, scale)
    }

    fn adapted_linear_int8(
        x: FloatTensor<Self>,
        values: IntTensor<Self>,
        scales: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        scale: f64,
    ) -> FloatTensor<Self> {
        let weight = Stored::int8(values, scales.into_primitive());
        recorded_adapted_linear::<C>(x, Linear::new(weight, bias.into_primitive()), a, b, scale)
    }

    fn seeded(y: FloatTensor<Self>, upstream: FloatTensor<Self>) -> FloatTensor<Self> {
        let (_, of_y) = y.into_parts();
        record::<C, _, _, 1>([of_y], tensor(vec![0.0], [1]), Seed { upstream: upstream.into_primitive() })
    }
}
