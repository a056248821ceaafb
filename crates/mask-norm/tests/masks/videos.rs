//! Mask videos brought to their clip's frames.

use mask_norm::{MaskError, MaskFrame, TimeFit, VideoMask, from_frames};
use ndarray::{Array3, Axis};
use proptest::prelude::*;
use tensor_batch::{Blame, Bucket, Edit, FitPlan, FrameCount, FrameList, FrameRate, Mask, Size};

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Mask(#[from] MaskError),
    #[error("frame {0} is damaged")]
    Damaged(u32),
}

fn plan(frames: FrameList) -> FitPlan {
    let bucket = Bucket::new(32, 32, FrameCount::MIN).unwrap();
    FitPlan::new(Size { width: 32, height: 32 }, bucket, frames, FrameRate::new(24.0).unwrap())
}

fn first(clip_frames: u32) -> FitPlan {
    plan(FrameList::first(FrameCount::MIN, clip_frames).unwrap())
}

/// A frame whose column `index` is white.
fn frame(index: u32) -> Array3<u8> {
    Array3::from_shape_fn((32, 32, 3), |(_, x, _)| if x as u32 == index { 255 } else { 0 })
}

fn fit(mask_frames: u32, clip_frames: u32, plan: &FitPlan) -> VideoMask {
    from_frames((0..mask_frames).map(|index| Ok::<_, Failure>(frame(index))), clip_frames, plan).unwrap()
}

/// Which mask frame each fitted frame shows.
fn shown(mask: &Mask<Edit>) -> Vec<u32> {
    let column =
        |frame: ndarray::ArrayView2<'_, bool>| frame.row(0).iter().position(|white| *white).unwrap() as u32;
    mask.values().axis_iter(Axis(0)).map(column).collect()
}

#[test]
fn a_shorter_mask_holds_its_last_frame() {
    let fitted = fit(5, 12, &first(12));
    assert_eq!(shown(&fitted.mask), [0, 1, 2, 3, 4, 4, 4, 4, 4]);
    assert_eq!(fitted.time, TimeFit::Held { mask_frames: 5, clip_frames: 12 });
}

#[test]
fn a_longer_mask_is_cut_and_not_decoded_to_its_end() {
    let mut decoded = 0;
    let frames = (0..30).map(|index| {
        decoded = index + 1;
        Ok::<_, Failure>(frame(index))
    });
    let fitted = from_frames(frames, 12, &first(12)).unwrap();
    assert_eq!(shown(&fitted.mask), (0..9).collect::<Vec<_>>());
    assert_eq!((fitted.time, decoded), (TimeFit::Cut { clip_frames: 12 }, 13));
}

#[test]
fn a_mask_follows_its_clips_own_frames() {
    let times: Vec<f64> = (0..20).map(|i| f64::from(i) / 48.0).collect();
    let list = FrameList::at_rate(FrameCount::MIN, FrameRate::new(24.0).unwrap(), &times).unwrap();
    let fitted = fit(20, 20, &plan(list.clone()));
    assert_eq!(shown(&fitted.mask), list.indices());
    assert_eq!(fitted.time, TimeFit::Same);
}

#[test]
fn a_video_without_frames_is_unreadable() {
    let none = from_frames(std::iter::empty::<Result<_, Failure>>(), 12, &first(12)).unwrap_err();
    assert!(matches!(none, Failure::Mask(error) if error.kind() == "unreadable-mask"));
}

#[test]
fn a_frame_that_cannot_be_decoded_is_the_callers_error() {
    let damaged = |at| {
        let frames =
            (0..20).map(move |index| if index == at { Err(Failure::Damaged(at)) } else { Ok(frame(index)) });
        from_frames(frames, 12, &first(12))
    };
    assert!(matches!(damaged(11), Err(Failure::Damaged(11))));
    assert!(damaged(12).is_ok());
}

#[test]
fn a_still_mask_holds_for_every_frame() {
    let mask = MaskFrame::from_rgb(frame(7).view()).hold(&first(9));
    assert_eq!(shown(&mask), [7; 9]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn holding_and_cutting_are_the_index_law(mask_frames in 1u32..32, clip_frames in 1u32..32, fps in 8u32..60) {
        let times: Vec<f64> = (0..clip_frames).map(|i| f64::from(i) / 24.0).collect();
        let list = FrameList::at_rate(FrameCount::MIN, FrameRate::new(fps.into()).unwrap(), &times).unwrap();
        let fitted = fit(mask_frames, clip_frames, &plan(list.clone()));
        let wanted: Vec<u32> = list.indices().iter().map(|index| (*index).min(mask_frames - 1)).collect();
        prop_assert_eq!(shown(&fitted.mask), wanted);
        let wanted = match mask_frames.cmp(&clip_frames) {
            std::cmp::Ordering::Less => TimeFit::Held { mask_frames, clip_frames },
            std::cmp::Ordering::Equal => TimeFit::Same,
            std::cmp::Ordering::Greater => TimeFit::Cut { clip_frames },
        };
        prop_assert_eq!(fitted.time, wanted);
    }
}
