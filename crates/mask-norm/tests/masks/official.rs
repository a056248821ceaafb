//! `Reference` on a clip's mask: the official rule on the inverted mask, written down once more from its description.

use std::iter::repeat_n;

use mask_norm::{ImageLimits, LatentRule, Reference, Scaling};
use ndarray::{Array2, Array3};
use proptest::prelude::*;
use tensor_batch::{LatentGrid, Size};

use crate::{
    images::encoded,
    support::{first, frame_lists, plan, size, sizes, video},
};

const RULE: LatentRule = LatentRule::Reference;

fn grey_frames(frames: usize) -> impl Strategy<Value = Vec<Array3<u8>>> {
    let channel = prop_oneof![3 => Just(0u8), 3 => Just(255), 1 => any::<u8>()];
    (1usize..90, 1usize..90).prop_flat_map(move |(height, width)| {
        // Blocks, so that cells are not all half white; and noise in them.
        let block = (0..height, 0..width, channel.clone(), prop::collection::vec(any::<u8>(), 7));
        let frame = block.prop_map(move |(down, across, level, noise)| {
            Array3::from_shape_fn((height, width, 3), |(y, x, channel)| {
                let inside = if (y < down) == (x < across) { level } else { 255 - level };
                if (5 * y + 3 * x + channel) % 11 == 0 { noise[(y + x) % 7] } else { inside }
            })
        });
        prop::collection::vec(frame, 1..=frames)
    })
}

fn buckets() -> impl Strategy<Value = Size> {
    (1u32..4, 1u32..4).prop_map(|(across, down)| size(32 * across, 32 * down))
}

/// Which source pixel a stretched one shows.
fn nearest(i: usize, n_in: usize, n_out: usize) -> usize {
    (i as f32 * (n_in as f32 / n_out as f32)) as usize
}

/// The brightness of each stretched pixel, of 765.
fn stretched(frame: &Array3<u8>, bucket: Size) -> Array2<u32> {
    let (height, width, _) = frame.dim();
    Array2::from_shape_fn((bucket.height as usize, bucket.width as usize), |(y, x)| {
        let (y, x) = (nearest(y, height, bucket.height as usize), nearest(x, width, bucket.width as usize));
        (0..3).map(|channel| u32::from(frame[[y, x, channel]])).sum()
    })
}

/// Twice the darkness of a cell, and the darkness of a black one.
fn darkness(frame: &Array2<u32>, y: usize, x: usize) -> (u32, u32) {
    let pixels = (32 * y..32 * y + 32).flat_map(|y| (32 * x..32 * x + 32).map(move |x| [y, x]));
    (2 * pixels.map(|at| 765 - frame[at]).sum::<u32>(), 765 * 1024)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn videos_are_inverted_stretched_and_grouped_from_frame_0_on(
        frames in grey_frames(20), source in sizes(), bucket in buckets(), (list, clip_frames) in frame_lists()
    ) {
        let plan = plan(source, bucket, list);
        let fitted = video(RULE, &frames, clip_frames, &plan);
        let shown = plan.frames.indices().iter().map(|index| (frames.len() - 1).min(*index as usize));
        let shown: Vec<Array2<u32>> = shown.map(|index| stretched(&frames[index], bucket)).collect();
        for ((f, y, x), white) in fitted.pixels.values().indexed_iter() {
            prop_assert_eq!(*white, 2 * shown[f][[y, x]] >= 765, "pixel {} {} of frame {}", y, x, f);
        }
        let last = (shown.len() - 1) / 8;
        let (down, across) = (bucket.height as usize / 32, bucket.width as usize / 32);
        prop_assert_eq!(fitted.cells.dims(), [last + 1, down, across]);
        for ((k, y, x), cell) in fitted.cells.values().indexed_iter() {
            let group = &shown[8 * k..shown.len().min(8 * k + 8)];
            let (twice, whole) = group.iter().map(|frame| darkness(frame, y, x)).max().unwrap();
            // fp32 may fall on either side of a half that is met by the colours of many pixels.
            if twice.abs_diff(whole) > 2 {
                prop_assert_eq!(*cell, twice <= whole, "cell {} {} of latent frame {}", y, x, k);
            }
        }
    }

    #[test]
    fn images_are_the_blocks_of_the_rule_put_together(frame in grey_frames(1), bucket in buckets()) {
        let (height, width, _) = frame[0].dim();
        let raw = frame[0].iter().copied().collect();
        let image = image::RgbImage::from_raw(width as u32, height as u32, raw).unwrap();
        let negative = image::RgbImage::from_fn(width as u32, height as u32, |x, y| {
            image::Rgb(image.get_pixel(x, y).0.map(|channel| 255 - channel))
        });
        let [file, negative] = [image, negative].map(|image| encoded(image, image::ImageFormat::Png));
        let plan = plan(size(1000, 50), bucket, first());
        let fitted = RULE.image(&file, &ImageLimits::default(), &plan).unwrap();

        let grid = LatentGrid { frames: 2, height: bucket.height as usize / 32, width: bucket.width as usize / 32 };
        let rule = Reference::new(grid);
        let stretched = |file: &[u8]| {
            rule.stretch(&Reference::image_grey(file, &ImageLimits::default()).unwrap(), Scaling::Bilinear)
        };
        let (bright, dark) = (stretched(&file), stretched(&negative));
        for ((_, y, x), white) in fitted.pixels.values().indexed_iter() {
            if (bright[[y, x]] - 0.5).abs() > 1e-5 {
                prop_assert_eq!(*white, bright[[y, x]] > 0.5);
            }
        }
        let keep = rule.cells(repeat_n(dark.clone(), 9));
        for ((k, y, x), cell) in fitted.cells.values().indexed_iter() {
            let mean = dark.exact_chunks((32, 32)).into_iter().nth(y * grid.width + x).unwrap().mean().unwrap();
            if (mean - 0.5).abs() > 1e-5 {
                prop_assert_eq!(*cell, !keep[[k, y, x]]);
            }
        }
    }
}

#[test]
fn exactly_half_of_a_cell_is_regenerated() {
    let bucket = plan(size(64, 32), size(64, 32), first());
    let half =
        |rows: usize| Array3::from_shape_fn((32, 64, 3), move |(y, _, _)| if y < rows { 255 } else { 0 });
    for (rows, regenerated) in [(15, 0.0), (16, 1.0)] {
        assert_eq!(video(RULE, &[half(rows)], 9, &bucket).cells.coverage(), regenerated);
    }
}

#[test]
fn a_stretched_pixel_of_exactly_half_is_white() {
    // Every other column, at half the width.
    let stripes = image::GrayImage::from_fn(64, 32, |x, _| image::Luma([if x % 2 == 0 { 255 } else { 0 }]));
    let plan = plan(size(32, 32), size(32, 32), first());
    let file = encoded(stripes, image::ImageFormat::Png);
    let fitted = RULE.image(&file, &ImageLimits::default(), &plan).unwrap();
    // At the edges there is less of one column than of the other.
    assert!(fitted.pixels.values().indexed_iter().all(|((_, _, x), white)| *white || x == 31));
}

#[test]
fn transparency_is_dropped() {
    let clear = image::RgbaImage::from_pixel(4, 4, image::Rgba([255, 255, 255, 0]));
    let file = encoded(clear, image::ImageFormat::Png);
    let plan = plan(size(32, 32), size(32, 32), first());
    let coverage =
        |rule: LatentRule| rule.image(&file, &ImageLimits::default(), &plan).unwrap().cells.coverage();
    assert_eq!((coverage(RULE), coverage(LatentRule::default())), (1.0, 0.0));
}
