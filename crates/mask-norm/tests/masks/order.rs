//! More white never regenerates less, under any rule: not for a brighter grey, nor for a white pixel more.

use mask_norm::{Growth, LatentRule};
use ndarray::{Array3, Array4, Axis};
use proptest::prelude::*;

use crate::support::{COVER, HALF, frame_lists, plan, sizes, targets, video};

/// The frames of a grey mask and of one as bright or brighter everywhere; some greys are at the edges of decisions.
fn greys() -> impl Strategy<Value = [Vec<Array3<u8>>; 2]> {
    let grey = prop_oneof![Just(0u8), Just(127), Just(128), Just(255), any::<u8>()];
    let brighter = prop_oneof![3 => Just(0u8), 1 => Just(1), 1 => any::<u8>()];
    (1usize..40, 1usize..40, 1usize..4).prop_flat_map(move |(height, width, frames)| {
        let all = prop::collection::vec((grey.clone(), brighter.clone()), frames * height * width);
        all.prop_map(move |all| {
            let dims = (frames, height, width, 1);
            let dark = Array4::from_shape_vec(dims, all.iter().map(|pixel| pixel.0).collect()).unwrap();
            let bright = all.iter().map(|pixel| pixel.0.saturating_add(pixel.1)).collect();
            [dark, Array4::from_shape_vec(dims, bright).unwrap()].map(|grey| {
                let rgb = grey.broadcast((frames, height, width, 3)).unwrap().to_owned();
                rgb.axis_iter(Axis(0)).map(|frame| frame.to_owned()).collect()
            })
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn brighter_videos_never_regenerate_less(
        [dark, bright] in greys(), source in sizes(), target in targets(), (list, clip_frames) in frame_lists()
    ) {
        let plan = plan(source, target, list);
        let growth = Growth { pixels: 2, frames: 1 };
        for rule in [COVER, HALF, LatentRule::Reference, LatentRule::Cover(growth), LatentRule::Half(growth)] {
            let [dark, bright] = [&dark, &bright].map(|frames| video(rule, frames, clip_frames, &plan));
            prop_assert!(dark.pixels.values().iter().zip(bright.pixels.values()).all(|(a, b)| a <= b), "{:?}", rule);
            prop_assert!(dark.cells.values().iter().zip(bright.cells.values()).all(|(a, b)| a <= b), "{:?}", rule);
        }
    }

    #[test]
    fn brighter_images_never_regenerate_less(
        [dark, bright] in greys(), source in sizes(), target in targets()
    ) {
        let plan = plan(source, target, crate::support::first());
        for rule in [COVER, HALF, LatentRule::Reference] {
            let [dark, bright] = [&dark[0], &bright[0]].map(|frame| {
                let (height, width, _) = frame.dim();
                let raw = frame.iter().copied().collect();
                let image = image::RgbImage::from_raw(width as u32, height as u32, raw).unwrap();
                let file = crate::images::encoded(image, image::ImageFormat::Png);
                rule.image(&file, &Default::default(), &plan).unwrap()
            });
            prop_assert!(dark.pixels.values().iter().zip(bright.pixels.values()).all(|(a, b)| a <= b), "{:?}", rule);
            prop_assert!(dark.cells.values().iter().zip(bright.cells.values()).all(|(a, b)| a <= b), "{:?}", rule);
        }
    }
}
