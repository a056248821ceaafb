//! Tensors on the host.

use burn::tensor::Tensor;

/// The values of a float tensor, in row-major order, and its shape. Waits for the device.
pub fn to_host<const D: usize>(tensor: Tensor<D>) -> (Vec<f32>, [usize; D]) {
    let shape = tensor.dims();
    (tensor.into_data().iter::<f32>().collect(), shape)
}
