//! A mask laid over its whole clip, then scaled and cropped as the clip is.

use std::ops::Range;

use ndarray::{Array2, ArrayViewMut2, Axis};
use tensor_batch::Geometry;

use crate::MaskFrame;

impl MaskFrame {
    /// The mask in the bucket, `[height, width]`: white where the pixel's footprint on the mask holds any white.
    ///
    /// A footprint is the part of the mask that the fitted pixel shows. Footprints lie side by side, so every mask
    /// pixel inside the crop belongs to at least one; one that is only touched at its edge does not count.
    pub fn fit(&self, geometry: &Geometry) -> Array2<bool> {
        let mut fitted = Array2::default((geometry.target.height as usize, geometry.target.width as usize));
        self.fit_into(geometry, fitted.view_mut());
        fitted
    }

    pub(crate) fn fit_into(&self, geometry: &Geometry, mut fitted: ArrayViewMut2<'_, bool>) {
        let (height, width) = self.white().dim();
        let rows = footprints(geometry.top, fitted.nrows(), geometry.resized.height, height);
        let columns = footprints(geometry.left, fitted.ncols(), geometry.resized.width, width);
        let mut any_in_rows = vec![false; width];
        for (mut out, rows) in fitted.outer_iter_mut().zip(rows) {
            any_in_rows.fill(false);
            for row in rows {
                let row = self.white().index_axis(Axis(0), row);
                any_in_rows.iter_mut().zip(row).for_each(|(any, white)| *any |= white);
            }
            for (out, columns) in out.iter_mut().zip(&columns) {
                *out = any_in_rows.get(columns.clone()).is_some_and(|part| part.contains(&true));
            }
        }
    }
}

/// For each of `count` fitted pixels from `offset` on, the mask's pixels that it overlaps; `whole` fitted pixels span
/// all `pixels` of the mask. In whole numbers: a float would now and then take in a neighbour, or lose a pixel.
fn footprints(offset: u32, count: usize, whole: u32, pixels: usize) -> Vec<Range<usize>> {
    let (whole, pixels) = (u64::from(whole).max(1), pixels as u64);
    let footprint = |i: u64| {
        let start = i * pixels / whole;
        let end = ((i + 1) * pixels).div_ceil(whole).min(pixels);
        start as usize..end as usize
    };
    (u64::from(offset)..).take(count).map(footprint).collect()
}

#[cfg(test)]
mod tests {
    use ndarray::{Array3, arr2};
    use tensor_batch::Size;

    use super::*;

    fn frame(white: &Array2<bool>) -> MaskFrame {
        let (height, width) = white.dim();
        MaskFrame::from_rgb(
            Array3::from_shape_fn((height, width, 3), |(y, x, _)| u8::from(white[[y, x]]) * 255).view(),
        )
    }

    fn size(width: u32, height: u32) -> Size {
        Size { width, height }
    }

    #[test]
    fn footprints_are_exact_where_floats_are_not() {
        // In floats, 49 * (1.0 / 49.0) < 1.0.
        for whole in 1..200u32 {
            let each: Vec<_> = footprints(0, whole as usize, whole, whole as usize);
            assert!(each.iter().enumerate().all(|(i, range)| *range == (i..i + 1)), "{whole}");
        }
        assert_eq!(footprints(0, 3, 3, 2), [0..1, 0..2, 1..2]);
        assert_eq!(footprints(1, 2, 4, 8), [2..4, 4..6]);
    }

    #[test]
    fn a_mask_of_another_size_lies_over_the_whole_clip() {
        // A clip of 64x32 in a square of 32: a quarter is cut off on each side. The mask has 4x1 pixels.
        let geometry = Geometry::fill(size(64, 32), size(32, 32));
        let fitted = frame(&arr2(&[[true, false, true, false]])).fit(&geometry);
        assert_eq!(fitted, Array2::from_shape_fn((32, 32), |(_, x)| x >= 16));
    }

    #[test]
    fn a_line_of_one_pixel_survives_any_scaling_down() {
        let geometry = Geometry::fill(size(1280, 720), size(64, 64));
        let line = Array2::from_shape_fn((1080, 960), |(y, _)| y == 617);
        let fitted = frame(&line).fit(&geometry);
        assert_eq!(fitted, Array2::from_shape_fn((64, 64), |(y, _)| y == 617 * 64 / 1080));
    }

    #[test]
    fn an_empty_mask_is_black() {
        let geometry = Geometry::fill(size(64, 32), size(32, 32));
        assert!(!frame(&Array2::default((0, 0))).fit(&geometry).iter().any(|white| *white));
    }
}
