//! What compositing promises, for any frame and any mask.

use mask_norm::{Feather, composite};
use ndarray::{Array2, Array3};
use proptest::prelude::*;

/// Two frames and a mask of one size. Masks are noise, or two areas with a straight edge between them.
fn frames() -> impl Strategy<Value = (Array3<u8>, Array3<u8>, Array2<bool>)> {
    (1usize..24, 1usize..24).prop_flat_map(|(height, width)| {
        let frame = || {
            let pixels = prop::collection::vec(any::<u8>(), height * width * 3);
            pixels.prop_map(move |pixels| Array3::from_shape_vec((height, width, 3), pixels).unwrap())
        };
        let noise = prop::collection::vec(any::<bool>(), height * width)
            .prop_map(move |white| Array2::from_shape_vec((height, width), white).unwrap());
        let areas = (-40i32..40, -40i32..40, -40i32..40).prop_map(move |(a, b, c)| {
            Array2::from_shape_fn((height, width), |(y, x)| a * y as i32 + b * x as i32 > c)
        });
        (frame(), frame(), prop_oneof![noise, areas])
    })
}

proptest! {
    #[test]
    fn kept_pixels_are_the_source_bit_for_bit_and_white_ones_lie_between((source, generated, white) in frames(), pixels in 0u32..20) {
        let frame = composite(source.view(), generated.view(), white.view(), Feather { pixels }).unwrap();
        for ((y, x, channel), pixel) in frame.indexed_iter() {
            let (from, to) = (source[[y, x, channel]], generated[[y, x, channel]]);
            if white[[y, x]] {
                prop_assert!((from.min(to)..=from.max(to)).contains(pixel), "{} of {} and {}", pixel, from, to);
            } else {
                prop_assert_eq!(*pixel, from);
            }
        }
    }

    #[test]
    fn without_a_feather_white_pixels_are_the_generated_ones((source, generated, white) in frames()) {
        let frame = composite(source.view(), generated.view(), white.view(), Feather { pixels: 0 }).unwrap();
        for ((y, x, channel), pixel) in frame.indexed_iter() {
            let wanted = if white[[y, x]] { &generated } else { &source };
            prop_assert_eq!(*pixel, wanted[[y, x, channel]]);
        }
    }

    #[test]
    fn beyond_the_feather_white_pixels_are_the_generated_ones((source, generated, white) in frames(), pixels in 0u32..6) {
        let frame = composite(source.view(), generated.view(), white.view(), Feather { pixels }).unwrap();
        let kept: Vec<(usize, usize)> =
            white.indexed_iter().filter(|(_, white)| !**white).map(|(at, _)| at).collect();
        for ((y, x, channel), pixel) in frame.indexed_iter() {
            let squared = |(v, u): &(usize, usize)| v.abs_diff(y).pow(2) + u.abs_diff(x).pow(2);
            let beyond = kept.iter().all(|kept| squared(kept) >= (pixels as usize + 1).pow(2));
            if white[[y, x]] && beyond {
                prop_assert_eq!(*pixel, generated[[y, x, channel]]);
            }
        }
    }
}
