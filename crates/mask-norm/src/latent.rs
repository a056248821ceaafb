//! From a mask of pixels to a mask of latent cells.

use ndarray::{Array3, Axis};
use tensor_batch::{CELL_FRAMES, CELL_PIXELS};

use crate::share::Share;

/// The cells of a mask, `[F, H, W]` to `[F', H', W']`: a cell is regenerated if enough of its 32x32 pixels in all its
/// frames is white. Latent frame 0 is pixel frame 0, latent frame k is pixel frames 8k-7 to 8k, as the VAE has it.
///
/// Sizes that fill no whole cell get one for the rest, of which the share is taken.
pub(crate) fn cells(pixels: &Array3<bool>, share: Share) -> Array3<bool> {
    let cell = CELL_PIXELS as usize;
    let (frames, height, width) = pixels.dim();
    let mut white =
        Array3::<u64>::default((latent_frames(frames), height.div_ceil(cell), width.div_ceil(cell)));
    let pixels = pixels.as_standard_layout();
    let rows = pixels.as_slice().unwrap_or_default().chunks(width.max(1));
    for (i, row) in rows.enumerate() {
        let (frame, y) = (i / height, i % height);
        let mut plane = white.index_axis_mut(Axis(0), latent_frame(frame));
        for (white, pixels) in plane.row_mut(y / cell).iter_mut().zip(row.chunks(cell)) {
            *white += pixels.iter().map(|pixel| u64::from(*pixel)).sum::<u64>();
        }
    }
    let all = |(k, y, x)| frames_of(k, frames) * pixels_of(y, height) * pixels_of(x, width);
    Array3::from_shape_fn(white.dim(), |at| share.is_met(white[at], all(at)))
}

/// How many latent frames there are for so many pixel frames.
pub(crate) fn latent_frames(frames: usize) -> usize {
    frames.checked_sub(1).map_or(0, |last| latent_frame(last) + 1)
}

fn latent_frame(pixel_frame: usize) -> usize {
    pixel_frame.div_ceil(CELL_FRAMES as usize)
}

/// The pixel frames of latent frame `k`, where there are `frames` in all.
fn frames_of(k: usize, frames: usize) -> u64 {
    let first = (k * CELL_FRAMES as usize + 1).saturating_sub(CELL_FRAMES as usize);
    frames.min(k * CELL_FRAMES as usize + 1).saturating_sub(first) as u64
}

/// The pixels of cell `i` along an axis of `pixels`.
fn pixels_of(i: usize, pixels: usize) -> u64 {
    let cell = CELL_PIXELS as usize;
    pixels.saturating_sub(i * cell).min(cell) as u64
}

#[cfg(test)]
mod tests {
    use tensor_batch::LatentFrames;

    use super::*;

    fn with_white(dims: [usize; 3], white: [usize; 3]) -> Array3<bool> {
        let mut values = Array3::default(dims);
        values[white] = true;
        values
    }

    #[test]
    fn frames_go_where_the_vae_puts_them() {
        for k in 0..5 {
            assert!(LatentFrames::pixel_frames(k).all(|frame| latent_frame(frame as usize) == k as usize));
            assert_eq!(frames_of(k as usize, 33), LatentFrames::pixel_frames(k).len() as u64);
        }
        assert_eq!((frames_of(4, 30), frames_of(5, 30)), (5, 0));
    }

    #[test]
    fn one_white_pixel_regenerates_its_cell_and_no_other() {
        for (pixel, cell) in [
            ([0, 0, 0], [0, 0, 0]),
            ([1, 31, 32], [1, 0, 1]),
            ([8, 32, 95], [1, 1, 2]),
            ([9, 63, 0], [2, 1, 0]),
        ] {
            let cells = cells(&with_white([17, 64, 96], pixel), Share::Any);
            assert_eq!(cells, with_white([3, 2, 3], cell), "{pixel:?}");
        }
    }

    #[test]
    fn half_of_a_cell_is_half_of_all_its_frames() {
        // Latent frame 1 has 8 frames: four of them, and four less a pixel.
        let four =
            |missing: usize| Array3::from_shape_fn((9, 32, 64), |(f, y, x)| f > 4 && (y, x) >= (0, missing));
        assert_eq!(cells(&four(0), Share::Half).iter().filter(|cell| **cell).count(), 2);
        let cells = cells(&four(1), Share::Half);
        assert_eq!(cells.into_raw_vec_and_offset().0, [false, false, false, true]);
    }

    #[test]
    fn a_cell_that_is_not_whole_is_judged_by_what_there_is() {
        // One pixel across is left for the second column of cells, three frames for the third latent frame.
        let dims = (12, 32, 33);
        let half = Array3::from_shape_fn(dims, |(f, y, x)| x == 32 && if f == 9 { y < 32 } else { y < 8 });
        let cells = cells(&half, Share::Half);
        assert_eq!(cells, with_white([3, 1, 2], [2, 0, 1]));
    }

    #[test]
    fn sizes_that_fill_no_whole_cell_lose_no_white() {
        for dims in [[0, 0, 0], [1, 0, 5], [0, 40, 40]] {
            for share in [Share::Any, Share::Half] {
                assert!(!cells(&Array3::default(dims), share).iter().any(|cell| *cell));
            }
        }
        let cells = cells(&with_white([11, 33, 65], [10, 32, 64]), Share::Any);
        assert_eq!(cells, with_white([3, 2, 3], [2, 1, 2]));
    }
}
