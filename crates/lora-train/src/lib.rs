//! Latent examples become a LoRA.
//!
//! Give [`train`] a [`LatentSource`](tensor_batch::LatentSource) (a [`LatentCache`] on disk, or an in-memory set in
//! a test), a [`Transformer`](ltx_model::Transformer) and a [`TrainPlan`]; it yields [`TrainEvent`]s on the way and
//! a [`TrainedLora`] at the end, which [`adapters::to_safetensors`] turns into the file that other tools read.
//!
//! A run that must not be lost is a [`Trainer`], which goes on from a [`TrainState`]; [`Snapshots`] keep its state on disk,
//! each with a [`Fingerprint`] that says which run it is of. A run that goes on from a snapshot ends with the same bytes
//! as one that was never interrupted.
//!
//! [`inpaint`] shows what adapters do, and [`read_lora`] takes them from a file.
//!
//! The maths is in [`maths`], an equation a function. Gradients come block by block ([`step`]), so that memory grows
//! with one block and not with the depth. Every draw is a function of (seed, purpose, index) ([`random`]).
//!
//! This crate does not know how latents were made: no video, no images, no archives, no network.
#![forbid(unsafe_code)]

pub mod adapters;
mod cache;
mod digest;
mod error;
mod event_file;
mod files;
mod fingerprint;
mod inpaint;
pub mod inspect;
mod lora_file;
mod losses;
pub mod maths;
pub mod memory;
pub mod optimizer;
mod plan;
pub mod random;
mod sealed;
mod snapshot;
mod state;
pub mod step;
mod train;

pub use cache::{
    CacheEntry, CacheError, LatentCache, LatentCacheWriter, parse_latent_example, write_latent_example,
};
pub use digest::{Digest, DigestBuilder};
pub use error::TrainError;
pub use event_file::EventFile;
pub use files::{Disk, RealDisk, write_whole, write_whole_with};
pub use fingerprint::{Difference, Fingerprint};
pub use inpaint::{InpaintPlan, inpaint};
pub use lora_file::{LoraFileError, read_lora};
pub use losses::Losses;
pub use plan::TrainPlan;
pub use snapshot::{DamagedSnapshot, Latest, Snapshot, SnapshotError, Snapshots};
pub use state::TrainState;
pub use train::{
    Evaluation, Keep, Largest, Observe, Pace, Rehearsal, StepReport, TrainEvent, TrainedLora, Trainer, train,
};
