//! Any mask becomes an edit mask on its clip's grid, then a latent mask.
//!
//! A mask is an image, which holds for every frame, or a video. WHITE means regenerate; a pixel is white if the mean
//! of its channels, with transparency laid over black, is at least half of full scale. What a mask shows is decided
//! at its own resolution; from then on there are only white and black.
//!
//! 1. Read it: [`MaskFrame::from_image`] takes the bytes of a PNG, JPEG, BMP or WebP file; a video's frames come from
//!    whoever decodes it.
//! 2. Lay it over its clip: [`MaskFrame::hold`] and [`from_frames`] follow the clip's own [`FitPlan`], so that mask
//!    and picture stay in register. The mask covers the whole clip whatever its size. It is scaled and cropped in one
//!    resampling, and a fitted pixel is white if its footprint on the mask holds *any* white. A video is first brought
//!    to its clip's frame count ([`TimeFit`] says how), then to the clip's frames.
//! 3. Bring it to latent cells: [`cover`] regenerates a cell if any of its pixels in any of its frames is white, so
//!    that nothing painted white is ever given as conditioning. [`latent_mask`] turns that over into what the model
//!    keeps.
//!
//! ```
//! use mask_norm::{ImageLimits, MaskFrame, latent_mask};
//! use tensor_batch::{Bucket, FitPlan, FrameCount, FrameList, FrameRate, Size};
//!
//! // A mask of 128x72 pixels, white in its right half.
//! let picture = image::GrayImage::from_fn(128, 72, |x, _| image::Luma([if x < 64 { 0 } else { 255 }]));
//! let mut png = std::io::Cursor::new(Vec::new());
//! picture.write_to(&mut png, image::ImageFormat::Png)?;
//!
//! // Its clip has 1280x720 pixels and 30 frames, and goes into a square bucket.
//! let bucket = Bucket::new(64, 64, FrameCount::new(9)?)?;
//! let frames = FrameList::first(bucket.frames(), 30).ok_or("too short")?;
//! let plan = FitPlan::new(Size { width: 1280, height: 720 }, bucket, frames, FrameRate::new(24.0)?);
//!
//! let mask = MaskFrame::from_image(png.get_ref(), &ImageLimits::default())?.hold(&plan);
//! assert_eq!(mask.dims(), [9, 64, 64]);
//! let latent = latent_mask(&mask).ok_or("nothing to regenerate")?;
//! assert_eq!(latent.keep().dims(), [2, 2, 2]);
//! assert_eq!(latent.generated(), 0.5);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Reference`] is the official trainer's rule as it is, for comparison only.
//!
//! [`FitPlan`]: tensor_batch::FitPlan
#![forbid(unsafe_code)]

mod error;
mod fit;
mod frame;
mod image_file;
mod latent;
mod reference;
mod time;

pub use error::MaskError;
pub use frame::MaskFrame;
pub use image_file::ImageLimits;
pub use latent::{cover, latent_mask};
pub use reference::{Reference, Scaling};
pub use time::{TimeFit, VideoMask, from_frames};
