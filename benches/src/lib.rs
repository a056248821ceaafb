//! Benchmarks: ratios measured side by side in one run, one binary a subject.
//!
//! - `step`: a training step, block by block, against the same step over one whole graph.
