//! A frame with its mask laid over it.

use std::ops::Range;

use image::{Rgb, RgbImage, imageops};
use tensor_batch::{CELL_FRAMES, CELL_PIXELS, FittedClip};

use super::text::mixed;

const WHITE_AREA: Rgb<u8> = Rgb([255, 40, 40]);
const OUTLINE: Rgb<u8> = Rgb([255, 220, 0]);

/// Frame `frame` of a clip, scaled to `[width, height]`: what is white in the mask is tinted, cells to regenerate are
/// outlined.
pub(crate) fn draw(fitted: &FittedClip, frame: usize, [width, height]: [u32; 2]) -> RgbImage {
    let mut tile = scaled(fitted, frame, [width, height]);
    let marks = Marks { fitted, frame, size: [width, height] };
    for (x, y, pixel) in tile.enumerate_pixels_mut() {
        if marks.is_white(x, y) {
            *pixel = mixed(*pixel, WHITE_AREA, 0.4);
        }
        if marks.is_outline(x, y) {
            *pixel = mixed(*pixel, OUTLINE, 0.7);
        }
    }
    tile
}

fn scaled(fitted: &FittedClip, frame: usize, [width, height]: [u32; 2]) -> RgbImage {
    let pixels = fitted.clip().pixels();
    let (_, rows, columns, _) = pixels.dim();
    let at = |x: u32, y: u32| Rgb([0, 1, 2].map(|channel| pixels[[frame, y as usize, x as usize, channel]]));
    let picture = RgbImage::from_fn(columns as u32, rows as u32, at);
    imageops::resize(&picture, width, height, imageops::FilterType::Triangle)
}

struct Marks<'a> {
    fitted: &'a FittedClip,
    frame: usize,
    size: [u32; 2],
}

impl Marks<'_> {
    /// Whether any mask pixel under this pixel of the tile is white: a thin line must not vanish.
    fn is_white(&self, x: u32, y: u32) -> bool {
        let mask = self.fitted.mask().values();
        let (_, rows, columns) = mask.dim();
        let (xs, ys) = (under(x, self.size[0], columns), under(y, self.size[1], rows));
        ys.into_iter().any(|y| xs.clone().any(|x| mask[[self.frame, y, x]]))
    }

    /// Whether this pixel lies on the edge of a cell to regenerate.
    fn is_outline(&self, x: u32, y: u32) -> bool {
        let Some(own) = self.cell(x, y).filter(|cell| self.is_regenerated(*cell)) else { return false };
        let before = [(x.wrapping_sub(1), y), (x, y.wrapping_sub(1))];
        let after = [(x + 1, y), (x, y + 1)];
        // Neighbours share a line, which is drawn by the latter.
        before.into_iter().any(|(x, y)| self.cell(x, y) != Some(own))
            || after
                .into_iter()
                .any(|(x, y)| self.cell(x, y).is_none_or(|cell| cell != own && !self.is_regenerated(cell)))
    }

    /// The row and column of the cell that this pixel shows; none beyond the edge.
    fn cell(&self, x: u32, y: u32) -> Option<[usize; 2]> {
        let (_, rows, columns) = self.fitted.mask().values().dim();
        let inside = x < self.size[0] && y < self.size[1];
        let of = |at: u32, size: u32, pixels: usize| under(at, size, pixels).start / CELL_PIXELS as usize;
        inside.then(|| [of(y, self.size[1], rows), of(x, self.size[0], columns)])
    }

    fn is_regenerated(&self, [row, column]: [usize; 2]) -> bool {
        let latent_frame = self.frame.div_ceil(CELL_FRAMES as usize);
        !self.fitted.latent_mask().keep().values()[[latent_frame, row, column]]
    }
}

/// Which of `pixels` lie under pixel `at` of `size`: at least one.
fn under(at: u32, size: u32, pixels: usize) -> Range<usize> {
    let (at, size) = (at as usize, size as usize);
    let start = at * pixels / size;
    start..((at + 1) * pixels).div_ceil(size).clamp(start + 1, pixels.max(start + 1))
}

#[cfg(test)]
mod tests {
    use ndarray::{Array3, Array4};
    use tensor_batch::{Clip, FrameRate, LatentMask, Mask, Stem};

    use super::*;

    /// A grey clip of 9 frames, 64x64, whose mask has one white pixel in frame 8, at row 5 and column 40.
    fn fitted() -> FittedClip {
        let clip = Clip::new(Array4::from_elem([9, 64, 64, 3], 100), FrameRate::DEFAULT).unwrap();
        let mut mask = Array3::default([9, 64, 64]);
        mask[[8, 5, 40]] = true;
        let mut keep = Array3::from_elem([2, 2, 2], true);
        keep[[1, 0, 1]] = false;
        let latent = LatentMask::new(Mask::new(keep)).unwrap();
        FittedClip::new(Stem::new("a"), clip, Mask::new(mask), latent, None).unwrap()
    }

    /// The pixels of a tile that are not grey.
    fn marked(frame: usize, side: u32) -> Vec<(u32, u32)> {
        let tile = draw(&fitted(), frame, [side, side]);
        tile.enumerate_pixels()
            .filter(|(_, _, pixel)| **pixel != Rgb([100; 3]))
            .map(|(x, y, _)| (x, y))
            .collect()
    }

    #[test]
    fn a_frame_shows_its_own_cells_and_its_own_white() {
        assert_eq!(marked(0, 64), []);
        let edge = |x: u32, y: u32| (x == 32 || x == 63 || y == 0 || y == 31) && x >= 32 && y < 32;
        let outline: Vec<_> =
            (0..64).flat_map(|y| (0..64).map(move |x| (x, y))).filter(|(x, y)| edge(*x, *y)).collect();
        assert_eq!(marked(3, 64), outline, "the cell is regenerated in all of its frames");
        let mut with_white = outline.clone();
        with_white.push((40, 5));
        with_white.sort_by_key(|(x, y)| (*y, *x));
        assert_eq!(marked(8, 64), with_white);
    }

    #[test]
    fn one_white_pixel_is_seen_at_any_scale() {
        let tints = |side: u32| {
            let tile = draw(&fitted(), 8, [side, side]);
            tile.pixels().filter(|pixel| pixel.0[0] > 110 && pixel.0[1] < 90).count()
        };
        for side in [20, 33, 64, 100, 256] {
            assert!(tints(side) >= 1, "{side}");
        }
    }
}
