//! Nothing panics and nothing takes forever, whatever the numbers.

use mask_norm::{Growth, ImageLimits, LatentRule, MaskError};
use ndarray::{Array2, Array3};
use proptest::prelude::*;
use tensor_batch::{Blame, Bucket, FitPlan, FrameCount, FrameList, FrameRate, Geometry, Size};

use crate::{
    images::png,
    support::{RULES, first, rgb, size},
};

fn any_number() -> impl Strategy<Value = u32> {
    prop_oneof![0u32..80, any::<u32>(), Just(u32::MAX)]
}

fn any_rule() -> impl Strategy<Value = LatentRule> {
    let growth = || (any_number(), any_number()).prop_map(|(pixels, frames)| Growth { pixels, frames });
    prop_oneof![
        growth().prop_map(LatentRule::Cover),
        growth().prop_map(LatentRule::Half),
        Just(LatentRule::Reference)
    ]
}

fn any_size() -> impl Strategy<Value = Size> {
    (any_number(), any_number()).prop_map(|(width, height)| size(width, height))
}

/// A frame of a mask, with an empty side now and then.
fn any_mask() -> impl Strategy<Value = Array2<bool>> {
    (0usize..40, 0usize..40, any::<bool>()).prop_map(|(height, width, edge)| {
        Array2::from_shape_fn((height, width), |(y, x)| edge == (y + x < 30))
    })
}

fn fit(rule: LatentRule, mask: &Array2<bool>, plan: &FitPlan) {
    let target = plan.geometry.target;
    let dims = [plan.frames.indices().len(), target.height as usize, target.width as usize];
    let frames = [Ok::<_, MaskError>(rgb(mask)), Ok(rgb(mask))];
    let fitted = rule.video(frames, u32::MAX, plan).unwrap();
    assert_eq!(fitted.pixels.dims(), dims);
    if !mask.is_empty() {
        assert_eq!(rule.image(&png(mask), &ImageLimits::default(), plan).unwrap().pixels.dims(), dims);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_geometry_panics(
        rule in any_rule(),
        mask in any_mask(),
        (source, resized) in (any_size(), any_size()),
        (left, top) in (any_number(), any_number()),
        target in (0u32..80, 0u32..80),
    ) {
        let geometry = Geometry { source, resized, left, top, target: size(target.0, target.1) };
        fit(rule, &mask, &FitPlan { geometry, frames: first(), rate: FrameRate::DEFAULT });
    }

    #[test]
    fn no_clip_panics(
        rule in any_rule(),
        mask in any_mask(),
        source in any_size(),
        (across, down, k) in (1u32..4, 1u32..4, 1u32..4),
        (fps, times) in (0.001f64..1000.0, prop::collection::vec(prop_oneof![-1e6f64..1e6, Just(f64::NAN)], 1..30)),
    ) {
        let bucket = Bucket::new(32 * across, 32 * down, FrameCount::new(8 * k + 1).unwrap()).unwrap();
        let rate = FrameRate::new(fps).unwrap();
        let frames = FrameList::at_rate(bucket.frames(), rate, &times).unwrap();
        fit(rule, &mask, &FitPlan::new(source, bucket, frames, rate));
    }
}

#[test]
fn frames_without_pixels_are_black() {
    let plan = crate::support::plan(size(64, 64), size(32, 32), first());
    for dims in [(0, 0, 3), (0, 1 << 40, 3), (1 << 40, 0, 3), (7, 9, 0)] {
        for rule in RULES {
            let fitted = rule.video([Ok::<_, MaskError>(Array3::zeros(dims))], 9, &plan).unwrap();
            assert_eq!((fitted.cells.coverage(), fitted.seen.grey), (0.0, 0.0), "{dims:?}");
        }
    }
}

#[test]
fn a_bucket_that_no_memory_holds_is_the_services_error() {
    for rule in RULES {
        for target in [size(u32::MAX, u32::MAX), size(1 << 24, 1 << 24)] {
            let plan = crate::support::plan(size(64, 64), target, first());
            let error =
                rule.image(&png(&Array2::default((4, 4))), &ImageLimits::default(), &plan).unwrap_err();
            assert_eq!((error.kind(), error.fault()), ("out-of-memory", tensor_batch::Fault::Service));
            assert!(rule.video([Ok::<_, MaskError>(Array3::zeros((4, 4, 3)))], 9, &plan).is_err());
        }
    }
}
