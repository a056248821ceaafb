//! Register: a mask drawn from its clip still lies on it after the fit, for any size, crop and list of frames.
//!
//! The clip is a picture of few blocks of colour; its mask, the bright ones, at the clip's size or larger. The picture
//! is fitted here by itself: where all of a fitted pixel's footprint has one colour, that is its colour under any
//! filter that looks no further, and the mask must be white there exactly if that colour is bright.

use ndarray::Array2;
use proptest::prelude::*;
use tensor_batch::Geometry;

use crate::support::{COVER, HALF, frame_lists, plan, rgb, size, targets, video};

type Colour = [u8; 3];

/// A clip of one size, its frames of few blocks of colour.
fn clips() -> impl Strategy<Value = Vec<Array2<Colour>>> {
    (8usize..120, 8usize..120, 1usize..4, 1usize..4).prop_flat_map(|(height, width, down, across)| {
        let colours = prop::collection::vec(any::<Colour>(), down * across);
        let cuts = (prop::collection::vec(0..height, down - 1), prop::collection::vec(0..width, across - 1));
        let frame = (colours, cuts).prop_map(move |(colours, (rows, columns))| {
            let block = |cuts: &[usize], at: usize| cuts.iter().filter(|cut| **cut <= at).count();
            Array2::from_shape_fn((height, width), |(y, x)| {
                colours[block(&rows, y) * across + block(&columns, x)]
            })
        });
        prop::collection::vec(frame, 1..6)
    })
}

fn is_bright(colour: Colour) -> bool {
    colour.iter().map(|channel| u32::from(*channel)).sum::<u32>() * 2 >= 3 * 255
}

/// The colour of the clip's pixels that a fitted pixel shows, if they agree.
fn colour(clip: &Array2<Colour>, geometry: &Geometry, y: u32, x: u32) -> Option<Colour> {
    let shown = |at: u32, n: usize, whole: u32| {
        let (at, n, whole) = (at as usize, n, whole as usize);
        at * n / whole..((at + 1) * n).div_ceil(whole)
    };
    let rows = shown(y + geometry.top, clip.nrows(), geometry.resized.height);
    let columns = shown(x + geometry.left, clip.ncols(), geometry.resized.width);
    let first = clip[[rows.start, columns.start]];
    let agree = rows.into_iter().all(|y| columns.clone().all(|x| clip[[y, x]] == first));
    agree.then_some(first)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_mask_of_the_bright_pixels_lies_on_the_bright_pixels(
        clip in clips(),
        target in targets(),
        (list, clip_frames) in frame_lists(),
        (down, across) in (1usize..4, 1usize..4),
    ) {
        let (height, width) = clip[0].dim();
        let plan = plan(size(width as u32, height as u32), target, list);
        let masks: Vec<_> = clip
            .iter()
            .map(|frame| {
                let bright = |(y, x)| is_bright(frame[[y / down, x / across]]);
                rgb(&Array2::from_shape_fn((height * down, width * across), bright))
            })
            .collect();
        for rule in [COVER, HALF] {
            let fitted = video(rule, &masks, clip_frames, &plan).pixels;
            let mut compared = 0;
            for ((f, y, x), white) in fitted.values().indexed_iter() {
                // The clip has as many different frames as its mask, and then stands still.
                let frame = &clip[(clip.len() - 1).min(plan.frames.indices()[f] as usize)];
                if let Some(colour) = colour(frame, &plan.geometry, y as u32, x as u32) {
                    prop_assert_eq!(*white, is_bright(colour), "frame {} at {} {}", f, y, x);
                    compared += 1;
                }
            }
            prop_assert!(compared > 0 || target.width.min(target.height) < 8);
        }
    }
}
