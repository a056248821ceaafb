//! Any mask becomes an edit mask on its clip's grid, then a mask of latent cells.
//!
//! A mask is an image, which holds for every frame, or a video. WHITE means regenerate; a pixel is white if the mean
//! of its channels, with transparency laid over black, is at least half of full scale. What a mask shows is decided
//! at its own resolution; from then on there are only white and black.
//!
//! Start at [`LatentRule`]: it names how white becomes cells, and takes a mask by [`image`](LatentRule::image) or by
//! [`video`](LatentRule::video). The mask follows its clip's own [`FitPlan`], so that mask and picture stay in register
//! whatever the mask's size: it is laid over the whole clip, scaled and cropped in one resampling, and a video is first
//! brought to its clip's frame count ([`TimeFit`] says how), then to the clip's frames. White may be widened
//! ([`Growth`]). A [`NormalizedMask`] comes out: the fitted pixels, the cells to regenerate, and what there is to say
//! about the mask as it was ([`Seen`]).
//!
//! ```
//! use mask_norm::{Growth, ImageLimits, LatentRule};
//! use tensor_batch::{Bucket, FitPlan, FrameCount, FrameList, FrameRate, LatentMask, Size};
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
//! let mask = LatentRule::default().image(png.get_ref(), &ImageLimits::default(), &plan)?;
//! assert_eq!(mask.pixels.dims(), [9, 64, 64]);
//! assert_eq!((mask.seen.size, mask.seen.grey), (Size { width: 128, height: 72 }, 0.0));
//! let latent = LatentMask::new(mask.cells.into_keep()).ok_or("nothing to regenerate")?;
//! assert_eq!(latent.keep().dims(), [2, 2, 2]);
//! assert_eq!(latent.generated(), 0.5);
//!
//! // One pixel more to the left reaches into the cells there.
//! let grown = LatentRule::Cover(Growth { pixels: 1, frames: 0 });
//! assert_eq!(grown.image(png.get_ref(), &ImageLimits::default(), &plan)?.cells.coverage(), 1.0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Once a model has filled the white area, [`composite`] lays its picture over the source, which stays what it was
//! outside, bit for bit.
//!
//! [`Reference`] is the official trainer's rule as it is, for comparison only.
//!
//! [`FitPlan`]: tensor_batch::FitPlan
#![forbid(unsafe_code)]

mod axis;
mod canvas;
mod composite;
mod error;
mod fit;
mod frame;
mod latent;
mod picture;
mod reference;
mod register;
mod rule;
mod seen;
mod share;
mod time;

pub use composite::{Feather, composite};
pub use error::MaskError;
pub use picture::ImageLimits;
pub use reference::{Reference, Scaling};
pub use rule::{Growth, LatentRule, NormalizedMask};
pub use seen::Seen;
pub use time::TimeFit;
