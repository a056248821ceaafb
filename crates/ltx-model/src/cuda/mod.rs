//! Kernels of NVIDIA GPUs: the same operations as on the CPU, in bf16 or float32, with float32 inside.
//!
//! Memory, and every operation that has no kernel here, are those of burn's CUDA backend. Matrix products are
//! cuBLASLt's, and those of float32 are full float32: the backend's own would be tuned by the clock, among them kernels
//! that round to ten bits (TF32). Convolutions are sums of such products. Element-wise chains and attention are CUDA C++ (`kernels/`), compiled by NVRTC when a device is first
//! used. All of it runs on a stream of our own: events order it after what the backend enqueued before and before what
//! it enqueues next, and the host never waits (`gpu::Gpu::between`).
//!
//! Attention of heads of 128 channels has kernels for Hopper (compute capability 9.0); elsewhere it is composed of the
//! backend's operations, some queries at a time.

mod attention;
mod convolution;
mod error;
mod gpu;
mod locked;
mod matrix;
mod module;
mod ops;
mod tensor;

pub(crate) use convolution::{convolution, convolves};
pub use error::CudaError;
pub use gpu::{GpuDescription, GpuMemory, describe, memory};
pub(crate) use locked::page_locked;
pub(crate) use tensor::{has_kernels, index_of, on_gpu};
