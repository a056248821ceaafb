//! Tensors that wait on the host for their turn on a GPU, and come to it without being copied on the host first.

use burn::{
    backend::{Flex, flex::FlexTensor},
    tensor::{BackendPrimitive, Bytes, Device, Tensor, TensorData, kind::Basic},
};

/// Kinds of tensors whose values the CPU backend can show.
pub(crate) trait Hosted: Basic + BackendPrimitive<Flex, Primitive = FlexTensor> {}

impl<K: Basic + BackendPrimitive<Flex, Primitive = FlexTensor>> Hosted for K {}

/// Makes `tensor`, which is on the host, ready to be brought to `device` many times: its clones share its memory, and a
/// GPU reads that by itself.
pub(crate) fn waiting<const D: usize, K: Hosted>(tensor: Tensor<D, K>, device: &Device) -> Tensor<D, K> {
    let host = tensor.device();
    let (bytes, shape, dtype) = tensor.into_data().into_parts();
    let data = TensorData::from_bytes(for_device(bytes, device), shape, dtype);
    Tensor::from_data(data, (&host, dtype))
}

fn for_device(bytes: Bytes, device: &Device) -> Bytes {
    #[cfg(feature = "cuda")]
    if let Some(index) = crate::cuda::index_of(device) {
        return crate::cuda::page_locked(bytes, index).shared();
    }
    let _ = device;
    bytes.shared()
}

/// `tensor` on `device`. The values of one that is [`waiting`] are not copied on the way.
pub(crate) fn brought<const D: usize, K: Hosted>(tensor: &Tensor<D, K>, device: &Device) -> Tensor<D, K> {
    if tensor.device() == *device {
        return tensor.clone();
    }
    match values(tensor) {
        Some(data) => {
            let dtype = data.dtype();
            Tensor::from_data(data, (device, dtype))
        }
        None => tensor.clone().to_device(device),
    }
}

/// The values of a tensor of the CPU that has its memory for itself, without a copy if it is [`waiting`].
fn values<const D: usize, K: Hosted>(tensor: &Tensor<D, K>) -> Option<TensorData> {
    let tensor = tensor.clone().try_into_primitive::<Flex>().ok()?;
    let layout = tensor.layout();
    let (shape, dtype) = (layout.shape().clone(), tensor.dtype());
    let whole = layout.is_contiguous() && layout.start_offset() == 0;
    let whole = whole && tensor.bytes().len() == layout.num_elements() * dtype.size();
    whole.then(|| TensorData::from_bytes(Bytes::clone(&tensor.data_arc()), shape, dtype))
}

#[cfg(test)]
mod tests {
    use burn::tensor::{DType, Int};

    use super::*;

    #[test]
    fn what_waits_is_shown_without_a_copy() {
        let device = Device::flex();
        let data = TensorData::new((0..600i32).map(|i| i as f32).collect::<Vec<_>>(), [20, 30]);
        let tensor: Tensor<2> = waiting(Tensor::from_data(data.clone(), (&device, DType::F32)), &device);
        let [once, again] = [values(&tensor).unwrap(), values(&tensor).unwrap()];
        assert_eq!((&once, &again), (&data, &data));
        assert_eq!(once.as_bytes().as_ptr(), again.as_bytes().as_ptr());
        // A part of it has not its memory for itself.
        assert!(values(&tensor.clone().narrow(1, 3, 4)).is_none());
        assert!(values(&tensor.clone().transpose()).is_none());
        // Whoever changes what it got changes nothing for the others.
        assert_eq!((tensor.clone() + 1.0).sum().into_scalar::<f32>(), 600.0 * 299.5 + 600.0);
        assert_eq!(tensor.into_data(), data);
    }

    #[test]
    fn whole_numbers_wait_too() {
        let device = Device::flex();
        let data = TensorData::new(vec![-3i8, 0, 5, 127], [2, 2]);
        let tensor: Tensor<2, Int> = waiting(Tensor::from_data(data.clone(), (&device, DType::I8)), &device);
        assert_eq!(values(&tensor), Some(data.clone()));
        assert_eq!(brought(&tensor, &device).into_data(), data);
    }
}
