//! Crash runs: a tiny training is killed at random moments, goes on, is killed again, and must end with the bytes of one
//! that was never disturbed.
//!
//! [`run`] starts workers, which are the same program again and do [`work`]: a whole run of the product, which tells its
//! stages and snapshots line by line. The judge is put to the test, too: states that are spoilt in ways that a resume
//! could get wrong must make a difference that it sees. Last, every operation of the disk during a save fails in turn.

mod control;
mod driver;
mod faults;
mod judge;
mod process;
mod report;
mod spoil;
mod worker;

use std::{io, path::PathBuf};

pub use driver::{Plan, run};
pub use report::{Control, Report};
pub use worker::{Orders, work};

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum CrashError {
    /// A run that nothing disturbed did not end well, so there is nothing to compare with.
    #[error("the undisturbed run failed: {0}")]
    Undisturbed(String),
    /// A worker did something else than it was asked to.
    #[error("a worker {0}")]
    Worker(String),
    /// A file of a run is not what it should be.
    #[error("cannot spoil {}: {reason}", path.display())]
    Spoil {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The product failed where it should not.
    #[error("{0}")]
    Product(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The machine failed.
    #[error("cannot run: {0}")]
    Io(#[from] io::Error),
}
