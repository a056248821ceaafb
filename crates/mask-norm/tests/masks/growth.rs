//! Growth, against its definition.

use mask_norm::{Growth, LatentRule};
use ndarray::Array2;
use proptest::prelude::*;

use crate::{
    support::{cases, first, masks, plan, rgb, size, sizes, targets, video},
    truth,
};

/// Mostly less than the crop, and now and then more than any clip.
fn reach() -> impl Strategy<Value = u32> {
    prop_oneof![8 => 0u32..6, 2 => 6u32..90, 1 => Just(u32::MAX)]
}

fn rules(growth: Growth) -> [LatentRule; 2] {
    [LatentRule::Cover(growth), LatentRule::Half(growth)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn growth_is_the_dilation_of_the_whole_resized_mask(case in cases(), pixels in reach(), frames in reach()) {
        let geometry = &case.plan.geometry;
        let footprints: Vec<_> = case.masks.iter().map(|mask| truth::footprints(mask, geometry)).collect();
        for (rule, is_half) in rules(Growth { pixels, frames }).into_iter().zip([false, true]) {
            let is_white = |area, whole| if is_half { 2 * area >= whole } else { area > 0 };
            let whole = footprints.iter().map(|(area, whole)| area.mapv(|area| is_white(area, *whole)));
            let whole: Vec<Array2<bool>> = whole.collect();
            let grown = case.normalized(rule);
            let wanted = truth::dilated(&whole, &case.shown(), geometry, [pixels, frames]);
            prop_assert_eq!(grown.pixels.values(), &wanted);
            for ((k, y, x), cell) in grown.cells.values().indexed_iter() {
                let inside: Vec<_> = truth::cell(grown.pixels.dims(), [k, y, x]).collect();
                let white = inside.iter().filter(|at| grown.pixels.values()[**at]).count();
                prop_assert_eq!(*cell, if is_half { 2 * white >= inside.len() } else { white > 0 });
            }
        }
    }

    #[test]
    fn more_growth_never_regenerates_less(case in cases(), a in (reach(), reach()), b in (reach(), reach())) {
        let less = Growth { pixels: a.0.min(b.0), frames: a.1.min(b.1) };
        let more = Growth { pixels: a.0.max(b.0), frames: a.1.max(b.1) };
        for (less, more) in rules(less).into_iter().zip(rules(more)) {
            let (less, more) = (case.normalized(less), case.normalized(more));
            prop_assert!(less.pixels.values().iter().zip(more.pixels.values()).all(|(less, more)| less <= more));
            prop_assert!(less.cells.values().iter().zip(more.cells.values()).all(|(less, more)| less <= more));
        }
    }

    #[test]
    fn an_image_grows_as_a_video_that_never_moves(
        masks in masks(16, 1), source in sizes(), target in targets(), pixels in reach(), frames in reach()
    ) {
        let plan = plan(source, target, first());
        let file = crate::images::png(&masks[0]);
        for rule in rules(Growth { pixels, frames }) {
            let still = rule.image(&file, &Default::default(), &plan).unwrap();
            let moving = video(rule, &[rgb(&masks[0])], 9, &plan);
            prop_assert_eq!((still.pixels, still.cells, still.seen), (moving.pixels, moving.cells, moving.seen));
        }
    }
}

#[test]
fn white_outside_the_crop_grows_into_it() {
    // A clip of 64x32 in a square of 32: 16 pixels are cut off on each side. White ends 3 pixels short of the crop.
    let plan = plan(size(64, 32), size(32, 32), first());
    let mask = [rgb(&Array2::from_shape_fn((32, 64), |(_, x)| x < 13))];
    for (pixels, reached) in [(0, 0), (3, 0), (4, 1), (10, 7)] {
        for rule in rules(Growth { pixels, frames: 0 }) {
            let grown = video(rule, &mask, 9, &plan).pixels;
            assert!(
                grown.values().indexed_iter().all(|((_, _, x), white)| *white == (x < reached)),
                "{pixels}"
            );
        }
    }
}

#[test]
fn frames_grow_before_and_after() {
    let plan = plan(size(32, 32), size(32, 32), first());
    let mask: Vec<_> = (0..9).map(|f| rgb(&Array2::from_elem((1, 1), f == 3))).collect();
    for rule in rules(Growth { pixels: 0, frames: 2 }) {
        let grown = video(rule, &mask, 9, &plan).pixels;
        let white: Vec<usize> = (0..9).filter(|f| grown.values()[[*f, 5, 5]]).collect();
        assert_eq!(white, [1, 2, 3, 4, 5]);
    }
}
