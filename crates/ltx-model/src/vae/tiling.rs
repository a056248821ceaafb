//! Where tiles lie, and how much each of them counts where they overlap. Pure arithmetic.

use tensor_batch::{Blame, CELL_FRAMES, CELL_PIXELS, Fault};

const FRAMES: usize = CELL_FRAMES as usize;
const PIXELS: usize = CELL_PIXELS as usize;
/// What the encoder sees beyond a tile's border must have faded before it counts.
const LEAST_ENCODE_OVERLAP: [usize; 2] = [16, 64];

/// Size and overlap of the tiles along one axis, in pixels or frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tile {
    size: usize,
    overlap: usize,
}

impl Tile {
    /// Tiles of `size`, each sharing `overlap` with the next.
    ///
    /// # Errors
    /// If the overlap is not smaller than the tile.
    pub fn new(size: usize, overlap: usize) -> Result<Self, TilingError> {
        if overlap >= size {
            Err(TilingError::OverlapTooLarge { size, overlap })
        } else {
            Ok(Self { size, overlap })
        }
    }
}

/// Tiles along each axis; an axis without is not divided.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tiling {
    /// In frames.
    pub frames: Option<Tile>,
    /// In pixels.
    pub height: Option<Tile>,
    /// In pixels.
    pub width: Option<Tile>,
}

impl Tiling {
    /// Encoding needs overlaps of 16 frames and 64 pixels.
    pub(super) fn check_for_encoding(&self) -> Result<(), TilingError> {
        let [frames, pixels] = LEAST_ENCODE_OVERLAP;
        for (axis, tile, least) in
            [("frames", self.frames, frames), ("height", self.height, pixels), ("width", self.width, pixels)]
        {
            if let Some(Tile { overlap, .. }) = tile
                && overlap < least
            {
                return Err(TilingError::OverlapTooSmall { axis, overlap, least });
            }
        }
        Ok(())
    }
}

/// Why tiles cannot be laid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TilingError {
    /// The tiles would not advance.
    #[error("tiles of {size} overlap by {overlap}, expected an overlap smaller than the tile")]
    OverlapTooLarge {
        /// Of the tile.
        size: usize,
        /// Asked for.
        overlap: usize,
    },
    /// The encoder's tiles would show their borders.
    #[error("tiles overlap by {overlap} along {axis}, expected at least {least}")]
    OverlapTooSmall {
        /// `frames`, `height` or `width`.
        axis: &'static str,
        /// Asked for.
        overlap: usize,
        /// Frames or pixels.
        least: usize,
    },
    /// The tiles would not lie on the latent grid.
    #[error("tiles of {size} overlap by {overlap}, expected multiples of {cell}")]
    OffGrid {
        /// Of the tile.
        size: usize,
        /// Asked for.
        overlap: usize,
        /// Pixels of a latent cell.
        cell: usize,
    },
}

impl Blame for TilingError {
    /// Tile sizes are the operator's choice.
    fn fault(&self) -> Fault {
        Fault::Service
    }

    fn kind(&self) -> &'static str {
        "tiling"
    }
}

/// One tile's part of an axis, and the lengths over which it fades in and out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    /// First position.
    pub start: usize,
    /// Behind the last position.
    pub end: usize,
    /// Positions from `start` on.
    pub left_ramp: usize,
    /// Positions up to `end`.
    pub right_ramp: usize,
}

impl Interval {
    /// The tiles of `cells` latent rows or columns, in cells; `tile` in pixels.
    pub fn spatial(cells: usize, tile: Option<Tile>) -> Vec<Self> {
        divide(cells, tile, PIXELS)
    }

    /// The tiles of `latents` latent frames, in those; `tile` in pixel frames. Each tile but the first starts one
    /// frame earlier, because a tile's first latent frame stands for a single pixel frame.
    pub fn temporal(latents: usize, tile: Option<Tile>) -> Vec<Self> {
        let mut intervals = divide(latents, tile, FRAMES);
        for interval in intervals.iter_mut().skip(1) {
            interval.start -= 1;
            interval.left_ramp += 1;
        }
        intervals
    }

    /// The tiles of `cells` rows or columns as the dataset's encoder lays them, in cells; `tile` in pixels.
    pub(super) fn on_grid(cells: usize, Tile { size, overlap }: Tile) -> Result<Vec<Self>, TilingError> {
        if !size.is_multiple_of(PIXELS) || !overlap.is_multiple_of(PIXELS) {
            return Err(TilingError::OffGrid { size, overlap, cell: PIXELS });
        }
        Ok(lay(cells, size / PIXELS, overlap / PIXELS))
    }

    /// The pixels of latent rows or columns.
    #[must_use]
    pub fn to_pixels(self) -> Self {
        Self {
            start: self.start * PIXELS,
            end: self.end * PIXELS,
            left_ramp: self.left_ramp * PIXELS,
            right_ramp: self.right_ramp * PIXELS,
        }
    }

    /// The pixel frames of latent frames.
    #[must_use]
    pub fn to_frames(self) -> Self {
        Self {
            start: self.start * FRAMES,
            end: 1 + (self.end - 1) * FRAMES,
            left_ramp: if self.left_ramp == 0 { 0 } else { 1 + (self.left_ramp - 1) * FRAMES },
            right_ramp: self.right_ramp * FRAMES,
        }
    }

    /// How many positions.
    pub fn length(&self) -> usize {
        self.end - self.start
    }

    /// What each position counts along height or width: `i/(r+1)`, i = 1..r, on a ramp of length r.
    pub fn spatial_weights(&self) -> Vec<f32> {
        let step = 1.0 / (self.left_ramp + 1) as f32;
        self.weights(|i| (i + 1) as f32 * step)
    }

    /// What each position counts along time: from 0 on, `i/r`, because a tile's first frame is another one than it
    /// would be further in.
    pub fn temporal_weights(&self) -> Vec<f32> {
        let ramp = self.left_ramp as f32;
        self.weights(|i| i as f32 / ramp)
    }

    fn weights(&self, rise: impl Fn(usize) -> f32) -> Vec<f32> {
        let mut weights = vec![1.0; self.length()];
        for (i, weight) in weights.iter_mut().take(self.left_ramp).enumerate() {
            *weight = rise(i);
        }
        let step = 1.0 / (self.right_ramp + 1) as f32;
        for (i, weight) in weights.iter_mut().rev().take(self.right_ramp).enumerate() {
            *weight *= (i + 1) as f32 * step;
        }
        weights
    }
}

fn divide(length: usize, tile: Option<Tile>, cell: usize) -> Vec<Interval> {
    let Some(Tile { size, overlap }) = tile else { return lay(length, length, 0) };
    let overlap = overlap / cell;
    lay(length, (size / cell).max(overlap + 1).max(2), overlap)
}

/// As few intervals of `size` as cover `length`, each sharing `overlap` with the next; the last may be shorter.
fn lay(length: usize, size: usize, overlap: usize) -> Vec<Interval> {
    if length <= size {
        return vec![Interval { start: 0, end: length, left_ramp: 0, right_ramp: 0 }];
    }
    let step = size - overlap;
    let count = (length - overlap).div_ceil(step);
    let interval = |i: usize| Interval {
        start: i * step,
        end: (i * step + size).min(length),
        left_ramp: if i == 0 { 0 } else { overlap },
        right_ramp: if i + 1 == count { 0 } else { overlap },
    };
    (0..count).map(interval).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(intervals: &[Interval]) -> Vec<[usize; 4]> {
        intervals.iter().map(|i| [i.start, i.end, i.left_ramp, i.right_ramp]).collect()
    }

    #[test]
    fn tiles_cover_an_axis_and_the_last_is_shorter() {
        let tile = Tile::new(384, 192).ok();
        let wanted = [[0, 12, 0, 6], [6, 18, 6, 6], [12, 24, 6, 6], [18, 26, 6, 0]];
        assert_eq!(ends(&Interval::spatial(26, tile)), wanted);
        assert_eq!(ends(&Interval::spatial(12, tile)), [[0, 12, 0, 0]]);
        assert_eq!(ends(&Interval::spatial(100, None)), [[0, 100, 0, 0]]);
    }

    #[test]
    fn along_time_a_tile_starts_a_frame_earlier_and_forgets_it() {
        let intervals = Interval::temporal(12, Tile::new(80, 24).ok());
        assert_eq!(ends(&intervals), [[0, 10, 0, 3], [6, 12, 4, 0]]);
        assert_eq!(
            ends(&[intervals[0].to_frames(), intervals[1].to_frames()]),
            [[0, 73, 0, 24], [48, 89, 25, 0]]
        );
        assert_eq!(intervals[1].temporal_weights(), [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]);
    }

    #[test]
    fn ramps_of_neighbours_add_up_to_one() {
        let [first, second]: [Interval; 2] = Interval::spatial(5, Tile::new(96, 32).ok()).try_into().unwrap();
        assert_eq!(first.spatial_weights(), [1.0, 1.0, 0.5]);
        assert_eq!(second.spatial_weights(), [0.5, 1.0, 1.0]);
    }

    #[test]
    fn overlaps_have_limits() {
        assert_eq!(Tile::new(64, 64), Err(TilingError::OverlapTooLarge { size: 64, overlap: 64 }));
        let tiling = Tiling { width: Tile::new(128, 32).ok(), ..Tiling::default() };
        let wanted = TilingError::OverlapTooSmall { axis: "width", overlap: 32, least: 64 };
        assert_eq!(tiling.check_for_encoding(), Err(wanted));
        let off_grid = Interval::on_grid(9, Tile::new(100, 32).unwrap());
        assert_eq!(off_grid, Err(TilingError::OffGrid { size: 100, overlap: 32, cell: 32 }));
    }
}
