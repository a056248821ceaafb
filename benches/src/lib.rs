//! Benchmarks: ratios measured side by side in one run, one binary a subject.
//!
//! - `step`: a training step, by turns with the same step in PyTorch; its memory, predicted and measured.

pub mod case;
pub mod process;
