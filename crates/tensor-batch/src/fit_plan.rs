//! How a clip is brought into a bucket: pure arithmetic, shared by the clip and its mask so that they stay in
//! register.

use crate::{Bucket, FrameCount, FrameRate, Size};

/// Fill and centre-crop: the source is scaled until it covers the target, and what sticks out is cut evenly.
///
/// The numbers are those of the reference trainer: the free side is `trunc(side * scale)`, the offsets are halved
/// towards zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// The clip as displayed: rotation and pixel aspect applied.
    pub source: Size,
    /// The whole source after scaling; it covers `target`.
    pub resized: Size,
    /// Pixels of `resized` left of the crop.
    pub left: u32,
    /// Pixels of `resized` above the crop.
    pub top: u32,
    /// The bucket's size.
    pub target: Size,
}

impl Geometry {
    /// The geometry that fills `target` with `source`.
    pub fn fill(source: Size, target: Size) -> Self {
        let (w, h) = (f64::from(source.width), f64::from(source.height));
        let (tw, th) = (f64::from(target.width), f64::from(target.height));
        // Float division and truncation, in the reference's order of operations.
        let resized = if w / h > tw / th {
            Size { width: ((w * th / h) as u32).max(target.width), height: target.height }
        } else {
            Size { width: target.width, height: ((h * tw / w) as u32).max(target.height) }
        };
        Self {
            source,
            resized,
            left: (resized.width - target.width) / 2,
            top: (resized.height - target.height) / 2,
            target,
        }
    }

    /// The part of the source's width that target column `x` shows, as fractions 0..1 of the whole width.
    pub fn columns(&self, x: u32) -> (f64, f64) {
        span(x, self.left, self.resized.width)
    }

    /// The part of the source's height that target row `y` shows, as fractions 0..1 of the whole height.
    pub fn rows(&self, y: u32) -> (f64, f64) {
        span(y, self.top, self.resized.height)
    }

    /// The share of the source's area that the crop cuts away, 0 to 1.
    pub fn cut(&self) -> f64 {
        let area = |s: Size| f64::from(s.width) * f64::from(s.height);
        1.0 - area(self.target) / area(self.resized)
    }
}

fn span(i: u32, offset: u32, whole: u32) -> (f64, f64) {
    let start = f64::from(i + offset);
    (start / f64::from(whole), (start + 1.0) / f64::from(whole))
}

/// Which frames of a clip are taken, in order: indices of decoded frames in presentation order. A frame may be
/// taken twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameList(Vec<u32>);

impl FrameList {
    /// The first `count` frames of a clip of `available`; none if there are too few.
    pub fn first(count: FrameCount, available: u32) -> Option<Self> {
        (available >= count.get()).then(|| Self((0..count.get()).collect()))
    }

    /// `count` frames at `rate`, by presentation time from the first frame on; a clip too short for that is spread
    /// evenly over `count`. None for an empty clip.
    ///
    /// `times` are the presentation times of all frames in seconds, ascending.
    pub fn at_rate(count: FrameCount, rate: FrameRate, times: &[f64]) -> Option<Self> {
        let (first, last) = (*times.first()?, *times.last()?);
        // A tick of rounding in the container must not cost the last frame.
        let reached = ((last - first) * rate.fps() + 1e-3).floor() as u64 + 1;
        if reached < u64::from(count.get()) {
            return Some(Self::spread(count, times.len() as u32));
        }
        let nearest = |i: u32| nearest_index(times, first + f64::from(i) / rate.fps());
        Some(Self((0..count.get()).map(nearest).collect()))
    }

    /// `count` frames spread evenly over `available`: index `round(i (n-1) / (N-1))`. `available` is at least 1.
    fn spread(count: FrameCount, available: u32) -> Self {
        let step = f64::from(available - 1) / f64::from(count.get() - 1);
        Self((0..count.get()).map(|i| (f64::from(i) * step).round() as u32).collect())
    }

    /// The same frames of a piece that begins at frame `start` of its clip, as indices of the whole clip.
    #[must_use]
    pub fn starting_at(self, start: u32) -> Self {
        Self(self.0.into_iter().map(|index| index.saturating_add(start)).collect())
    }

    /// The indices, as many as the bucket has frames.
    pub fn indices(&self) -> &[u32] {
        &self.0
    }

    /// One more than the largest index: how many frames must be decoded.
    pub fn needed(&self) -> u32 {
        self.0.iter().max().map_or(0, |last| last + 1)
    }
}

fn nearest_index(times: &[f64], time: f64) -> u32 {
    let after = times.partition_point(|t| *t < time);
    if after == 0 {
        return 0;
    }
    if after == times.len() || time - times[after - 1] <= times[after] - time {
        return after as u32 - 1;
    }
    after as u32
}

/// Everything that turns a source clip, and its mask, into the bucket.
#[derive(Debug, Clone, PartialEq)]
pub struct FitPlan {
    /// Scale and crop.
    pub geometry: Geometry,
    /// Frames taken.
    pub frames: FrameList,
    /// The rate that goes into the model's positions.
    pub rate: FrameRate,
}

impl FitPlan {
    /// A plan that fills `bucket`.
    pub fn new(source: Size, bucket: Bucket, frames: FrameList, rate: FrameRate) -> Self {
        Self { geometry: Geometry::fill(source, bucket.size()), frames, rate }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn size(width: u32, height: u32) -> Size {
        Size { width, height }
    }

    #[test]
    fn the_free_side_is_truncated_and_the_crop_is_centred() {
        let plan = Geometry::fill(size(97, 53), size(32, 32));
        assert_eq!((plan.resized, plan.left, plan.top), (size(58, 32), 13, 0));
        let plan = Geometry::fill(size(41, 70), size(64, 32));
        assert_eq!((plan.resized, plan.left, plan.top), (size(64, 109), 0, 38));
    }

    #[test]
    fn the_first_frames_need_enough_frames() {
        assert_eq!(FrameList::first(FrameCount::MIN, 8), None);
        assert_eq!(FrameList::first(FrameCount::MIN, 30).unwrap().indices(), (0..9).collect::<Vec<_>>());
    }

    #[test]
    fn a_faster_clip_is_thinned_by_time() {
        let times: Vec<f64> = (0..40).map(|i| 1.5 + f64::from(i) / 30.0).collect();
        let list = FrameList::at_rate(FrameCount::MIN, FrameRate::new(24.0).unwrap(), &times).unwrap();
        assert_eq!(list.indices(), [0, 1, 2, 4, 5, 6, 7, 9, 10]);
    }

    #[test]
    fn a_piece_is_counted_from_its_clips_beginning() {
        let piece = FrameList::first(FrameCount::MIN, 9).unwrap().starting_at(40);
        assert_eq!(piece.indices(), (40..49).collect::<Vec<_>>());
        assert_eq!(piece.needed(), 49);
    }

    #[test]
    fn a_clip_too_short_is_spread() {
        let times: Vec<f64> = (0..5).map(|i| f64::from(i) / 24.0).collect();
        let list = FrameList::at_rate(FrameCount::MIN, FrameRate::new(24.0).unwrap(), &times).unwrap();
        assert_eq!(list.indices(), [0, 1, 1, 2, 2, 3, 3, 4, 4]);
    }

    proptest! {
        #[test]
        fn any_source_covers_any_target(w in 1u32..5000, h in 1u32..5000, tw in 1u32..40, th in 1u32..40) {
            let plan = Geometry::fill(size(w, h), size(tw * 32, th * 32));
            prop_assert!(plan.left + plan.target.width <= plan.resized.width);
            prop_assert!(plan.top + plan.target.height <= plan.resized.height);
            let (start, _) = plan.columns(0);
            let (_, end) = plan.columns(plan.target.width - 1);
            prop_assert!(start >= 0.0 && end <= 1.0);
        }

        #[test]
        fn frame_lists_ascend_inside_the_clip(n in 1usize..200, k in 1u32..10, fps in 8u32..60, own in 8u32..60) {
            let times: Vec<f64> = (0..n).map(|i| i as f64 / f64::from(own)).collect();
            let count = FrameCount::new(8 * k + 1).unwrap();
            let list = FrameList::at_rate(count, FrameRate::new(f64::from(fps)).unwrap(), &times).unwrap();
            prop_assert_eq!(list.indices().len(), count.get() as usize);
            prop_assert!(list.indices().is_sorted());
            prop_assert!(list.needed() as usize <= n);
        }
    }
}
