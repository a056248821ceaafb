//! The bucket, painted with the frames of a mask as they come by.

use ndarray::{Array3, ArrayView3, Axis};
use tensor_batch::{FitPlan, FrameList, Mask};

use crate::{
    LatentRule, MaskError, NormalizedMask, TimeFit,
    picture::Picture,
    seen::{Look, Tally},
};

/// How a rule brings mask frames into the bucket. It holds one frame at a time, as much of it as it paints.
pub(crate) trait Brush {
    /// Takes up an image, in place of what it held.
    fn load_image(&mut self, picture: &Picture) -> Look;

    /// Takes up a video frame, `[height, width, 3]` and upright, in place of what it held.
    fn load_frame(&mut self, frame: ArrayView3<'_, u8>) -> Look;

    /// Paints what it holds at these frames of `pixels`, `[F, H, W]`: at least one, in ascending order.
    fn paint(&mut self, pixels: &mut Array3<bool>, places: &[usize]);

    /// Which cells are regenerated, `[F', H', W']`; finishes `pixels`, where every frame is painted.
    fn finish(self: Box<Self>, pixels: &mut Array3<bool>) -> Array3<bool>;
}

/// The bucket while it is painted.
pub(crate) struct Canvas<'a> {
    frames: &'a FrameList,
    brush: Box<dyn Brush + 'a>,
    pixels: Array3<bool>,
    /// What the brush holds, until it is painted somewhere.
    look: Option<Look>,
    tally: Tally,
}

impl<'a> Canvas<'a> {
    /// A black canvas for a rule.
    pub(crate) fn new(rule: &LatentRule, plan: &'a FitPlan) -> Result<Self, MaskError> {
        let target = plan.geometry.target;
        let dims = [plan.frames.indices().len(), target.height as usize, target.width as usize];
        let pixels = black(dims)?;
        Ok(Self {
            frames: &plan.frames,
            brush: rule.brush(plan),
            pixels,
            look: None,
            tally: Tally::default(),
        })
    }

    pub(crate) fn load_image(&mut self, picture: &Picture) {
        self.look = Some(self.brush.load_image(picture));
    }

    pub(crate) fn load_frame(&mut self, frame: ArrayView3<'_, u8>) {
        self.look = Some(self.brush.load_frame(frame));
    }

    /// Paints what the brush holds wherever the clip takes one of these frames.
    pub(crate) fn paint(&mut self, is_wanted: impl Fn(u32) -> bool) {
        let wanted = self.frames.indices().iter().enumerate().filter(|(_, index)| is_wanted(**index));
        let places: Vec<usize> = wanted.map(|(place, _)| place).collect();
        if !places.is_empty() {
            self.brush.paint(&mut self.pixels, &places);
            self.look.take().into_iter().for_each(|look| self.tally.add(look));
        }
    }

    pub(crate) fn finish(mut self, time: TimeFit) -> NormalizedMask {
        let cells = Mask::new(self.brush.finish(&mut self.pixels));
        NormalizedMask { pixels: Mask::new(self.pixels), cells, time, seen: self.tally.seen() }
    }
}

/// Copies the frame at the first place, the lowest, to the others.
pub(crate) fn copy_first(pixels: &mut Array3<bool>, places: &[usize]) {
    let Some((first, others)) = places.split_first() else { return };
    for place in others {
        let (done, mut rest) = pixels.view_mut().split_at(Axis(0), *place);
        rest.index_axis_mut(Axis(0), 0).assign(&done.index_axis(Axis(0), *first));
    }
}

/// `[F, H, W]` without white. The memory is not touched before it is painted.
fn black(dims: [usize; 3]) -> Result<Array3<bool>, MaskError> {
    let [frames, height, width] = dims;
    let too_large = || MaskError::OutOfMemory { frames, height, width };
    let count =
        frames.checked_mul(height).and_then(|count| count.checked_mul(width)).ok_or_else(too_large)?;
    // Zeroed memory cannot be asked for without a panic, so as much is asked for and given back.
    Vec::<bool>::new().try_reserve_exact(count).map_err(|_| too_large())?;
    Array3::from_shape_vec(dims, vec![false; count]).map_err(|_| too_large())
}
