//! Plans, mask videos and random ones of both.

use mask_norm::{Growth, ImageLimits, LatentRule, MaskError, NormalizedMask};
use ndarray::{Array2, Array3};
use proptest::prelude::*;
use tensor_batch::{FitPlan, FrameCount, FrameList, FrameRate, Geometry, Size};

pub(crate) const COVER: LatentRule = LatentRule::Cover(Growth { pixels: 0, frames: 0 });
pub(crate) const HALF: LatentRule = LatentRule::Half(Growth { pixels: 0, frames: 0 });
pub(crate) const RULES: [LatentRule; 3] = [COVER, HALF, LatentRule::Reference];

pub(crate) fn size(width: u32, height: u32) -> Size {
    Size { width, height }
}

/// A plan for a clip of this size; the target may be of any size, a bucket's or not.
pub(crate) fn plan(source: Size, target: Size, frames: FrameList) -> FitPlan {
    FitPlan { geometry: Geometry::fill(source, target), frames, rate: FrameRate::DEFAULT }
}

/// The first nine frames.
pub(crate) fn first() -> FrameList {
    FrameList::first(FrameCount::MIN, 9).unwrap()
}

/// A frame of a mask video, white on black.
pub(crate) fn rgb(mask: &Array2<bool>) -> Array3<u8> {
    let (height, width) = mask.dim();
    Array3::from_shape_fn((height, width, 3), |(y, x, _)| u8::from(mask[[y, x]]) * 255)
}

pub(crate) fn video(
    rule: LatentRule,
    frames: &[Array3<u8>],
    clip_frames: u32,
    plan: &FitPlan,
) -> NormalizedMask {
    rule.video(frames.iter().map(|frame| Ok::<_, MaskError>(frame.clone())), clip_frames, plan).unwrap()
}

/// A mask image that is laid pixel upon pixel.
pub(crate) fn image(rule: LatentRule, bytes: &[u8]) -> Result<NormalizedMask, MaskError> {
    let size = mask_norm::Seen::image(bytes, &ImageLimits::default())?.size;
    rule.image(bytes, &ImageLimits::default(), &plan(size, size, first()))
}

/// A mask video and its clip: masks at their own size, `clip_frames`, and the plan of the clip.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) masks: Vec<Array2<bool>>,
    pub(crate) clip_frames: u32,
    pub(crate) plan: FitPlan,
}

impl Case {
    pub(crate) fn frames(&self) -> Vec<Array3<u8>> {
        self.masks.iter().map(rgb).collect()
    }

    pub(crate) fn normalized(&self, rule: LatentRule) -> NormalizedMask {
        video(rule, &self.frames(), self.clip_frames, &self.plan)
    }

    /// Which mask each fitted frame shows: the clip's own frame, as far as the mask has it.
    pub(crate) fn shown(&self) -> Vec<usize> {
        let last = self.masks.len() - 1;
        self.plan.frames.indices().iter().map(|index| last.min(*index as usize)).collect()
    }
}

/// A few masks of one size, of few white pixels or of many, or all over black or white.
pub(crate) fn masks(side: usize, frames: usize) -> impl Strategy<Value = Vec<Array2<bool>>> {
    let share = prop_oneof![Just(0.0), 0.0..0.02, 0.3..0.7, Just(1.0)];
    (1..=side, 1..=side).prop_flat_map(move |(height, width)| {
        let white = share
            .clone()
            .prop_flat_map(move |share| prop::collection::vec(prop::bool::weighted(share), height * width));
        let mask = white.prop_map(move |white| Array2::from_shape_vec((height, width), white).unwrap());
        prop::collection::vec(mask, 1..=frames)
    })
}

/// The size of a clip, now and then very wide or tall.
pub(crate) fn sizes() -> impl Strategy<Value = Size> {
    prop_oneof![9 => (16u32..200, 16u32..200), 1 => (4u32..200, 4u32..200)]
        .prop_map(|(width, height)| size(width, height))
}

/// A bucket's size, or one that fills no whole cells.
pub(crate) fn targets() -> impl Strategy<Value = Size> {
    let side = || prop_oneof![Just(32u32), Just(64), 1u32..80];
    (side(), side()).prop_map(|(width, height)| size(width, height))
}

/// The frames that are taken of a clip: its first ones, or as many as its rate asks for; with the clip's own count.
pub(crate) fn frame_lists() -> impl Strategy<Value = (FrameList, u32)> {
    let first = (1u32..4, 0u32..10).prop_map(|(k, more)| {
        let count = FrameCount::new(8 * k + 1).unwrap();
        (FrameList::first(count, count.get() + more).unwrap(), count.get() + more)
    });
    let sampled =
        (1u32..4, 8u32..60, prop::collection::vec(0.01f64..0.1, 1..40)).prop_map(|(k, fps, gaps)| {
            let times: Vec<f64> =
                gaps.iter().scan(0.0, |time, gap| Some(std::mem::replace(time, *time + gap))).collect();
            let (count, rate) = (FrameCount::new(8 * k + 1).unwrap(), FrameRate::new(fps.into()).unwrap());
            (FrameList::at_rate(count, rate, &times).unwrap(), times.len() as u32)
        });
    prop_oneof![first, sampled]
}

pub(crate) fn cases() -> impl Strategy<Value = Case> {
    (masks(20, 12), sizes(), targets(), frame_lists()).prop_map(
        |(masks, source, target, (list, clip_frames))| Case {
            masks,
            clip_frames,
            plan: plan(source, target, list),
        },
    )
}
