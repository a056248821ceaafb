//! Between the backend's tensors and addresses.

use std::sync::{Arc, Mutex};

use burn::{
    backend::{
        Cube, CubeDevice, DispatchDevice, TensorMetadata,
        ops::{FloatTensorOps, IntTensorOps},
        tensor::{FloatTensor, IntTensor},
    },
    tensor::{DType, Device, IntDType, Shape, Tensor},
};
use burn_cubecl::{kernel::into_contiguous, tensor::CubeTensor};
use cubecl::cuda::CudaRuntime;
use cubecl_runtime::{runtime::Runtime, server::ServerError};

use super::{CudaError, gpu::Gpu, matrix::Format};

/// Numbers that a kernel takes at once.
const EIGHT: usize = 8;

/// Whether tensors of `device`, with or without gradients, are on an NVIDIA GPU.
pub(crate) fn on_gpu(device: &Device) -> bool {
    index_of(device).is_some()
}

/// The number of an NVIDIA GPU.
pub(crate) fn index_of(device: &Device) -> Option<usize> {
    match device.clone().inner().as_dispatch() {
        DispatchDevice::Cube(CubeDevice::Cuda(device)) => Some(device.index),
        _ => None,
    }
}

/// Whether the kernels take `x`: bf16 or float32, and rows of whole eights, halves of heads included.
pub(crate) fn has_kernels<const D: usize>(x: &Tensor<D>) -> bool {
    format_of(x.dtype()).is_some() && x.dims()[D - 1].is_multiple_of(2 * EIGHT) && on_gpu(&x.device())
}

/// The format of a number type that the kernels know.
pub(super) fn format_of(dtype: DType) -> Option<Format> {
    match dtype {
        DType::F32 => Some(Format::F32),
        DType::BF16 => Some(Format::Bf16),
        _ => None,
    }
}

/// What an operation does where it cannot return an error: burn's operations do not, and end the thread.
#[track_caller]
pub(super) fn must<T>(result: Result<T, CudaError>) -> T {
    #[allow(clippy::panic, reason = "an operation of burn has no other way to fail")]
    result.unwrap_or_else(|error| panic!("{error}"))
}

/// The format of a tensor that [`has_kernels`] let through.
pub(super) fn format(tensor: &CubeTensor) -> Format {
    must(
        format_of(tensor.dtype)
            .ok_or_else(|| CudaError::Backend(format!("no kernels for {:?}", tensor.dtype))),
    )
}

/// The device of a tensor.
pub(super) fn gpu(tensor: &CubeTensor) -> Arc<Mutex<Gpu>> {
    let CubeDevice::Cuda(device) = &tensor.device else {
        return must(Err(CudaError::Backend(format!("{:?} is no CUDA device", tensor.device))));
    };
    must(Gpu::of(device.index))
}

/// The same values, row after row.
pub(super) fn contiguous(tensor: CubeTensor) -> CubeTensor {
    if tensor.is_contiguous() { tensor } else { into_contiguous(tensor) }
}

/// The same values, row after row, in the number type of `like`.
pub(super) fn alike(tensor: CubeTensor, like: &CubeTensor) -> CubeTensor {
    in_dtype(tensor, like.dtype)
}

/// The same values, row after row, in a number type.
pub(super) fn in_dtype(tensor: CubeTensor, dtype: DType) -> CubeTensor {
    if tensor.dtype == dtype {
        contiguous(tensor)
    } else {
        contiguous(Cube::float_cast(tensor, dtype.into()))
    }
}

/// Whole numbers of 32 bits, row after row.
pub(super) fn indices(tensor: IntTensor<Cube>) -> CubeTensor {
    contiguous(if tensor.dtype == DType::I32 { tensor } else { Cube::int_cast(tensor, IntDType::I32) })
}

/// A tensor of nothing in particular beside `like`.
pub(super) fn empty(shape: impl Into<Shape>, dtype: DType, like: &CubeTensor) -> FloatTensor<Cube> {
    let shape = shape.into();
    let handle = like.client.empty(shape.num_elements() * dtype.size());
    CubeTensor::new_contiguous(like.client.clone(), like.device.clone(), shape, handle, dtype)
}

/// The same in the shape and number type of `like`.
pub(super) fn empty_like(like: &CubeTensor) -> FloatTensor<Cube> {
    empty(like.shape(), like.dtype, like)
}

/// The length of the last axis.
pub(super) fn width(tensor: &CubeTensor) -> usize {
    tensor.shape().iter().last().copied().unwrap_or(1)
}

/// How many rows of that length there are.
pub(super) fn rows(tensor: &CubeTensor) -> usize {
    tensor.shape().num_elements() / width(tensor).max(1)
}

/// Enqueues work on tensors, by their addresses. Everything that the backend was given before comes first.
///
/// The address of each stays its own while `work` runs; after that, events keep what the backend enqueues behind it. All of
/// it runs on the backend's own thread, which answers questions about its tensors at once there: from another thread each
/// would wait for its turn.
pub(super) fn enqueue<const N: usize>(
    tensors: [&CubeTensor; N],
    work: impl FnOnce(&mut Gpu, [u64; N]) -> Result<(), CudaError> + Send,
) {
    let device = gpu(tensors[0]);
    let failed = |error: ServerError| CudaError::Backend(error.to_string());
    let enqueued = tensors[0].client.exclusive(|| {
        let held = tensors.map(|tensor| {
            tensor.client.get_resource::<<CudaRuntime as Runtime>::Server>(tensor.handle.clone())
        });
        let mut addresses = [0; N];
        for (address, held) in addresses.iter_mut().zip(&held) {
            *address = held.as_ref().map_err(|error| failed(error.clone()))?.resource().ptr;
        }
        Gpu::between(&device, |gpu| work(gpu, addresses))
    });
    must(enqueued.map_err(failed).and_then(|done| done));
}
