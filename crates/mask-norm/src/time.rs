//! A mask brought to its clip's frames.

use ndarray::{Array3, ArrayView2, Axis};
use tensor_batch::{Edit, FitPlan, FrameList, Mask};

use crate::{MaskError, MaskFrame};

/// A mask video on its clip's grid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoMask {
    /// The mask in the bucket, `[F, H, W]`.
    pub mask: Mask<Edit>,
    /// How it was brought to its clip's frame count.
    pub time: TimeFit,
}

/// How a mask video was brought to its clip's frame count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeFit {
    /// It has as many frames as its clip.
    Same,
    /// It was shorter: its last frame is held.
    Held {
        /// Frames of the mask.
        mask_frames: u32,
        /// Frames of the clip.
        clip_frames: u32,
    },
    /// It was longer: what lies beyond the clip's last frame is cut, and was not decoded.
    Cut {
        /// Frames of the clip.
        clip_frames: u32,
    },
}

impl MaskFrame {
    /// This frame in the bucket for every frame of the clip, `[F, H, W]`.
    pub fn hold(&self, plan: &FitPlan) -> Mask<Edit> {
        let fitted = self.fit(&plan.geometry);
        let (height, width) = fitted.dim();
        let mut values = Array3::default((plan.frames.indices().len(), height, width));
        values.outer_iter_mut().for_each(|mut frame| frame.assign(&fitted));
        Mask::new(values)
    }
}

/// Brings a mask video to its clip's own frame count, `clip_frames`, by index: a shorter one holds its last frame, a
/// longer one is cut. Then takes the very frames that `plan` takes of the clip.
///
/// `frames` are decoded one at a time, `[height, width, 3]` and upright; each is dropped when the next one is there.
///
/// # Errors
/// The error of the first frame up to the clip's last that cannot be decoded; or [`MaskError::NoFrames`].
pub fn from_frames<E: From<MaskError>>(
    frames: impl IntoIterator<Item = Result<Array3<u8>, E>>,
    clip_frames: u32,
    plan: &FitPlan,
) -> Result<VideoMask, E> {
    let mut frames = frames.into_iter().fuse();
    let clip_frames = clip_frames.max(plan.frames.needed());
    let mut fitted = Fitted::new(plan);
    let mut last = None;
    let mut mask_frames = 0;
    while mask_frames < clip_frames {
        let Some(frame) = frames.next().transpose()? else { break };
        fitted.put(&frame, |index| index == mask_frames);
        last = Some(frame);
        mask_frames += 1;
    }
    let last = last.ok_or(MaskError::NoFrames)?;
    fitted.put(&last, |index| index >= mask_frames);
    let time = match mask_frames < clip_frames {
        true => TimeFit::Held { mask_frames, clip_frames },
        false if frames.next().is_some() => TimeFit::Cut { clip_frames },
        false => TimeFit::Same,
    };
    Ok(VideoMask { mask: Mask::new(fitted.values), time })
}

/// The frames of the bucket, filled as the source frames come by.
struct Fitted<'a> {
    plan: &'a FitPlan,
    values: Array3<bool>,
}

impl<'a> Fitted<'a> {
    fn new(plan: &'a FitPlan) -> Self {
        let target = plan.geometry.target;
        let shape = (plan.frames.indices().len(), target.height as usize, target.width as usize);
        Self { plan, values: Array3::default(shape) }
    }

    /// Puts a source frame wherever the clip takes one of these indices; it is fitted once, if at all.
    fn put(&mut self, frame: &Array3<u8>, is_wanted: impl Fn(u32) -> bool) {
        let mut places = places(&self.plan.frames, is_wanted).into_iter();
        let Some(first) = places.next() else { return };
        let mask = MaskFrame::from_rgb(frame.view());
        mask.fit_into(&self.plan.geometry, self.values.index_axis_mut(Axis(0), first));
        for place in places {
            let (done, mut rest) = self.values.view_mut().split_at(Axis(0), place);
            let fitted: ArrayView2<'_, bool> = done.index_axis(Axis(0), first);
            rest.index_axis_mut(Axis(0), 0).assign(&fitted);
        }
    }
}

fn places(list: &FrameList, is_wanted: impl Fn(u32) -> bool) -> Vec<usize> {
    let wanted = list.indices().iter().enumerate().filter(|(_, index)| is_wanted(**index));
    wanted.map(|(place, _)| place).collect()
}
