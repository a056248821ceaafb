//! From a mask of pixels to a mask of latent cells.

use ndarray::{Array3, Axis};
use tensor_batch::{CELL_FRAMES, CELL_PIXELS, Edit, LatentMask, Mask};

/// The cells of a mask, `[F, H, W]` to `[F', H', W']`: a cell is regenerated if any of its 32x32 pixels in any of its
/// frames is. Latent frame 0 is pixel frame 0, latent frame k is pixel frames 8k-7 to 8k, as the VAE has it.
///
/// So nothing painted white is ever given as conditioning, and no cell is regenerated that no white pixel touches.
/// Sizes that fill no whole cell get one for the rest.
pub fn cover(mask: &Mask<Edit>) -> Mask<Edit> {
    let [frames, height, width] = mask.dims();
    let cell = CELL_PIXELS as usize;
    let latent_frames = frames.checked_sub(1).map_or(0, |last| latent_frame(last) + 1);
    let mut cells = Array3::default((latent_frames, height.div_ceil(cell), width.div_ceil(cell)));
    for (frame, pixels) in mask.values().outer_iter().enumerate() {
        let mut cells = cells.index_axis_mut(Axis(0), latent_frame(frame));
        for (y, row) in pixels.outer_iter().enumerate() {
            let row_of_cells = cells.index_axis_mut(Axis(0), y / cell);
            for (cell, pixels) in row_of_cells.into_iter().zip(row.axis_chunks_iter(Axis(0), cell)) {
                *cell |= pixels.iter().fold(false, |any, white| any | white);
            }
        }
    }
    Mask::new(cells)
}

/// What the model keeps, `[F', H', W']`; none if there is nothing to regenerate.
pub fn latent_mask(mask: &Mask<Edit>) -> Option<LatentMask> {
    LatentMask::new(cover(mask).into_keep())
}

fn latent_frame(pixel_frame: usize) -> usize {
    pixel_frame.div_ceil(CELL_FRAMES as usize)
}

#[cfg(test)]
mod tests {
    use tensor_batch::LatentFrames;

    use super::*;

    fn with_white(dims: [usize; 3], white: [usize; 3]) -> Mask<Edit> {
        let mut values = Array3::default(dims);
        values[white] = true;
        Mask::new(values)
    }

    #[test]
    fn frames_go_where_the_vae_puts_them() {
        for k in 0..5 {
            assert!(LatentFrames::pixel_frames(k).all(|frame| latent_frame(frame as usize) == k as usize));
        }
    }

    #[test]
    fn one_white_pixel_regenerates_its_cell_and_no_other() {
        for (pixel, cell) in [
            ([0, 0, 0], [0, 0, 0]),
            ([1, 31, 32], [1, 0, 1]),
            ([8, 32, 95], [1, 1, 2]),
            ([9, 63, 0], [2, 1, 0]),
        ] {
            let cells = cover(&with_white([17, 64, 96], pixel));
            assert_eq!(cells, with_white([3, 2, 3], cell), "{pixel:?}");
        }
    }

    #[test]
    fn an_all_black_mask_leaves_nothing_to_train_on() {
        assert_eq!(latent_mask(&Mask::new(Array3::default((9, 32, 32)))), None);
        let some = latent_mask(&with_white([9, 32, 64], [3, 3, 3])).unwrap();
        assert_eq!(some.generated(), 0.25);
    }

    #[test]
    fn sizes_that_fill_no_whole_cell_lose_no_white() {
        for dims in [[0, 0, 0], [1, 0, 5], [0, 40, 40]] {
            assert_eq!(cover(&Mask::new(Array3::default(dims))).coverage(), 0.0);
        }
        assert_eq!(cover(&with_white([11, 33, 65], [10, 32, 64])), with_white([3, 2, 3], [2, 1, 2]));
    }
}
