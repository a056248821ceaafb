//! Mutation runs: inputs that are spoilt with knowledge of their formats, and a judge of what becomes of them.
//!
//! A case is a function of (seed, target, case number). [`run`] starts workers, which are the same program again,
//! watches them, and makes a [`Row`] of what they tell; so a crash of a C library is one more finding, and no end. A
//! worker runs [`work`]: first good inputs, which must be accepted and give the baseline of memory, then case by case.
//!
//! Wrong is, with whatever input: a panic, a process that dies, no result in time, memory far over the baseline, an
//! error that is not the request's fault or cannot be shown, a file outside the work folder.

mod archive;
mod avi;
mod bmp;
mod bytes;
mod control;
mod driver;
mod ebml;
mod image;
mod job;
mod jpeg;
mod judge;
mod memory;
mod mp4;
mod png;
mod report;
mod request;
mod riff;
mod seeds;
mod target;
mod tree;
mod video;
mod webp;
mod worker;
mod zip_file;

use std::io;

use crate::random;

pub use driver::{Plan, run};
pub use report::{Fault, Finding, Row, table};
pub use worker::{Orders, work};

/// A path outside of every work folder, which some inputs ask to write to.
const ESCAPE: &str = "/tmp/inpaint-fuzz-escape";

/// The names of all targets, with the share of time that each gets, in percent.
pub fn targets() -> impl Iterator<Item = (&'static str, u64)> {
    target::TARGETS.into_iter()
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum FuzzError {
    /// There is no such target.
    #[error("there is no target `{0}`")]
    UnknownTarget(String),
    /// An input that is not spoilt was not accepted.
    #[error("target `{target}`: {text}")]
    BadSeed {
        /// The target.
        target: String,
        /// Which input, and why.
        text: String,
    },
    /// A worker broke off where no case is to blame.
    #[error("a worker {0}")]
    Worker(String),
    /// The machine failed.
    #[error("cannot run: {0}")]
    Io(#[from] io::Error),
}
