//! What holds for every mask, whatever its size and its clip's.

use mask_norm::{MaskFrame, cover};
use ndarray::{Array2, Array3};
use proptest::prelude::*;
use tensor_batch::{Edit, Geometry, Mask, Size};

/// A mask of few white pixels, as `(height, width, white)`.
fn sparse() -> impl Strategy<Value = Array2<bool>> {
    (1usize..120, 1usize..120).prop_flat_map(|(height, width)| {
        prop::collection::vec((0..height, 0..width), 0..6).prop_map(move |white| {
            let mut mask = Array2::default((height, width));
            white.into_iter().for_each(|at| mask[at] = true);
            mask
        })
    })
}

fn geometry() -> impl Strategy<Value = Geometry> {
    (1u32..300, 1u32..300, 1u32..4, 1u32..4).prop_map(|(width, height, across, down)| {
        Geometry::fill(Size { width, height }, Size { width: 32 * across, height: 32 * down })
    })
}

fn frame(mask: &Array2<bool>) -> MaskFrame {
    let (height, width) = mask.dim();
    let pixels = Array3::from_shape_fn((height, width, 3), |(y, x, _)| u8::from(mask[[y, x]]) * 255);
    MaskFrame::from_rgb(pixels.view())
}

fn cells(fitted: &Array2<bool>) -> Array2<bool> {
    let mask = Mask::<Edit>::new(fitted.clone().insert_axis(ndarray::Axis(0)));
    cover(&mask).values().index_axis(ndarray::Axis(0), 0).to_owned()
}

/// Whether `n` source pixels' pixel `i` overlaps fitted pixels `from..to` of the crop, in whole numbers: both are
/// measured in `n * whole` parts.
fn overlaps(i: usize, n: usize, offset: u32, whole: u32, from: usize, to: usize) -> bool {
    let (i, n, offset, whole) = (i as u64, n as u64, u64::from(offset), u64::from(whole));
    let (from, to) = ((from as u64 + offset) * n, (to as u64 + offset) * n);
    i * whole < to && from < (i + 1) * whole
}

/// Whether a white pixel overlaps these fitted rows and columns.
fn touches(
    mask: &Array2<bool>,
    white: &[(usize, usize)],
    plan: &Geometry,
    rows: [usize; 2],
    columns: [usize; 2],
) -> bool {
    let (height, width) = mask.dim();
    white.iter().any(|&(y, x)| {
        overlaps(y, height, plan.top, plan.resized.height, rows[0], rows[1])
            && overlaps(x, width, plan.left, plan.resized.width, columns[0], columns[1])
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_cell_is_regenerated_exactly_where_a_white_pixel_touches_it(mask in sparse(), plan in geometry()) {
        let fitted = frame(&mask).fit(&plan);
        let white: Vec<_> = mask.indexed_iter().filter(|(_, white)| **white).map(|(at, _)| at).collect();
        for ((y, x), cell) in cells(&fitted).indexed_iter() {
            let touched = touches(&mask, &white, &plan, [32 * y, 32 * y + 32], [32 * x, 32 * x + 32]);
            prop_assert_eq!(*cell, touched, "cell {} {}", y, x);
        }
        for ((y, x), pixel) in fitted.indexed_iter() {
            prop_assert_eq!(*pixel, touches(&mask, &white, &plan, [y, y + 1], [x, x + 1]), "pixel {} {}", y, x);
        }
    }

    #[test]
    fn more_white_never_regenerates_less(mask in sparse(), plan in geometry(), y in any::<prop::sample::Index>(), x in any::<prop::sample::Index>()) {
        let mut more = mask.clone();
        more[[y.index(mask.nrows()), x.index(mask.ncols())]] = true;
        let (before, after) = (frame(&mask).fit(&plan), frame(&more).fit(&plan));
        prop_assert!(before.iter().zip(&after).all(|(before, after)| before <= after));
        prop_assert!(cells(&before).iter().zip(&cells(&after)).all(|(before, after)| before <= after));
    }

    #[test]
    fn keeping_and_regenerating_are_complements(mask in sparse(), plan in geometry()) {
        let edit = cover(&Mask::new(frame(&mask).fit(&plan).insert_axis(ndarray::Axis(0))));
        let keep = edit.clone().into_keep();
        prop_assert!(edit.values().iter().zip(keep.values()).all(|(edit, keep)| edit != keep));
    }

    #[test]
    fn a_mask_drawn_from_its_clip_at_another_size_is_the_same_mask(
        mask in sparse(), plan in geometry(), (across, down) in (1usize..4, 1usize..4)
    ) {
        let (height, width) = mask.dim();
        let larger = Array2::from_shape_fn((height * down, width * across), |(y, x)| mask[[y / down, x / across]]);
        prop_assert_eq!(frame(&mask).fit(&plan), frame(&larger).fit(&plan));
    }

    #[test]
    fn no_dimensions_panic(
        (height, width) in (0usize..40, 0usize..40),
        sizes in prop::array::uniform3((0u32..80, 0u32..80)),
        (left, top) in (any::<u32>(), any::<u32>()),
        dims in prop::array::uniform3(0usize..50),
    ) {
        let [source, resized, target] = sizes.map(|(width, height)| Size { width, height });
        let mask = frame(&Array2::from_elem((height, width), true));
        mask.fit(&Geometry { source, resized, left, top, target });
        cover(&Mask::new(Array3::from_elem(dims, true)));
    }
}
