//! The command as its users meet it: arguments in; exit code, answer and files out.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test helper fails its test")]

mod bad_inputs;
mod checkpoints;
mod command_line;
mod debug_dataset;
mod doctor;
mod download;
mod frames;
mod inspect;
#[cfg(unix)]
mod interruption;
#[cfg(unix)]
mod previews;
mod rejections;
mod resuming;
mod sandbox;
mod training;
mod validation;
