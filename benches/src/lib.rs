//! Benchmarks: ratios measured side by side in one run, one binary a subject.
//!
//! - `step`: a training step, by turns with the same step in PyTorch; its memory, predicted and measured.
//! - `gpu`: a GPU: whether its numbers are right, and what a training step costs at the published width.
//! - `real`: loading a checkpoint of the published widths, and a step of two of its blocks in every precision.

pub mod case;
pub mod examples;
pub mod golden;
pub mod process;
pub mod published;
pub mod rates;
