//! The vocabulary between preprocessing and training, and the two contracts in its middle.
//!
//! Preprocessing produces a [`ClipSource`]: [`FittedClip`]s, whose pixels, mask and latent mask agree in every
//! size because the one constructor checks it. Training consumes a [`LatentSource`]: [`LatentExample`]s. Neither
//! side knows the other, and this crate knows neither files nor a tensor framework: it holds numbers with meaning
//! ([`FrameCount`], [`Bucket`], [`Rank`], [`FrameRate`]), the pure arithmetic of fitting ([`FitPlan`]), and pixels.
//!
//! ```
//! use tensor_batch::{AspectRatio, Bucket, FrameCount, Resolution};
//!
//! let frames = FrameCount::snapped(96)?;              // 89: down to 8k+1, never up
//! let bucket = Bucket::preset(Resolution::Medium, AspectRatio::Square, frames);
//! assert_eq!(bucket.to_string(), "768x768x89");
//! assert_eq!(bucket.latent_grid().tokens(), 12 * 24 * 24);
//! # Ok::<(), tensor_batch::OutOfRange>(())
//! ```
#![forbid(unsafe_code)]

mod bucket;
mod clip;
mod fault;
mod fit_plan;
mod frames;
mod latent;
mod mask;
mod name;
mod rank;

pub use bucket::{AspectRatio, Bucket, LatentGrid, Resolution, Size};
pub use clip::{Clip, ClipSource, FittedClip};
pub use fault::{Blame, Fault, OutOfRange, ShapeMismatch};
pub use fit_plan::{FitPlan, FrameList, Geometry};
pub use frames::{FrameCount, FrameRate, LatentFrames};
pub use latent::{LatentExample, LatentSource};
pub use mask::{Edit, Keep, LatentMask, Mask, Polarity};
pub use name::{Caption, Stem};
pub use rank::Rank;

/// Channels of an LTX latent.
pub const LATENT_CHANNELS: usize = 128;
/// Pixels of one latent cell along height and width.
pub const CELL_PIXELS: u32 = 32;
/// Pixel frames of one latent frame, after the first.
pub const CELL_FRAMES: u32 = 8;
