//! The video VAE: pixels to normalised latents and back.
//!
//! [`VideoEncoder`] and [`VideoDecoder`] are read from a checkpoint; the layers that they are made of are public
//! too, with constructors from plain tensors. Shapes: `[B, C, F, H, W]`; a latent frame stands for 8 frames (the
//! first one for a single frame), a latent cell for 32 x 32 pixels.

mod blend;
mod block_list;
mod blocks;
mod config;
mod conv;
mod decoder;
mod encoder;
mod memory;
mod patch;
mod resample;
mod statistics;
mod tiled;
mod tiling;

pub use blocks::{ResBlock, pixel_norm};
pub use config::{Compression, VaeBlock, VaeConfig};
pub use conv::{CausalConv3d, ConvPadding, SpatialPadding};
pub use decoder::VideoDecoder;
pub use encoder::VideoEncoder;
pub use patch::{patchify, pixel_value, pixels_to_tensor, tensor_to_pixels, unpatchify};
pub use resample::{Downsample, Upsample};
pub use statistics::LatentStatistics;
pub use tiling::{Interval, Tile, Tiling, TilingError};

/// The prefix of the VAE's keys: stand-alone files leave `vae.` out.
fn key_prefix(checkpoint: &crate::Checkpoint) -> &'static str {
    if checkpoint.keys().any(|key| key.starts_with("vae.")) { "vae." } else { "" }
}
