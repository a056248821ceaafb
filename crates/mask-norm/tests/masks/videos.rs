//! Mask videos brought to their clip's frames.

use mask_norm::{LatentRule, MaskError, NormalizedMask, TimeFit};
use ndarray::{Array3, Axis};
use proptest::prelude::*;
use tensor_batch::{Blame, Edit, FitPlan, FrameCount, FrameList, FrameRate, Mask};

use crate::support::{self, COVER, Case, RULES, cases, rgb, size, video};

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Mask(#[from] MaskError),
    #[error("frame {0} is damaged")]
    Damaged(u32),
}

fn plan(frames: FrameList) -> FitPlan {
    support::plan(size(32, 32), size(32, 32), frames)
}

fn first(clip_frames: u32) -> FitPlan {
    plan(FrameList::first(FrameCount::MIN, clip_frames).unwrap())
}

/// A frame whose column `index` is white.
fn frame(index: u32) -> Array3<u8> {
    Array3::from_shape_fn((32, 32, 3), |(_, x, _)| if x as u32 == index { 255 } else { 0 })
}

fn fit(mask_frames: u32, clip_frames: u32, plan: &FitPlan) -> NormalizedMask {
    video(COVER, &(0..mask_frames).map(frame).collect::<Vec<_>>(), clip_frames, plan)
}

/// Levels around which a pixel becomes grey, or white.
const EDGES: [u8; 10] = [0, 25, 26, 76, 127, 128, 179, 229, 230, 255];

/// Which mask frame each fitted frame shows.
fn shown(mask: &Mask<Edit>) -> Vec<u32> {
    let column =
        |frame: ndarray::ArrayView2<'_, bool>| frame.row(0).iter().position(|white| *white).unwrap() as u32;
    mask.values().axis_iter(Axis(0)).map(column).collect()
}

#[test]
fn a_shorter_mask_holds_its_last_frame() {
    let fitted = fit(5, 12, &first(12));
    assert_eq!(shown(&fitted.pixels), [0, 1, 2, 3, 4, 4, 4, 4, 4]);
    assert_eq!(fitted.time, TimeFit::Held { mask_frames: 5, clip_frames: 12 });
}

#[test]
fn a_longer_mask_is_cut_and_not_decoded_to_its_end() {
    let mut decoded = 0;
    let frames = (0..30).map(|index| {
        decoded = index + 1;
        Ok::<_, Failure>(frame(index))
    });
    let fitted = COVER.video(frames, 12, &first(12)).unwrap();
    assert_eq!(shown(&fitted.pixels), (0..9).collect::<Vec<_>>());
    assert_eq!((fitted.time, decoded), (TimeFit::Cut { clip_frames: 12 }, 13));
}

#[test]
fn a_mask_follows_its_clips_own_frames() {
    let times: Vec<f64> = (0..20).map(|i| f64::from(i) / 48.0).collect();
    let list = FrameList::at_rate(FrameCount::MIN, FrameRate::new(24.0).unwrap(), &times).unwrap();
    let fitted = fit(20, 20, &plan(list.clone()));
    assert_eq!(shown(&fitted.pixels), list.indices());
    assert_eq!(fitted.time, TimeFit::Same);
}

#[test]
fn a_video_without_frames_is_unreadable() {
    let none = COVER.video(std::iter::empty::<Result<_, Failure>>(), 12, &first(12)).unwrap_err();
    assert!(matches!(none, Failure::Mask(error) if error.kind() == "unreadable-mask"));
}

#[test]
fn a_frame_that_cannot_be_decoded_is_the_callers_error() {
    let damaged = |at| {
        let frames =
            (0..20).map(move |index| if index == at { Err(Failure::Damaged(at)) } else { Ok(frame(index)) });
        COVER.video(frames, 12, &first(12))
    };
    assert!(matches!(damaged(11), Err(Failure::Damaged(11))));
    assert!(damaged(12).is_ok());
}

#[test]
fn grey_is_counted_once_for_each_frame_that_the_clip_takes() {
    // Frame `f` has `f` grey pixels of 32. Every other one is taken.
    let grey = |f: u32| {
        Array3::from_shape_fn((4, 8, 3), move |(y, x, _)| if 8 * y + x < f as usize { 100 } else { 0 })
    };
    let seen = |mask_frames: u32, list: FrameList, clip_frames| {
        let frames: Vec<_> = (0..mask_frames).map(grey).collect();
        RULES.map(|rule| {
            let seen = video(rule, &frames, clip_frames, &plan(list.clone())).seen;
            assert_eq!(seen.size, size(8, 4));
            seen.grey
        })
    };
    let times: Vec<f64> = (0..20).map(|i| f64::from(i) / 48.0).collect();
    let every_other = FrameList::at_rate(FrameCount::MIN, FrameRate::DEFAULT, &times).unwrap();
    assert_eq!(every_other.indices(), [0, 2, 4, 6, 8, 10, 12, 14, 16]);
    assert_eq!(seen(20, every_other.clone(), 20), [8.0 / 32.0; 3]);
    // Held from a frame on that is taken, and from one that is not.
    assert_eq!(seen(5, every_other.clone(), 20), [2.0 / 32.0; 3]);
    assert_eq!(seen(4, every_other, 20), [(2.0 + 3.0) / 3.0 / 32.0; 3]);
    // A clip too short is spread: a frame taken twice counts once.
    let spread = FrameList::at_rate(FrameCount::MIN, FrameRate::DEFAULT, &times[..3]).unwrap();
    assert_eq!(spread.indices(), [0, 0, 1, 1, 1, 1, 2, 2, 2].map(|index: u32| index));
    assert_eq!(seen(3, spread, 3), [1.0 / 32.0; 3]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_shorter_mask_is_one_padded_and_a_longer_one_is_one_cut(case in cases()) {
        let last = case.masks.len() - 1;
        let exact = |index: usize| case.masks[last.min(index)].clone();
        let masks = (0..case.clip_frames as usize).map(exact).collect();
        let exact = Case { masks, ..case.clone() };
        for rule in RULES.into_iter().chain([LatentRule::Half(mask_norm::Growth { pixels: 1, frames: 1 })]) {
            let (fitted, exact) = (case.normalized(rule), exact.normalized(rule));
            prop_assert_eq!(fitted.pixels, exact.pixels);
            prop_assert_eq!(fitted.cells, exact.cells);
            prop_assert_eq!(exact.time, TimeFit::Same);
        }
    }

    #[test]
    fn flat_stretches_are_judged_pixel_by_pixel(
        stretches in prop::collection::vec((prop::sample::select(EDGES.to_vec()), 1usize..120), 1..12),
        odd in (any::<prop::sample::Index>(), any::<[u8; 3]>()),
    ) {
        let mut pixels: Vec<[u8; 3]> =
            stretches.into_iter().flat_map(|(level, length)| std::iter::repeat_n([level; 3], length)).collect();
        let at = odd.0.index(pixels.len());
        pixels[at] = odd.1;
        let frame = Array3::from_shape_fn((1, pixels.len(), 3), |(_, x, channel)| pixels[x][channel]);
        let own = size(pixels.len() as u32, 1);
        let fitted = video(COVER, &[frame], 9, &support::plan(own, own, FrameList::first(FrameCount::MIN, 9).unwrap()));
        let sums = || pixels.iter().map(|pixel| pixel.iter().map(|channel| u32::from(*channel)).sum::<u32>());
        let white: Vec<bool> = sums().map(|sum| 2 * sum >= 765).collect();
        prop_assert_eq!(fitted.pixels.values().iter().take(white.len()).copied().collect::<Vec<_>>(), white);
        let grey = sums().filter(|sum| 10 * sum > 765 && 10 * sum < 9 * 765).count();
        prop_assert_eq!(fitted.seen.grey, grey as f64 / pixels.len() as f64);
    }

    #[test]
    fn frames_of_another_size_are_fitted_by_themselves(case in cases()) {
        // Each frame drawn twice as large from the second on: nothing changes but the size.
        let mut frames = case.frames();
        for (frame, mask) in frames.iter_mut().zip(&case.masks).skip(1) {
            let (height, width) = mask.dim();
            *frame = rgb(&ndarray::Array2::from_shape_fn((2 * height, 2 * width), |(y, x)| mask[[y / 2, x / 2]]));
        }
        let (mixed, same) = (video(COVER, &frames, case.clip_frames, &case.plan), case.normalized(COVER));
        prop_assert_eq!((mixed.pixels, mixed.seen.size), (same.pixels, same.seen.size));
    }

    #[test]
    fn holding_and_cutting_are_the_index_law(mask_frames in 1u32..32, clip_frames in 1u32..32, fps in 8u32..60) {
        let times: Vec<f64> = (0..clip_frames).map(|i| f64::from(i) / 24.0).collect();
        let list = FrameList::at_rate(FrameCount::MIN, FrameRate::new(fps.into()).unwrap(), &times).unwrap();
        let fitted = fit(mask_frames, clip_frames, &plan(list.clone()));
        let wanted: Vec<u32> = list.indices().iter().map(|index| (*index).min(mask_frames - 1)).collect();
        prop_assert_eq!(shown(&fitted.pixels), wanted);
        let wanted = match mask_frames.cmp(&clip_frames) {
            std::cmp::Ordering::Less => TimeFit::Held { mask_frames, clip_frames },
            std::cmp::Ordering::Equal => TimeFit::Same,
            std::cmp::Ordering::Greater => TimeFit::Cut { clip_frames },
        };
        prop_assert_eq!(fitted.time, wanted);
    }
}
