//! Kernels of the CPU backend, in float32, over bands of rows in parallel, with the widest instructions of the machine.

pub(crate) mod attention;
mod exp;
mod matrix;
mod reduce;
mod simd;
pub(crate) mod tensor;
