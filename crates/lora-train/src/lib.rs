//! Latent examples become a LoRA.
//!
//! Give [`train`] a [`LatentSource`](tensor_batch::LatentSource) (a [`LatentCache`] on disk, or an in-memory set in
//! a test), a [`Transformer`](ltx_model::Transformer) and a [`TrainPlan`]; it yields [`TrainEvent`]s on the way and
//! a [`TrainedLora`] at the end, which [`adapters::to_safetensors`] turns into the file that other tools read.
//!
//! The maths is in [`maths`], an equation a function. Gradients come block by block ([`step`]), so that memory grows
//! with one block and not with the depth. Every draw is a function of (seed, purpose, index) ([`random`]).
//!
//! This crate does not know how latents were made: no video, no images, no archives, no network.
#![forbid(unsafe_code)]

pub mod adapters;
mod cache;
mod files;
pub mod maths;
pub mod optimizer;
mod plan;
pub mod random;
pub mod step;
mod train;

pub use cache::{CacheError, LatentCache, LatentCacheWriter};
pub use files::{write_whole, write_whole_with};
pub use plan::TrainPlan;
pub use train::{StepReport, TrainError, TrainEvent, TrainedLora, fixed_loss, train};
