//! LTX-2.3 as published, video stream: transformer, video VAE, text encoder and checkpoint files, on burn.
//!
//! Open a [`Checkpoint`], read a component from it, run it. A component takes its configuration from the file's
//! metadata and its weights by their published keys; tiny and real checkpoints go the same way. The device is a
//! value that the caller passes down.
//!
//! Shapes: B batch, T video tokens, S context tokens, D inner width, H heads, d = D / H; `F' H' W'` latent cells.
//!
//! This crate knows no datasets, no images and no video files.

mod attention;
mod checkpoint;
mod config;
mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;
mod device;
mod error;
mod frozen;
mod fused;
mod gated_attention;
mod host;
mod host_buffer;
mod hosted;
mod int8;
mod linear;
mod lora;
mod norm;
pub mod operations;
mod precision;
mod rope;
mod sampler;
mod settings;
mod tensor_file;
mod text;
mod timestep;
mod transformer;
mod vae;
mod visits;
mod weights;
mod widen;

pub use burn::tensor::Device;
pub use checkpoint::{Checkpoint, Wanted};
pub use config::TransformerConfig;
pub use device::{check_device, device_memory};
pub use error::{ModelError, Setting, WeightFaults};
pub use fused::vector_jacobian;
pub use host::to_host;
pub use lora::{AttentionLora, BlockLora, LORA_TARGETS, LoraPair, TransformerLora};
pub use precision::{BasePrecision, UnknownPrecision};
pub use rope::{Positions, Rope, rope_frequencies};
pub use sampler::{
    Guidance, Inpainting, Prompts, SCHEDULE_TOKENS, STG_BLOCK, SampleStep, Sampler, Schedule, ScheduleTokens,
    sigma_schedule,
};
pub use text::*;
pub use timestep::{AdaLayerNormSingle, TokenTimesteps, sinusoid};
pub use transformer::{Block, Conditions, Transformer, TransformerInput};
pub use vae::*;
pub use visits::Visits;
