//! A device with our stream, kernels and matrix products on it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use cudarc::driver::{
    result,
    sys::{
        self, CUcontext, CUdevice, CUdevice_attribute, CUevent, CUevent_flags, CUevent_wait_flags, CUstream,
    },
};

use super::{
    CudaError,
    matrix::Matrices,
    module::{Arg, Module, Spread},
};

const ROWS: &str = include_str!("kernels/rows.cu");
const ATTENTION: &str = concat!(include_str!("kernels/hopper.cuh"), include_str!("kernels/attention.cu"));

/// The first compute capability that multiplies bf16.
const OLDEST: (i32, i32) = (8, 0);

/// A device in use.
#[derive(Debug)]
pub(crate) struct Gpu {
    context: CUcontext,
    /// Bytes that nobody used when this process came.
    free_at_first: u64,
    stream: CUstream,
    /// What the backend had enqueued when we began.
    before: CUevent,
    /// What we have enqueued.
    after: CUevent,
    rows: Module,
    /// On Hopper only.
    attention: Option<Module>,
    matrices: Matrices,
}

// SAFETY: a context and what belongs to it may be used from any thread that makes the context current, which `between`
// does; a mutex keeps it to one thread at a time.
unsafe impl Send for Gpu {}

/// What a device is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GpuDescription {
    /// Its name, such as `NVIDIA H100 80GB HBM3`.
    pub name: String,
    /// Its compute capability.
    pub capability: (i32, i32),
    /// Whether attention has kernels for it.
    pub has_attention: bool,
}

/// The memory of a device, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GpuMemory {
    /// What nobody uses.
    pub free: u64,
    /// What nobody used when this process first asked.
    pub free_at_first: u64,
    /// All of it.
    pub total: u64,
}

/// Makes device `index` ready, unless it is, and says what it is. Everything that can be missing is noticed here.
///
/// # Errors
/// If the driver, NVRTC, cuBLASLt, CUDA's headers or the device are missing, or refuse to work.
pub fn describe(index: usize) -> Result<GpuDescription, CudaError> {
    let gpu = Gpu::of(index)?;
    let device = result::device::get(index as i32).map_err(CudaError::driver("cuDeviceGet"))?;
    let name = result::device::get_name(device).map_err(CudaError::driver("cuDeviceGetName"))?;
    let has_attention = lock(&gpu).attention.is_some();
    Ok(GpuDescription { name, capability: capability(device)?, has_attention })
}

/// The memory of device `index`, as the driver sees it: what this process holds in reserve counts as used.
///
/// # Errors
/// As [`describe`].
pub fn memory(index: usize) -> Result<GpuMemory, CudaError> {
    let gpu = Gpu::of(index)?;
    let gpu = lock(&gpu);
    gpu.enter()?;
    let (free, total) = result::mem_get_info().map_err(CudaError::driver("cuMemGetInfo"))?;
    Ok(GpuMemory { free: free as u64, free_at_first: gpu.free_at_first, total: total as u64 })
}

/// The devices in use.
static GPUS: Mutex<BTreeMap<usize, Arc<Mutex<Gpu>>>> = Mutex::new(BTreeMap::new());

/// A thread that panicked while it held a device left nothing half done that the next one would notice: an operation is
/// enqueued or it is not.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn capability(device: CUdevice) -> Result<(i32, i32), CudaError> {
    let attribute = |which| {
        // SAFETY: the device exists.
        unsafe { result::device::get_attribute(device, which) }
            .map_err(CudaError::driver("cuDeviceGetAttribute"))
    };
    let major = attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
    let minor = attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
    Ok((major, minor))
}

/// What must be on the machine.
fn require_libraries() -> Result<(), CudaError> {
    let missing = |library, remedy| Err(CudaError::Missing { library, remedy });
    // SAFETY: looking for a library runs its initialisers, which NVIDIA's are made for.
    let (driver, nvrtc, blas) = unsafe {
        (
            cudarc::driver::sys::is_culib_present(),
            cudarc::nvrtc::sys::is_culib_present(),
            cudarc::cublaslt::sys::is_culib_present(),
        )
    };
    if !driver {
        return missing("libcuda", "install NVIDIA's driver, 580 or later");
    }
    if !nvrtc {
        return missing(
            "libnvrtc",
            "install the CUDA toolkit 13, or put its lib64 folder on LD_LIBRARY_PATH",
        );
    }
    if !blas {
        return missing(
            "libcublasLt",
            "install the CUDA toolkit 13, or put its lib64 folder on LD_LIBRARY_PATH",
        );
    }
    // The backend compiles its own kernels, which include CUDA's headers.
    match cubecl::cuda::install::cuda_path() {
        Some(path) if path.join("include/cuda_runtime.h").exists() => Ok(()),
        _ => missing(
            "CUDA's headers",
            "install the CUDA toolkit 13 in /usr/local/cuda, or set CUDA_PATH to where it is",
        ),
    }
}

impl Gpu {
    /// Device `index`, made ready at its first use.
    pub(crate) fn of(index: usize) -> Result<Arc<Mutex<Self>>, CudaError> {
        let mut gpus = lock(&GPUS);
        if let Some(gpu) = gpus.get(&index) {
            return Ok(gpu.clone());
        }
        let gpu = Arc::new(Mutex::new(Self::new(index)?));
        gpus.insert(index, gpu.clone());
        Ok(gpu)
    }

    fn new(index: usize) -> Result<Self, CudaError> {
        require_libraries()?;
        result::init().map_err(CudaError::driver("cuInit"))?;
        let count = result::device::get_count().map_err(CudaError::driver("cuDeviceGetCount"))? as usize;
        if index >= count {
            return Err(CudaError::NoDevice { index, count });
        }
        let device = result::device::get(index as i32).map_err(CudaError::driver("cuDeviceGet"))?;
        // SAFETY: the device exists; its primary context, which the backend uses too, is held for good.
        let context = unsafe {
            let context =
                result::primary_ctx::retain(device).map_err(CudaError::driver("cuDevicePrimaryCtxRetain"))?;
            result::ctx::set_current(context).map_err(CudaError::driver("cuCtxSetCurrent"))?;
            context
        };
        let (free, _) = result::mem_get_info().map_err(CudaError::driver("cuMemGetInfo"))?;
        let event = || {
            result::event::create(CUevent_flags::CU_EVENT_DISABLE_TIMING)
                .map_err(CudaError::driver("cuEventCreate"))
        };
        let (major, minor) = capability(device)?;
        if (major, minor) < OLDEST {
            return Err(CudaError::TooOld { capability: (major, minor), oldest: OLDEST });
        }
        // Warpgroup products are machine code for this one capability.
        let attention = (major, minor) == (9, 0);
        Ok(Self {
            context,
            free_at_first: free as u64,
            stream: result::stream::create(result::stream::StreamKind::NonBlocking)
                .map_err(CudaError::driver("cuStreamCreate"))?,
            before: event()?,
            after: event()?,
            rows: Module::new("rows.cu", ROWS, &format!("sm_{major}{minor}"))?,
            attention: attention.then(|| Module::new("attention.cu", ATTENTION, "sm_90a")).transpose()?,
            matrices: Matrices::new()?,
        })
    }

    fn enter(&self) -> Result<(), CudaError> {
        // SAFETY: the context is held for good.
        unsafe { result::ctx::set_current(self.context) }.map_err(CudaError::driver("cuCtxSetCurrent"))
    }

    /// Enqueues `work` after all that the context has been given so far, and before all that it is given later.
    pub(crate) fn between<T>(
        gpu: &Mutex<Self>,
        work: impl FnOnce(&mut Self) -> Result<T, CudaError>,
    ) -> Result<T, CudaError> {
        let mut gpu = lock(gpu);
        gpu.enter()?;
        let wait = CUevent_wait_flags::CU_EVENT_WAIT_DEFAULT;
        // SAFETY: context, stream and events belong together and live on.
        unsafe {
            sys::cuCtxRecordEvent(gpu.context, gpu.before)
                .result()
                .map_err(CudaError::driver("cuCtxRecordEvent (driver 555 or later)"))?;
            result::stream::wait_event(gpu.stream, gpu.before, wait)
                .map_err(CudaError::driver("cuStreamWaitEvent"))?;
        }
        let done = work(&mut gpu)?;
        // SAFETY: as above.
        unsafe {
            result::event::record(gpu.after, gpu.stream).map_err(CudaError::driver("cuEventRecord"))?;
            sys::cuCtxWaitEvent(gpu.context, gpu.after)
                .result()
                .map_err(CudaError::driver("cuCtxWaitEvent"))?;
        }
        Ok(done)
    }

    /// Locks memory of the host into its pages, for the device to read by itself.
    pub(crate) fn lock_pages(gpu: &Mutex<Self>, memory: &mut [u8]) -> Result<(), CudaError> {
        lock(gpu).enter()?;
        // SAFETY: the memory exists; its values stay what they are.
        unsafe { sys::cuMemHostRegister_v2(memory.as_mut_ptr().cast(), memory.len(), 0) }
            .result()
            .map_err(CudaError::driver("cuMemHostRegister"))
    }

    /// Gives back what [`lock_pages`](Self::lock_pages) locked.
    pub(crate) fn unlock_pages(gpu: &Mutex<Self>, memory: &mut [u8]) -> Result<(), CudaError> {
        lock(gpu).enter()?;
        // SAFETY: the driver knows whether it locked this, and refuses if not.
        unsafe { sys::cuMemHostUnregister(memory.as_mut_ptr().cast()) }
            .result()
            .map_err(CudaError::driver("cuMemHostUnregister"))
    }

    /// Whether attention has kernels here.
    pub(crate) fn has_attention(gpu: &Mutex<Self>) -> bool {
        lock(gpu).attention.is_some()
    }

    /// Launches a kernel of `rows.cu`.
    ///
    /// # Safety
    /// As [`Module::launch`].
    pub(crate) unsafe fn rows(
        &mut self,
        name: &'static str,
        spread: Spread,
        args: &mut [Arg],
    ) -> Result<(), CudaError> {
        // SAFETY: the caller's.
        unsafe { self.rows.launch(name, spread, self.stream, args) }
    }

    /// Launches a kernel of `attention.cu`, where there is one.
    ///
    /// # Safety
    /// As [`Module::launch`].
    pub(crate) unsafe fn attention(
        &mut self,
        name: &'static str,
        spread: Spread,
        args: &mut [Arg],
    ) -> Result<(), CudaError> {
        match &mut self.attention {
            // SAFETY: the caller's.
            Some(module) => unsafe { module.launch(name, spread, self.stream, args) },
            None => Err(CudaError::Missing { library: "attention.cu", remedy: "a Hopper GPU has it" }),
        }
    }

    /// The matrix products, and the stream that they go into.
    pub(crate) fn matrices(&mut self) -> (&mut Matrices, CUstream) {
        (&mut self.matrices, self.stream)
    }
}
