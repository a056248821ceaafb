//! Kernels of the CPU backend: what its chains of element-wise operations would read and write many times over is
//! done in one pass here, in float32, over bands of rows in parallel, with the widest instructions of the machine.

pub(crate) mod activation;
pub(crate) mod attention;
mod exp;
pub(crate) mod linear;
mod matrix;
pub(crate) mod norm;
mod ops;
pub(crate) mod parallel;
mod reduce;
pub(crate) mod tensor;
