//! The fused operations on CUDA: what each computes, and what it keeps.

use burn::{
    backend::{Cube, TensorMetadata},
    tensor::DType,
};
use burn_cubecl::tensor::CubeTensor;

use super::{
    CudaError,
    gpu::Gpu,
    matrix::{Format, Multiply, Operand},
    module::{Arg, Spread},
    tensor::{alike, contiguous, empty, empty_like, enqueue, format, in_dtype, indices, rows, width},
};
use crate::fused::{
    graph::Kept,
    ops::{Kernels, Weight},
};

/// Threads of a block that has one row.
const ROW_THREADS: usize = 256;
/// Numbers of a thread.
const EIGHT: usize = 8;

/// One block for each row.
fn by_rows(rows: usize, width: usize) -> Spread {
    let threads = width.div_ceil(EIGHT).next_multiple_of(32).clamp(32, ROW_THREADS);
    Spread { blocks: (rows as u32, 1, 1), threads: threads as u32, shared: 0 }
}

/// One thread for every eight numbers.
fn by_eights(count: usize) -> Spread {
    Spread {
        blocks: (count.div_ceil(EIGHT * ROW_THREADS) as u32, 1, 1),
        threads: ROW_THREADS as u32,
        shared: 0,
    }
}

/// The kernel's name in this format.
macro_rules! named {
    ($name:literal, $format:expr) => {
        match $format {
            Format::F32 => concat!($name, "_f32"),
            Format::Bf16 => concat!($name, "_bf16"),
        }
    };
}

/// Launches a kernel of `rows.cu`: arguments are written in the kernel's order.
macro_rules! launch {
    ($gpu:expr, $name:expr, $spread:expr, $($arg:expr),+ $(,)?) => {
        // SAFETY: the arguments are the kernel's, and the addresses those of tensors of the sizes that it is told.
        unsafe { $gpu.rows($name, $spread, &mut [$($arg),+]) }
    };
}

#[derive(Debug, Clone)]
struct ModulatedNorm {
    x: CubeTensor,
    scale: CubeTensor,
    shift: CubeTensor,
    index: CubeTensor,
    eps: f32,
}

impl ModulatedNorm {
    fn new(x: CubeTensor, scale: CubeTensor, shift: CubeTensor, index: CubeTensor, eps: f64) -> Self {
        let x = contiguous(x);
        let (scale, shift) = (alike(scale, &x), alike(shift, &x));
        Self { x, scale, shift, index: indices(index), eps: eps as f32 }
    }

    fn forward(&self) -> CubeTensor {
        let out = empty_like(&self.x);
        let tensors = [&self.x, &self.scale, &self.shift, &self.index, &out];
        enqueue(tensors, |gpu, [x, scale, shift, index, out]| {
            launch!(
                gpu,
                named!("modulated_norm", format(&self.x)),
                by_rows(rows(&self.x), width(&self.x)),
                Arg::Address(x),
                Arg::Address(scale),
                Arg::Address(shift),
                Arg::Address(index),
                Arg::Address(out),
                Arg::Int(width(&self.x) as i32),
                Arg::Float(self.eps),
            )
        });
        out
    }
}

impl Kept<1, Cube> for ModulatedNorm {
    fn backward(self, grad: CubeTensor, _: [bool; 1]) -> [Option<CubeTensor>; 1] {
        let (grad, dx) = (alike(grad, &self.x), empty_like(&self.x));
        let tensors = [&self.x, &grad, &self.scale, &self.index, &dx];
        enqueue(tensors, |gpu, [x, grad, scale, index, dx]| {
            launch!(
                gpu,
                named!("modulated_norm_backward", format(&self.x)),
                by_rows(rows(&self.x), width(&self.x)),
                Arg::Address(x),
                Arg::Address(grad),
                Arg::Address(scale),
                Arg::Address(index),
                Arg::Address(dx),
                Arg::Int(width(&self.x) as i32),
                Arg::Float(self.eps),
            )
        });
        [Some(dx)]
    }
}

#[derive(Debug, Clone)]
struct GatedSum {
    gate: CubeTensor,
    index: CubeTensor,
}

impl GatedSum {
    fn new(gate: CubeTensor, index: CubeTensor, like: &CubeTensor) -> Self {
        Self { gate: alike(gate, like), index: indices(index) }
    }

    fn forward(&self, x: CubeTensor, branch: CubeTensor) -> CubeTensor {
        let x = contiguous(x);
        let (branch, out) = (alike(branch, &x), empty_like(&x));
        enqueue([&x, &branch, &self.gate, &self.index, &out], |gpu, [at, branch, gate, index, out]| {
            Self::run(gpu, &x, [at, branch, gate, index, out])
        });
        out
    }

    fn run(gpu: &mut Gpu, like: &CubeTensor, addresses: [u64; 5]) -> Result<(), CudaError> {
        let [x, branch, gate, index, out] = addresses.map(Arg::Address);
        let width_of = Arg::Int(width(like) as i32);
        launch!(
            gpu,
            named!("gated_sum", format(like)),
            by_rows(rows(like), width(like)),
            x,
            branch,
            gate,
            index,
            out,
            width_of,
        )
    }
}

impl Kept<2, Cube> for GatedSum {
    fn backward(self, grad: CubeTensor, [_, of_branch]: [bool; 2]) -> [Option<CubeTensor>; 2] {
        let grad = alike(grad, &self.gate);
        let of_branch = of_branch.then(|| {
            let out = empty_like(&grad);
            enqueue([&grad, &self.gate, &self.index, &out], |gpu, [at, gate, index, out]| {
                Self::run(gpu, &grad, [0, at, gate, index, out])
            });
            out
        });
        [Some(grad), of_branch]
    }
}

#[derive(Debug, Clone)]
struct HeadNorm {
    x: CubeTensor,
    weight: CubeTensor,
    /// Cosines and sines, float32, `[1, H, T, d/2]`.
    rope: Option<[CubeTensor; 2]>,
    eps: f32,
}

impl HeadNorm {
    fn new(x: CubeTensor, weight: CubeTensor, rope: Option<[CubeTensor; 2]>, eps: f64) -> Self {
        let x = contiguous(x);
        let weight = alike(weight, &x);
        Self { x, weight, rope: rope.map(|tables| tables.map(|t| in_dtype(t, DType::F32))), eps: eps as f32 }
    }

    /// Half a head, and the tokens of the tables. Without tables any split into heads does.
    fn halves(&self) -> [i32; 2] {
        match &self.rope {
            Some([cos, _]) => [width(cos) as i32, cos.shape()[2] as i32],
            None => [width(&self.x) as i32 / 2, 1],
        }
    }

    /// Runs a kernel of this operation on the input, perhaps a gradient, and a result.
    fn run(&self, name: &'static str, grad: Option<&CubeTensor>) -> CubeTensor {
        let out = empty_like(&self.x);
        let (cos, sin) = match &self.rope {
            Some([cos, sin]) => (cos, sin),
            None => (&self.weight, &self.weight), // not read
        };
        let tensors = [&self.x, grad.unwrap_or(&self.x), &self.weight, cos, sin, &out];
        enqueue(tensors, |gpu, [x, grad_at, weight, cos, sin, out]| {
            let table = |address| Arg::Address(if self.rope.is_some() { address } else { 0 });
            let [half, tokens] = self.halves();
            let mut args = vec![Arg::Address(x)];
            args.extend(grad.map(|_| Arg::Address(grad_at)));
            args.extend([Arg::Address(weight), table(cos), table(sin), Arg::Address(out)]);
            args.extend([width(&self.x) as i32, half, tokens].map(Arg::Int));
            args.push(Arg::Float(self.eps));
            // A thread has eight numbers of both halves of a head.
            let spread = by_rows(rows(&self.x), width(&self.x) / 2);
            // SAFETY: as in `launch!`.
            unsafe { gpu.rows(name, spread, &mut args) }
        });
        out
    }

    fn forward(&self) -> CubeTensor {
        self.run(named!("head_norm", format(&self.x)), None)
    }
}

impl Kept<1, Cube> for HeadNorm {
    fn backward(self, grad: CubeTensor, _: [bool; 1]) -> [Option<CubeTensor>; 1] {
        let grad = alike(grad, &self.x);
        [Some(self.run(named!("head_norm_backward", format(&self.x)), Some(&grad)))]
    }
}

#[derive(Debug, Clone)]
struct GateHeads {
    x: CubeTensor,
    logits: CubeTensor,
}

impl GateHeads {
    fn new(x: CubeTensor, logits: CubeTensor) -> Self {
        let x = contiguous(x);
        let logits = alike(logits, &x);
        Self { x, logits }
    }

    fn sizes(&self) -> [Arg; 2] {
        [width(&self.x), width(&self.logits)].map(|size| Arg::Int(size as i32))
    }

    fn forward(&self) -> CubeTensor {
        let out = empty_like(&self.x);
        enqueue([&self.x, &self.logits, &out], |gpu, [x, logits, out]| {
            let [width_of, heads] = self.sizes();
            launch!(
                gpu,
                named!("gate_heads", format(&self.x)),
                by_rows(rows(&self.x), width(&self.x)),
                Arg::Address(x),
                Arg::Address(logits),
                Arg::Address(out),
                width_of,
                heads,
            )
        });
        out
    }
}

impl Kept<2, Cube> for GateHeads {
    fn backward(self, grad: CubeTensor, _: [bool; 2]) -> [Option<CubeTensor>; 2] {
        let grad = alike(grad, &self.x);
        let (dx, dlogits) = (empty_like(&self.x), empty_like(&self.logits));
        let tensors = [&self.x, &self.logits, &grad, &dx, &dlogits];
        enqueue(tensors, |gpu, [x, logits, grad, dx, dlogits]| {
            let [width_of, heads] = self.sizes();
            launch!(
                gpu,
                named!("gate_heads_backward", format(&self.x)),
                by_rows(rows(&self.x), width(&self.x)),
                Arg::Address(x),
                Arg::Address(logits),
                Arg::Address(grad),
                Arg::Address(dx),
                Arg::Address(dlogits),
                width_of,
                heads,
            )
        });
        [Some(dx), Some(dlogits)]
    }
}

#[derive(Debug, Clone)]
struct Gelu {
    z: CubeTensor,
}

impl Gelu {
    /// The activation, or a gradient through it.
    fn run(&self, grad: Option<&CubeTensor>) -> CubeTensor {
        let out = empty_like(&self.z);
        enqueue([&self.z, grad.unwrap_or(&self.z), &out], |gpu, [z, grad_at, out]| {
            let count = self.z.shape().num_elements();
            launch!(
                gpu,
                named!("gelu", format(&self.z)),
                by_eights(count),
                Arg::Address(z),
                Arg::Address(grad.map_or(0, |_| grad_at)),
                Arg::Address(out),
                Arg::Long(count as u64),
            )
        });
        out
    }
}

impl Kept<1, Cube> for Gelu {
    fn backward(self, grad: CubeTensor, _: [bool; 1]) -> [Option<CubeTensor>; 1] {
        let grad = alike(grad, &self.z);
        [Some(self.run(Some(&grad)))]
    }
}

/// Sizes of a linear layer on some rows.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    rows: usize,
    inputs: usize,
    outputs: usize,
    format: Format,
}

impl Sizes {
    /// `x W^T + b`, onto what is there if `add`.
    fn forward(&self, gpu: &mut Gpu, [x, weight, bias, y]: [u64; 4], add: bool) -> Result<(), CudaError> {
        let sizes = [self.rows, self.inputs, self.outputs];
        let (x, weight) = (Operand::plain(x, self.format), Operand::transposed(weight, self.format));
        multiply(gpu, &Multiply { add, bias, ..Multiply::new(sizes, x, weight, y, self.format) })
    }

    /// `g W`, onto what is there if `add`.
    fn backward(&self, gpu: &mut Gpu, [grad, weight, dx]: [u64; 3], add: bool) -> Result<(), CudaError> {
        let sizes = [self.rows, self.outputs, self.inputs];
        let (grad, weight) = (Operand::plain(grad, self.format), Operand::plain(weight, self.format));
        multiply(gpu, &Multiply { add, ..Multiply::new(sizes, grad, weight, dx, self.format) })
    }
}

/// The product of every matrix of `a` `[.., m, n]` with that of `b` `[.., n, p]`.
pub(super) fn product(a: CubeTensor, b: CubeTensor) -> CubeTensor {
    let a = contiguous(a);
    let b = alike(b, &a);
    let (columns, inner) = (width(&b), width(&a));
    let mut shape = a.shape();
    let axes = shape.num_dims();
    let rows = shape[axes - 2];
    shape[axes - 1] = columns;
    let out = empty(shape.clone(), a.dtype, &a);
    let batch = shape.num_elements() / (rows * columns).max(1);
    enqueue([&a, &b, &out], |gpu, [at_a, at_b, to]| {
        let format = format(&a);
        let (a, b) = (Operand::plain(at_a, format), Operand::plain(at_b, format));
        multiply(gpu, &Multiply { batch, ..Multiply::new([rows, inner, columns], a, b, to, format) })
    });
    out
}

/// Enqueues a product of tensors of the sizes that it names.
pub(super) fn multiply(gpu: &mut Gpu, product: &Multiply) -> Result<(), CudaError> {
    let (matrices, stream) = gpu.matrices();
    // SAFETY: the callers pass addresses of tensors of these sizes.
    unsafe { matrices.multiply(product, stream) }
}

/// A frozen weight `[out, in]` as it is kept.
#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant, reason = "handles are small beside what they hold")]
enum Stored {
    Dense(CubeTensor),
    /// 8-bit integers, and a bf16 scale for every few neighbours.
    Int8 {
        values: CubeTensor,
        scales: CubeTensor,
    },
}

impl Stored {
    /// The weight in the number type of `like`. That of 8-bit integers is made for one use.
    fn dense(&self, like: &CubeTensor) -> CubeTensor {
        match self {
            Self::Dense(weight) => alike(weight.clone(), like),
            Self::Int8 { values, scales } => {
                let out = empty(values.shape(), like.dtype, like);
                let (count, block) = (values.shape().num_elements(), width(values) / width(scales));
                enqueue([values, scales, &out], |gpu, [values, scales, out]| {
                    launch!(
                        gpu,
                        named!("dequantised", format(like)),
                        by_eights(count),
                        Arg::Address(values),
                        Arg::Address(scales),
                        Arg::Address(out),
                        Arg::Int(block as i32),
                        Arg::Long(count as u64),
                    )
                });
                out
            }
        }
    }

    fn shape(&self) -> [usize; 2] {
        match self {
            Self::Dense(values) | Self::Int8 { values, .. } => values.shape().dims(),
        }
    }
}

/// A frozen linear layer; it needs its input for no gradient.
#[derive(Debug, Clone)]
struct Linear {
    weight: Stored,
    bias: CubeTensor,
}

impl Linear {
    fn new(weight: Weight<Cube>, bias: CubeTensor) -> Self {
        let weight = match weight {
            Weight::Dense(weight) => Stored::Dense(weight),
            Weight::Int8 { values, scales } => {
                Stored::Int8 { values: contiguous(values), scales: in_dtype(scales, DType::BF16) }
            }
        };
        Self { weight, bias }
    }

    fn sizes(&self, x: &CubeTensor) -> Sizes {
        let [outputs, inputs] = self.weight.shape();
        Sizes { rows: rows(x), inputs, outputs, format: format(x) }
    }

    fn forward(&self, x: &CubeTensor) -> CubeTensor {
        let (sizes, weight, bias) = (self.sizes(x), self.weight.dense(x), alike(self.bias.clone(), x));
        let y = empty([sizes.rows, sizes.outputs], x.dtype, x);
        enqueue([x, &weight, &bias, &y], |gpu, addresses| sizes.forward(gpu, addresses, false));
        y
    }
}

impl Kept<1, Cube> for Linear {
    fn backward(self, grad: CubeTensor, _: [bool; 1]) -> [Option<CubeTensor>; 1] {
        let grad = contiguous(grad);
        let (sizes, weight) = (self.sizes(&grad), self.weight.dense(&grad));
        let dx = empty([sizes.rows, sizes.inputs], grad.dtype, &grad);
        enqueue([&grad, &weight, &dx], |gpu, addresses| sizes.backward(gpu, addresses, false));
        [Some(dx)]
    }
}

/// A frozen linear layer with a low-rank branch, whose factors are float32 and are rounded as they are used.
#[derive(Debug, Clone)]
struct AdaptedLinear {
    layer: Linear,
    a: CubeTensor,
    b: CubeTensor,
    scale: f32,
    /// `x A^T`.
    low: CubeTensor,
}

impl AdaptedLinear {
    /// The result, and what its gradients need.
    fn forward(layer: Linear, x: &CubeTensor, factors: [CubeTensor; 2], scale: f64) -> (CubeTensor, Self) {
        let (sizes, scale) = (layer.sizes(x), scale as f32);
        let (weight, bias) = (layer.weight.dense(x), alike(layer.bias.clone(), x));
        let [a, b] = factors.map(|factor| Factor::new(factor, x));
        let rank = a.used.shape()[0];
        let y = empty([sizes.rows, sizes.outputs], x.dtype, x);
        let low = empty([sizes.rows, rank], x.dtype, x);
        let tensors = [x, &weight, &bias, &a.given, &b.given, &a.used, &b.used, &low, &y];
        enqueue(tensors, |gpu, [x, weight, bias, given_a, given_b, used_a, used_b, low, y]| {
            let of = |address| Operand::plain(address, sizes.format);
            let to = |address| Operand::transposed(address, sizes.format);
            let format = sizes.format;
            a.round(gpu, given_a, used_a)?;
            b.round(gpu, given_b, used_b)?;
            multiply(gpu, &Multiply::new([sizes.rows, sizes.inputs, rank], of(x), to(used_a), low, format))?;
            // The branch goes first: the large product then adds to it, which costs one reading and no writing.
            let up = Multiply::new([sizes.rows, rank, sizes.outputs], of(low), to(used_b), y, format);
            multiply(gpu, &Multiply { scale, ..up })?;
            sizes.forward(gpu, [x, weight, bias, y], true)
        });
        (y, Self { layer, a: a.used, b: b.used, scale, low })
    }

    fn rank(&self) -> usize {
        self.a.shape()[0]
    }

    /// The gradients of x, if it is wanted, and of both factors.
    fn gradients(&self, x: &CubeTensor, grad: &CubeTensor, of_x: bool) -> [Option<CubeTensor>; 3] {
        let (sizes, rank, weight) = (self.layer.sizes(grad), self.rank(), self.layer.weight.dense(grad));
        let low = &self.low;
        let dlow = empty_like(low);
        // The optimiser works in float32.
        let (da, db) = (empty(self.a.shape(), DType::F32, grad), empty(self.b.shape(), DType::F32, grad));
        let dx = empty([if of_x { sizes.rows } else { 1 }, sizes.inputs], grad.dtype, grad);
        let tensors = [x, grad, &weight, &self.a, &self.b, low, &dlow, &da, &db, &dx];
        enqueue(tensors, |gpu, [x, grad, weight, a, b, low, dlow, da, db, dx]| {
            let of = |address| Operand::plain(address, sizes.format);
            let to = |address| Operand::transposed(address, sizes.format);
            let Sizes { rows, inputs, outputs, format } = sizes;
            let scaled = |product| Multiply { scale: self.scale, ..product };
            multiply(gpu, &scaled(Multiply::new([rows, outputs, rank], of(grad), of(b), dlow, format)))?;
            multiply(gpu, &scaled(Multiply::new([outputs, rows, rank], to(grad), of(low), db, Format::F32)))?;
            multiply(gpu, &Multiply::new([rank, rows, inputs], to(dlow), of(x), da, Format::F32))?;
            if !of_x {
                return Ok(());
            }
            multiply(gpu, &Multiply::new([rows, rank, inputs], of(dlow), of(a), dx, format))?;
            sizes.backward(gpu, [grad, weight, dx], true)
        });
        [of_x.then_some(dx), Some(da), Some(db)]
    }
}

/// A factor in the number type of the activations.
struct Factor {
    given: CubeTensor,
    /// The same tensor, or room for its rounded values.
    used: CubeTensor,
}

impl Factor {
    fn new(factor: CubeTensor, like: &CubeTensor) -> Self {
        let is_whole = factor.shape().num_elements().is_multiple_of(EIGHT);
        if factor.dtype == DType::F32 && like.dtype == DType::BF16 && is_whole {
            let given = contiguous(factor);
            return Self { used: empty(given.shape(), DType::BF16, &given), given };
        }
        let given = alike(factor, like);
        Self { used: given.clone(), given }
    }

    /// Rounds it where it has to be: in the turn of the product that wants it, since one of its own would cost the host as much
    /// as the product's.
    fn round(&self, gpu: &mut Gpu, given: u64, used: u64) -> Result<(), CudaError> {
        if self.given.dtype == self.used.dtype {
            return Ok(());
        }
        let count = self.given.shape().num_elements();
        launch!(
            gpu,
            "scaled_to_bf16",
            by_eights(count),
            Arg::Address(given),
            Arg::Address(used),
            Arg::Float(1.0),
            Arg::Long(count as u64),
        )
    }
}

/// An adapted layer with its input.
#[derive(Debug, Clone)]
struct OnInput {
    layer: AdaptedLinear,
    x: CubeTensor,
}

impl Kept<3, Cube> for OnInput {
    fn backward(self, grad: CubeTensor, [of_x, ..]: [bool; 3]) -> [Option<CubeTensor>; 3] {
        self.layer.gradients(&self.x, &alike(grad, &self.x), of_x)
    }
}

/// An adapted layer on gated heads, which are not kept: they are gated again for the backward pass.
#[derive(Debug, Clone)]
struct OnGatedHeads {
    layer: AdaptedLinear,
    gate: GateHeads,
}

impl Kept<4, Cube> for OnGatedHeads {
    fn backward(self, grad: CubeTensor, [of_x, of_logits, ..]: [bool; 4]) -> [Option<CubeTensor>; 4] {
        let x = self.gate.forward();
        let [dx, da, db] = self.layer.gradients(&x, &alike(grad, &x), of_x || of_logits);
        drop(x);
        let [dx, dlogits] = dx.map_or([None, None], |dx| self.gate.backward(dx, [of_x, of_logits]));
        [dx, dlogits, da, db]
    }
}

impl Kernels for Cube {
    fn modulated_norm(
        x: CubeTensor,
        scale: CubeTensor,
        shift: CubeTensor,
        index: CubeTensor,
        eps: f64,
    ) -> (CubeTensor, impl Kept<1, Self>) {
        let kept = ModulatedNorm::new(x, scale, shift, index, eps);
        (kept.forward(), kept)
    }

    fn gated_sum(
        x: CubeTensor,
        out: CubeTensor,
        gate: CubeTensor,
        index: CubeTensor,
    ) -> (CubeTensor, impl Kept<2, Self>) {
        let kept = GatedSum::new(gate, index, &x);
        (kept.forward(x, out), kept)
    }

    fn head_norm(
        x: CubeTensor,
        weight: CubeTensor,
        rope: Option<[CubeTensor; 2]>,
        eps: f64,
    ) -> (CubeTensor, impl Kept<1, Self>) {
        let kept = HeadNorm::new(x, weight, rope, eps);
        (kept.forward(), kept)
    }

    fn gate_heads(x: CubeTensor, logits: CubeTensor) -> (CubeTensor, impl Kept<2, Self>) {
        let kept = GateHeads::new(x, logits);
        (kept.forward(), kept)
    }

    fn gelu_tanh(z: CubeTensor) -> (CubeTensor, impl Kept<1, Self>) {
        let kept = Gelu { z: contiguous(z) };
        (kept.run(None), kept)
    }

    fn linear(x: CubeTensor, weight: Weight<Self>, bias: CubeTensor) -> (CubeTensor, impl Kept<1, Self>) {
        let kept = Linear::new(weight, bias);
        (kept.forward(&contiguous(x)), kept)
    }

    fn adapted_linear(
        x: CubeTensor,
        weight: Weight<Self>,
        bias: CubeTensor,
        factors: [CubeTensor; 2],
        scale: f64,
    ) -> (CubeTensor, impl Kept<3, Self>) {
        let x = contiguous(x);
        let (y, layer) = AdaptedLinear::forward(Linear::new(weight, bias), &x, factors, scale);
        (y, OnInput { layer, x })
    }

    fn gated_adapted_linear(
        [x, logits]: [CubeTensor; 2],
        weight: Weight<Self>,
        bias: CubeTensor,
        factors: [CubeTensor; 2],
        scale: f64,
    ) -> (CubeTensor, impl Kept<4, Self>) {
        let gate = GateHeads::new(x, logits);
        let (y, layer) = AdaptedLinear::forward(Linear::new(weight, bias), &gate.forward(), factors, scale);
        (y, OnGatedHeads { layer, gate })
    }
}
