//! What a device is asked before it is used.

use burn::tensor::Device;

/// Bytes that were free on `device` before this process took any; none where a device has no memory of its own, or none
/// that is known.
pub fn device_memory(device: &Device) -> Option<u64> {
    #[cfg(feature = "cuda")]
    if let Some(index) = crate::cuda::index_of(device) {
        return crate::cuda::memory(index).ok().map(|memory| memory.free_at_first);
    }
    let _ = device;
    None
}

/// Whether `device` can be used, before anything is loaded: its driver, its libraries, and its kernels.
///
/// # Errors
/// [`ModelError::Device`](crate::ModelError::Device) with what is missing, and what to install.
pub fn check_device(device: &Device) -> Result<(), crate::ModelError> {
    #[cfg(feature = "cuda")]
    if let Some(index) = crate::cuda::index_of(device) {
        let unusable = |error: crate::cuda::CudaError| crate::ModelError::Device(error.to_string());
        return crate::cuda::describe(index).map(drop).map_err(unusable);
    }
    let _ = device;
    Ok(())
}
