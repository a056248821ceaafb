//! Benchmarks: ratios measured side by side in one run, one binary a subject.
//!
//! - `step`: a training step, block by block, against the same step over one whole graph.
//! - `masks`: what each rule for masks leaves of the white, and what it regenerates besides.
//! - `preprocess`: decoding and fitting a clip, against the `ffmpeg` command.
