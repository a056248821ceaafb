//! Any clip becomes frames in the bucket, and frames become mp4. The one crate that touches FFmpeg.
//!
//! Start at [`probe`]: it decodes a clip once and says what it is, by its frames and not by its header. From that a
//! [`FitPlan`](tensor_batch::FitPlan) is made; [`Frames`] decodes the clip again, frame by frame, and [`fit`] brings
//! the frames that the plan takes into the bucket. [`find_cuts`] tells where the scenes of a clip begin. [`write_mp4`]
//! goes the other way, and [`write_mp4_with_sound`] takes a clip's sound along.
//!
//! ```no_run
//! use tensor_batch::{Bucket, FitPlan, FrameList};
//! use video_fit::{Frames, Limits, fit, probe};
//!
//! let (path, limits) = (std::path::Path::new("clip.mov"), Limits::default());
//! let bucket: Bucket = "768x448x89".parse()?;
//! let clip = probe(path, &limits)?;
//! let frames = FrameList::first(bucket.frames(), clip.frames()).ok_or("the clip is too short")?;
//! let plan = FitPlan::new(clip.size, bucket, frames, clip.rate);
//! let fitted = fit(Frames::open(path, &limits)?, &plan)?;
//! assert_eq!(fitted.pixels().shape(), [89, 448, 768, 3]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Clips are other people's files. The container is told by its first bytes and read by that one demuxer, which may
//! open nothing but the file itself; pixels, frames and seconds are counted against [`Limits`]; what fails is a
//! [`VideoError`]. FFmpeg's own log is silenced for the whole process, because a library does not print.
#![deny(clippy::undocumented_unsafe_blocks)]

mod clock;
mod colors;
mod container;
mod convert;
mod cuts;
mod decode;
mod display;
mod encoder;
mod error;
mod fit;
mod frames;
mod input;
mod limits;
mod mp4;
mod probe;
mod resize;
mod sound;
mod taps;

pub use cuts::find_cuts;
pub use error::VideoError;
pub use fit::fit;
pub use frames::{Frame, Frames};
pub use limits::Limits;
pub use mp4::{write_mp4, write_mp4_with_sound};
pub use probe::{Probe, probe};
pub use resize::resize_crop;
pub use sound::Sound;
