//! What goes wrong with a GPU.

use cudarc::{cublaslt::result::CublasError, driver::DriverError, nvrtc::result::NvrtcError};

/// A GPU, or the software that drives it, cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CudaError {
    /// A library is not on this machine.
    #[error("{library} cannot be found: {remedy}")]
    Missing {
        /// Its name.
        library: &'static str,
        /// What to install, or to set.
        remedy: &'static str,
    },
    /// There is no such device.
    #[error("there is no CUDA device {index}: this machine has {count}")]
    NoDevice {
        /// The device that was asked for.
        index: usize,
        /// How many there are.
        count: usize,
    },
    /// The device cannot multiply bf16.
    #[error(
        "this GPU has compute capability {}.{}: {}.{} or later is needed, Ampere's, for bf16",
        .capability.0, .capability.1, .oldest.0, .oldest.1
    )]
    TooOld {
        /// The device's compute capability.
        capability: (i32, i32),
        /// The first that will do.
        oldest: (i32, i32),
    },
    /// The driver refused a call.
    #[error("the CUDA driver refused {call}: {source}")]
    Driver {
        /// What was called.
        call: &'static str,
        /// What it said.
        source: DriverError,
    },
    /// cuBLASLt refused a matrix product.
    #[error("cuBLASLt refused {call}: {source}")]
    Blas {
        /// What was called, with its sizes.
        call: String,
        /// What it said.
        source: CublasError,
    },
    /// NVRTC did not compile a kernel.
    #[error("NVRTC cannot compile {name} for {target}: {source}\n{log}")]
    Compile {
        /// The file of kernels.
        name: &'static str,
        /// The architecture.
        target: String,
        /// What it said.
        source: NvrtcError,
        /// Its messages.
        log: String,
    },
    /// The backend refused a buffer.
    #[error("the CUDA backend refused a buffer: {0}")]
    Backend(String),
}

impl CudaError {
    /// An error of a driver's call.
    pub(crate) fn driver(call: &'static str) -> impl Fn(DriverError) -> Self {
        move |source| Self::Driver { call, source }
    }
}
