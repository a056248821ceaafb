//! The named rules, and what comes of them.

use ndarray::Array3;
use tensor_batch::{Edit, FitPlan, Mask};

use crate::{
    ImageLimits, MaskError, Seen, TimeFit,
    canvas::{Brush, Canvas},
    picture::Picture,
    reference::Stretched,
    register::Register,
    share::Share,
    time::paint_video,
};

/// How a mask becomes pixels of the bucket, and then latent cells. The same rule belongs to a run's training and to
/// its previews.
///
/// Under `Cover` and `Half` the mask lies over its whole clip, whatever its own size, and follows the clip's
/// [`Geometry`](tensor_batch::Geometry) in one resampling; it is white or black at its own resolution already. A
/// fitted pixel's footprint is the part of the mask that it shows. Cells have 32x32 pixels; latent frame 0 is pixel
/// frame 0, latent frame k is pixel frames 8k-7 to 8k. Where sizes fill no whole cell, the rest is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LatentRule {
    /// A fitted pixel is white if its footprint holds any white, and a cell is regenerated if any of its pixels in any
    /// of its frames is white. So nothing painted white is ever given as conditioning; and, without growth, no cell is
    /// regenerated that no white pixel touches.
    Cover(Growth),
    /// A fitted pixel is white if at least half of its footprint's area is, and a cell is regenerated if at least half
    /// of its pixels in all its frames are white.
    Half(Growth),
    /// The official trainer's rule, for comparison with its LoRAs: [`Reference`](crate::Reference) says how many cells
    /// of the *inverted* mask are bright enough to be kept, and the others are regenerated.
    ///
    /// The mask is stretched to the bucket, whatever the clip's crop: images bilinear, videos nearest. Grey stays grey;
    /// transparency is dropped. A fitted pixel is white if its stretched grey is at least half: that is for looking
    /// at, the cells do not follow from it.
    ///
    /// The reference takes a video's first frames and fails on one too short. Here the clip's own list of frames is
    /// followed, and the last frame is held.
    Reference,
}

impl Default for LatentRule {
    fn default() -> Self {
        Self::Cover(Growth::default())
    }
}

/// How far white is widened after fitting, and before cells are decided; none by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Growth {
    /// Pixels of the bucket in every direction: a square of `2 pixels + 1` around each white pixel. White that is as
    /// near as that to the crop, outside it, grows into the picture.
    pub pixels: u32,
    /// Fitted frames before and after.
    pub frames: u32,
}

/// A mask on its clip's grid.
#[derive(Debug, Clone, PartialEq)]
pub struct NormalizedMask {
    /// The fitted mask, `[F, H, W]`, in the bucket.
    pub pixels: Mask<Edit>,
    /// Which cells are regenerated, `[F', H', W']`. [`Mask::into_keep`] turns it over into what the model keeps.
    pub cells: Mask<Edit>,
    /// How a video was brought to its clip's frame count; `Same` for an image.
    pub time: TimeFit,
    /// The mask at its own resolution.
    pub seen: Seen,
}

impl LatentRule {
    /// The mask of an image, for all frames of the clip: a PNG, JPEG, BMP or WebP file, recognised by its content, of
    /// any colour type, with or without transparency, 1 to 16 bits; turned upright as its EXIF data says.
    ///
    /// # Errors
    /// If the image is larger than the limits, by its header, or cannot be decoded; or if there is no memory for the
    /// bucket.
    pub fn image(
        &self,
        bytes: &[u8],
        limits: &ImageLimits,
        plan: &FitPlan,
    ) -> Result<NormalizedMask, MaskError> {
        let mut canvas = Canvas::new(self, plan)?;
        canvas.load_image(&Picture::decode(bytes, limits)?);
        canvas.paint(|_| true);
        Ok(canvas.finish(TimeFit::Same))
    }

    /// The mask of a video. It is first brought to its clip's own frame count, `clip_frames`, by index: a shorter one
    /// holds its last frame, a longer one is cut. Then the very frames are taken that `plan` takes of the clip.
    ///
    /// `frames` are decoded one at a time, `[height, width, 3]` and upright; each is dropped before the next one is
    /// asked for.
    ///
    /// # Errors
    /// The error of the first frame up to the clip's last that cannot be decoded; [`MaskError::NoFrames`]; or if there
    /// is no memory for the bucket.
    pub fn video<E: From<MaskError>>(
        &self,
        frames: impl IntoIterator<Item = Result<Array3<u8>, E>>,
        clip_frames: u32,
        plan: &FitPlan,
    ) -> Result<NormalizedMask, E> {
        let mut canvas = Canvas::new(self, plan)?;
        let time = paint_video(frames, clip_frames, &plan.frames, &mut canvas)?;
        Ok(canvas.finish(time))
    }

    pub(crate) fn brush<'a>(&self, plan: &'a FitPlan) -> Box<dyn Brush + 'a> {
        match *self {
            Self::Cover(growth) => Box::new(Register::new(&plan.geometry, Share::Any, growth)),
            Self::Half(growth) => Box::new(Register::new(&plan.geometry, Share::Half, growth)),
            Self::Reference => Box::new(Stretched::new(plan)),
        }
    }
}
