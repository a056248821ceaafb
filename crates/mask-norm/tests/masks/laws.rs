//! What `Cover` and `Half` are, against brute force on the mask's own pixels.

use ndarray::Array2;
use proptest::prelude::*;
use tensor_batch::{Edit, LatentFrames, Mask};

use crate::{
    support::{COVER, Case, HALF, RULES, cases, size, video},
    truth,
};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_cell_is_regenerated_exactly_where_and_when_a_white_pixel_touches_it(case in cases()) {
        let fitted = case.normalized(COVER);
        let (shown, geometry) = (case.shown(), &case.plan.geometry);
        for ((f, y, x), pixel) in fitted.pixels.values().indexed_iter() {
            let (y, x) = (y as u32, x as u32);
            let touched = truth::touches(&case.masks[shown[f]], geometry, [y, y + 1], [x, x + 1]);
            prop_assert_eq!(*pixel, touched, "pixel {} {} of frame {}", y, x, f);
        }
        let target = geometry.target;
        prop_assert_eq!(fitted.cells.dims(), grid(fitted.pixels.dims()));
        for ((k, y, x), cell) in fitted.cells.values().indexed_iter() {
            let rows = [32 * y as u32, target.height.min(32 * y as u32 + 32)];
            let columns = [32 * x as u32, target.width.min(32 * x as u32 + 32)];
            let touched = LatentFrames::pixel_frames(k as u32)
                .any(|f| truth::touches(&case.masks[shown[f as usize]], geometry, rows, columns));
            prop_assert_eq!(*cell, touched, "cell {} {} of latent frame {}", y, x, k);
        }
    }

    #[test]
    fn half_is_half_of_the_footprint_and_half_of_the_cell(case in cases()) {
        let fitted = case.normalized(HALF);
        let (shown, geometry) = (case.shown(), &case.plan.geometry);
        let footprints: Vec<_> = case.masks.iter().map(|mask| truth::footprints(mask, geometry)).collect();
        for ((f, y, x), pixel) in fitted.pixels.values().indexed_iter() {
            let (white, whole) = &footprints[shown[f]];
            let white = white[[y + geometry.top as usize, x + geometry.left as usize]];
            prop_assert_eq!(*pixel, 2 * white >= *whole, "pixel {} {} of frame {}", y, x, f);
        }
        let pixels = fitted.pixels.values();
        prop_assert_eq!(fitted.cells.dims(), grid(fitted.pixels.dims()));
        for ((k, y, x), cell) in fitted.cells.values().indexed_iter() {
            let cell_pixels: Vec<_> = truth::cell(fitted.pixels.dims(), [k, y, x]).collect();
            let white = cell_pixels.iter().filter(|at| pixels[**at]).count();
            prop_assert_eq!(*cell, 2 * white >= cell_pixels.len(), "cell {} {} of latent frame {}", y, x, k);
        }
    }

    #[test]
    fn a_mask_drawn_larger_is_the_same_mask(case in cases(), (across, down) in (1usize..4, 1usize..4)) {
        let masks = case.masks.iter().map(|mask| larger(mask, down, across)).collect();
        let drawn = Case { masks, ..case.clone() };
        for rule in [COVER, HALF] {
            let (small, large) = (case.normalized(rule), drawn.normalized(rule));
            prop_assert_eq!(&small.pixels, &large.pixels);
            prop_assert_eq!(&small.cells, &large.cells);
        }
    }

    #[test]
    fn polarity_turned_over_twice_is_the_identity(case in cases()) {
        for rule in RULES {
            let edit = case.normalized(rule).cells;
            let keep = edit.clone().into_keep();
            prop_assert!(edit.values().iter().zip(keep.values()).all(|(edit, keep)| edit != keep));
            let twice = Mask::<Edit>::new(keep.values().clone()).into_keep();
            prop_assert_eq!(twice.values(), edit.values());
        }
    }

    #[test]
    fn a_mask_and_its_negative_share_what_is_mixed(case in cases()) {
        let negative = Case { masks: case.masks.iter().map(|mask| mask.mapv(|white| !white)).collect(), ..case.clone() };
        let (shown, geometry) = (case.shown(), &case.plan.geometry);
        let footprints: Vec<_> = case.masks.iter().map(|mask| truth::footprints(mask, geometry)).collect();
        for rule in [COVER, HALF] {
            let (mask, negative) = (case.normalized(rule).pixels, negative.normalized(rule).pixels);
            for ((f, y, x), white) in mask.values().indexed_iter() {
                let (area, whole) = &footprints[shown[f]];
                let area = area[[y + geometry.top as usize, x + geometry.left as usize]];
                let mixed = if rule == COVER { (1..*whole).contains(&area) } else { 2 * area == *whole };
                let expected = (mixed, if mixed { (true, true) } else { (*white, !*white) });
                prop_assert_eq!((mixed, (*white, negative.values()[[f, y, x]])), expected);
            }
        }
    }
}

/// The latent grid of pixels, in cells that may be cut short.
fn grid([frames, height, width]: [usize; 3]) -> [usize; 3] {
    [(frames - 1) / 8 + 1, height.div_ceil(32), width.div_ceil(32)]
}

fn larger(mask: &Array2<bool>, down: usize, across: usize) -> Array2<bool> {
    let (height, width) = mask.dim();
    Array2::from_shape_fn((height * down, width * across), |(y, x)| mask[[y / down, x / across]])
}

#[test]
fn a_thin_line_in_a_large_mask_survives_cover_and_not_half() {
    let plan = crate::support::plan(size(1280, 720), size(64, 64), crate::support::first());
    let line = Array2::from_shape_fn((1080, 960), |(y, _)| y == 617);
    let frames = [crate::support::rgb(&line)];
    let covered = video(COVER, &frames, 9, &plan);
    let row = 617 * 64 / 1080;
    assert!(covered.pixels.values().indexed_iter().all(|((_, y, _), white)| *white == (y == row)));
    assert!(covered.cells.values().indexed_iter().all(|((_, y, _), white)| *white == (y == row / 32)));
    assert_eq!(video(HALF, &frames, 9, &plan).pixels.coverage(), 0.0);
}
