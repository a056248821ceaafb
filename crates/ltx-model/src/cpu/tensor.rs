//! Between the backend's tensors and slices.

use std::ops::Range;

use burn::{
    backend::{
        DispatchDevice, TensorMetadata,
        flex::{FlexTensor, Layout},
    },
    tensor::{Bytes, DType, Device, Shape},
};
use half::bf16;

/// Whether tensors of `device`, with or without gradients, are the CPU backend's.
pub(crate) fn on_cpu(device: &Device) -> bool {
    matches!(device.clone().inner().as_dispatch(), DispatchDevice::Flex(_))
}

/// Whether the kernels can take all of these: float32, and no axis runs backwards.
pub(crate) fn all_plain(tensors: &[&FlexTensor]) -> bool {
    tensors.iter().all(|tensor| tensor.dtype() == DType::F32 && tensor.layout().has_positive_strides())
}

/// The same values, row after row.
pub(crate) fn contiguous(tensor: FlexTensor) -> FlexTensor {
    if tensor.is_contiguous() { tensor } else { tensor.to_contiguous() }
}

/// The values of a tensor that went through [`contiguous`].
pub(crate) fn values(tensor: &FlexTensor) -> &[f32] {
    &tensor.storage::<f32>()[range(tensor)]
}

/// The same of bf16.
pub(crate) fn halves(tensor: &FlexTensor) -> &[bf16] {
    &tensor.storage::<bf16>()[range(tensor)]
}

/// The same of 8-bit integers.
pub(crate) fn small_integers(tensor: &FlexTensor) -> &[i8] {
    &tensor.storage::<i8>()[range(tensor)]
}

fn range(tensor: &FlexTensor) -> Range<usize> {
    let start = tensor.layout().start_offset();
    start..start + tensor.layout().num_elements()
}

/// The same of whole numbers.
pub(crate) fn indices(tensor: &FlexTensor) -> Vec<usize> {
    match tensor.dtype() {
        DType::I64 => tensor.storage::<i64>()[range(tensor)].iter().map(|i| *i as usize).collect(),
        _ => tensor.storage::<i32>()[range(tensor)].iter().map(|i| *i as usize).collect(),
    }
}

/// A tensor of `values`, row after row.
pub(crate) fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> FlexTensor {
    FlexTensor::new(Bytes::from_elems(values), Layout::contiguous(Shape::from(shape)), DType::F32)
}

/// A tensor of `values`, row after row, shaped as another.
pub(crate) fn like(values: Vec<f32>, other: &FlexTensor) -> FlexTensor {
    FlexTensor::new(Bytes::from_elems(values), Layout::contiguous(other.layout().shape().clone()), DType::F32)
}

/// A tensor of `[B, T, H, d]` values, seen as `[B, H, T, d]`.
pub(crate) fn heads_of_tokens(values: Vec<f32>, [batch, heads, tokens, width]: [usize; 4]) -> FlexTensor {
    let layout = Layout::contiguous(Shape::from([batch, tokens, heads, width])).transpose(1, 2);
    FlexTensor::new(Bytes::from_elems(values), layout, DType::F32)
}

/// The lengths of a tensor's axes.
///
/// # Panics
/// If it has another number of axes.
pub(crate) fn dims<const D: usize>(tensor: &FlexTensor) -> [usize; D] {
    tensor.shape().dims()
}
