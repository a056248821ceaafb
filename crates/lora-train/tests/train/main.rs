//! Training on an in-memory source, with the tiny model.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a helper of a test fails by panicking")]

mod evaluation;
mod hosted;
mod rehearsal;
mod resume;
mod source;
mod training;
