//! Memory of the host that stays where it is, so that a GPU reads it by itself while everybody else works.

use std::{
    mem::MaybeUninit,
    slice,
    sync::{Arc, Mutex},
};

use burn::tensor::{AllocationProperty, Bytes};
use cubecl::bytes::{AccessError, AccessPolicy, AllocationController};

use super::gpu::Gpu;

/// Below this, bytes, the driver's own copy takes no time that matters, and memory shares its pages with others'.
const LEAST: usize = 1 << 20;

/// `bytes` locked for the GPU `index` as long as they live. They stay as they are if they are few, or if the driver
/// refuses: then it copies them once more on their way, which costs time alone.
pub(crate) fn page_locked(mut bytes: Bytes, index: usize) -> Bytes {
    let gpu = if bytes.len() < LEAST { None } else { Gpu::of(index).ok() };
    let Some(gpu) = gpu.filter(|gpu| Gpu::lock_pages(gpu, &mut bytes).is_ok()) else { return bytes };
    let length = bytes.len();
    // SAFETY: what is locked is as long as it was, and all of it has values.
    unsafe { Bytes::from_controller(Box::new(Locked { bytes, gpu }), length) }
}

/// Locked memory.
struct Locked {
    bytes: Bytes,
    gpu: Arc<Mutex<Gpu>>,
}

impl Drop for Locked {
    fn drop(&mut self) {
        // If the driver refuses, the pages stay locked until the process ends.
        let _ = Gpu::unlock_pages(&self.gpu, &mut self.bytes);
    }
}

impl AllocationController for Locked {
    fn alloc_align(&self) -> usize {
        self.bytes.align()
    }

    /// The backend then copies from here, and not from a copy of its own.
    fn property(&self) -> AllocationProperty {
        AllocationProperty::Pinned
    }

    unsafe fn memory_mut(&mut self, _: AccessPolicy) -> Result<&mut [MaybeUninit<u8>], AccessError> {
        let bytes: &mut [u8] = &mut self.bytes;
        // SAFETY: of the same size and place; the caller writes values only.
        Ok(unsafe { slice::from_raw_parts_mut(bytes.as_mut_ptr().cast(), bytes.len()) })
    }

    fn memory(&self, _: AccessPolicy) -> Result<&[MaybeUninit<u8>], AccessError> {
        let bytes: &[u8] = &self.bytes;
        // SAFETY: of the same size and place, and every byte has a value.
        Ok(unsafe { slice::from_raw_parts(bytes.as_ptr().cast(), bytes.len()) })
    }
}
