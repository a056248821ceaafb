//! Attention on CUDA.

use burn::{
    backend::{Cube, TensorMetadata, ops::FloatTensorOps, tensor::FloatTensor},
    tensor::DType,
};
use burn_cubecl::tensor::CubeTensor;
use cudarc::driver::sys::{
    CUtensorMap, CUtensorMapDataType, CUtensorMapFloatOOBfill, CUtensorMapInterleave, CUtensorMapL2promotion,
    CUtensorMapSwizzle, cuTensorMapEncodeTiled,
};

use super::{
    CudaError,
    gpu::Gpu,
    module::{Arg, Spread},
    ops::product,
    tensor::{empty, enqueue, gpu, in_dtype},
};
use crate::attention::{Attended, AttentionKernel, Given, LeanAttention, chunked};

/// Channels of a head that the kernels know.
const CHANNELS: usize = 128;
/// Channels of a panel.
const PANEL: u32 = 64;
/// Rows of a block's own tile, and of the tiles that a backward block goes over.
const TILE: usize = 128;
const BACKWARD_TILE: usize = 64;
const NUMBER: usize = 2;
/// Threads: a warpgroup that copies, and two that compute.
const THREADS: u32 = 384;
/// Dynamic shared memory begins at any address, and tiles at multiples of this.
const SLACK: usize = 1024;

impl LeanAttention for Cube {
    fn lean_attention(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        scale: f64,
    ) -> FloatTensor<Self> {
        Self::attend(&Given { q, k, v, bias, scale }).out
    }
}

impl AttentionKernel for Cube {
    fn attend(given: &Given<Self>) -> Attended<Self> {
        if !fits_kernel(given) {
            return composed(given);
        }
        let [batch, heads, queries, _] = dims(&given.q);
        let (q, k, v) = (plain(&given.q), plain(&given.k), plain(&given.v));
        let keys = dims(&k)[2];
        let padded = queries.next_multiple_of(TILE);
        let out = empty([batch, queries, heads, CHANNELS], DType::BF16, &q);
        let logs = empty([batch, heads, padded], DType::F32, &q);
        let spread = spread(queries, heads, batch, tile_bytes(TILE) * 5);
        enqueue([&q, &k, &v, &out, &logs], |gpu, [at_q, at_k, at_v, out, logs]| {
            let mut args = vec![map(&q, at_q, TILE)?, map(&k, at_k, TILE)?, map(&v, at_v, TILE)?];
            args.extend([out, logs].map(Arg::Address));
            args.extend([heads, queries, keys, padded].map(|size| Arg::Int(size as i32)));
            args.push(Arg::Float(binary(given.scale)));
            // SAFETY: the kernel's arguments in order; maps and sizes are the tensors'.
            unsafe { gpu.attention("attention_forward", spread, &mut args) }
        });
        Attended { out: by_heads(out), logs }
    }

    fn attend_backward(
        given: Given<Self>,
        attended: Attended<Self>,
        grad: FloatTensor<Self>,
    ) -> [FloatTensor<Self>; 3] {
        if !fits_kernel(&given) {
            return composed_backward(&given, &attended, grad);
        }
        let [batch, heads, queries, _] = dims(&given.q);
        let (q, k, v) = (plain(&given.q), plain(&given.k), plain(&given.v));
        let grad = plain(&in_number(grad, DType::BF16));
        let (out, logs) = (&attended.out, &attended.logs);
        let (keys, padded) = (dims(&k)[2], logs.shape()[2]);
        let deltas = empty([batch, heads, padded], DType::F32, &q);
        let like = |tokens: usize| empty([batch, tokens, heads, CHANNELS], DType::BF16, &q);
        let (dq, dk, dv) = (like(queries), like(keys), like(keys));
        let tensors = [&q, &k, &v, &grad, out, logs, &deltas, &dq, &dk, &dv];
        enqueue(tensors, |gpu, [at_q, at_k, at_v, at_grad, out, logs, deltas, dq, dk, dv]| {
            let sizes = [heads, queries, keys, padded].map(|size| size as i32);
            deltas_kernel(gpu, &grad, [out, at_grad, deltas], sizes, batch)?;
            let shared = 2 * tile_bytes(TILE) + 4 * tile_bytes(BACKWARD_TILE) + 16 * BACKWARD_TILE;
            let run = |gpu: &mut Gpu, name, [of_q, of_k]: [usize; 2], rows, results: &[u64]| {
                let mut args = vec![
                    map(&q, at_q, of_q)?,
                    map(&k, at_k, of_k)?,
                    map(&v, at_v, of_k)?,
                    map(&grad, at_grad, of_q)?,
                ];
                args.extend([logs, deltas].iter().chain(results).copied().map(Arg::Address));
                args.extend(sizes.map(Arg::Int));
                args.extend([binary(given.scale), given.scale as f32].map(Arg::Float));
                // SAFETY: the kernel's arguments in order; maps and sizes are the tensors'.
                unsafe { gpu.attention(name, spread(rows, heads, batch, shared), &mut args) }
            };
            run(gpu, "attention_backward_keys", [BACKWARD_TILE, TILE], keys, &[dk, dv])?;
            run(gpu, "attention_backward_queries", [TILE, BACKWARD_TILE], queries, &[dq])
        });
        [dq, dk, dv].map(by_heads)
    }

    fn product(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self> {
        product(a, b)
    }
}

/// `<gradient, result>` of every query.
fn deltas_kernel(
    gpu: &mut Gpu,
    grad: &CubeTensor,
    addresses: [u64; 3],
    [heads, queries, _, padded]: [i32; 4],
    batch: usize,
) -> Result<(), CudaError> {
    let strides = grad.meta.strides();
    let blocks = ((padded as u32).div_ceil(8), heads as u32, batch as u32);
    let mut args: Vec<Arg> = addresses.into_iter().map(Arg::Address).collect();
    args.extend([heads, queries, padded].map(Arg::Int));
    args.extend([strides[2], strides[1], strides[0]].map(|stride| Arg::Long(stride as u64)));
    // SAFETY: the kernel's arguments in order; strides and sizes are the tensors'.
    unsafe { gpu.attention("attention_deltas", Spread { blocks, threads: 256, shared: 0 }, &mut args) }
}

/// Whether the kernels can do it: bf16, heads of 128 channels, no bias, and a device that has them.
fn fits_kernel(given: &Given<Cube>) -> bool {
    let tensors = [&given.q, &given.k, &given.v];
    tensors.iter().all(|tensor| tensor.dtype == DType::BF16 && dims(tensor)[3] == CHANNELS)
        && dims(&given.bias)[3] == 1
        && Gpu::has_attention(&gpu(&given.q))
}

/// Composed of the backend's operations, in float32.
fn composed(given: &Given<Cube>) -> Attended<Cube> {
    let dtype = given.q.dtype;
    let Attended { out, logs } = chunked::attend(&in_float32(given));
    Attended { out: in_number(out, dtype), logs }
}

fn composed_backward(
    given: &Given<Cube>,
    attended: &Attended<Cube>,
    grad: FloatTensor<Cube>,
) -> [FloatTensor<Cube>; 3] {
    let dtype = given.q.dtype;
    let attended = Attended { out: in_number(attended.out.clone(), DType::F32), logs: attended.logs.clone() };
    let grad = in_number(grad, DType::F32);
    chunked::attend_backward(&in_float32(given), &attended, &grad).map(|x| in_number(x, dtype))
}

fn in_float32(given: &Given<Cube>) -> Given<Cube> {
    let [q, k, v, bias] =
        [&given.q, &given.k, &given.v, &given.bias].map(|x| in_number(x.clone(), DType::F32));
    Given { q, k, v, bias, scale: given.scale }
}

/// The same values in a number type, in whatever order they lie.
fn in_number(x: CubeTensor, dtype: DType) -> CubeTensor {
    if x.dtype == dtype { x } else { in_dtype(x, dtype) }
}

fn dims(x: &CubeTensor) -> [usize; 4] {
    x.shape().dims()
}

/// The scale of scores for powers of two.
fn binary(scale: f64) -> f32 {
    (scale * std::f64::consts::LOG2_E) as f32
}

fn tile_bytes(rows: usize) -> usize {
    rows * CHANNELS * NUMBER
}

/// A block for every tile of `rows`, every head and every sample.
fn spread(rows: usize, heads: usize, batch: usize, shared: usize) -> Spread {
    let blocks = (rows.div_ceil(TILE) as u32, heads as u32, batch as u32);
    Spread { blocks, threads: THREADS, shared: (shared + SLACK) as u32 }
}

/// `[B, T, H, d]` values, seen as `[B, H, T, d]`.
fn by_heads(x: CubeTensor) -> CubeTensor {
    Cube::float_swap_dims(x, 1, 2)
}

/// A tensor whose channels lie side by side and whose other strides the copy engine can take: whole sixteens of bytes.
fn plain(x: &CubeTensor) -> CubeTensor {
    let strides = x.meta.strides();
    let fits =
        strides[3] == 1 && (0..3).all(|axis| strides[axis] > 0 && strides[axis].is_multiple_of(16 / NUMBER));
    if fits { x.clone() } else { in_dtype(x.clone(), DType::BF16) }
}

/// A map of `[B, H, T, 128]` for boxes of 64 channels of `rows` tokens of a head.
fn map(x: &CubeTensor, address: u64, rows: usize) -> Result<Arg, CudaError> {
    let [batch, heads, tokens, channels] = dims(x).map(|length| length as u64);
    let strides = x.meta.strides();
    let bytes = |axis: usize| (strides[axis] * NUMBER) as u64;
    let (sizes, strides) = ([channels, heads, tokens, batch], [bytes(1), bytes(2), bytes(0)]);
    let (shape, steps) = ([PANEL, 1, rows as u32, 1], [1u32; 4]);
    let mut map = Box::new(CUtensorMap { opaque: [0; 16] });
    // SAFETY: the arrays are as long as the rank says; the address is that of the tensor.
    unsafe {
        cuTensorMapEncodeTiled(
            &raw mut *map,
            CUtensorMapDataType::CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
            4,
            address as *mut std::ffi::c_void,
            sizes.as_ptr(),
            strides.as_ptr(),
            shape.as_ptr(),
            steps.as_ptr(),
            CUtensorMapInterleave::CU_TENSOR_MAP_INTERLEAVE_NONE,
            CUtensorMapSwizzle::CU_TENSOR_MAP_SWIZZLE_128B,
            CUtensorMapL2promotion::CU_TENSOR_MAP_L2_PROMOTION_L2_128B,
            CUtensorMapFloatOOBfill::CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE,
        )
    }
    .result()
    .map_err(CudaError::driver("cuTensorMapEncodeTiled"))?;
    Ok(Arg::Map(map))
}
