//! The official trainer's rule for masks, as it is.

use ndarray::{Array1, Array2, Array3, ArrayView3, Axis, Zip};
use tensor_batch::{CELL_FRAMES, CELL_PIXELS, FitPlan, LatentGrid};

use crate::{
    ImageLimits, MaskError, canvas::Brush, frame::MaskFrame, latent::latent_frames, picture::Picture,
    seen::Look,
};

/// The official trainer's rule for masks as it is, for comparison: 1 where the mask is bright, without any turning
/// over. [`LatentRule::Reference`](crate::LatentRule::Reference) is this rule on a clip's mask.
///
/// It differs from [`LatentRule::Half`](crate::LatentRule::Half) in three ways: the mask is stretched to the grid
/// instead of following its clip's crop; pixel frames are grouped as 0-7, 8-15 and so on, up to seven frames before the
/// VAE's own grouping; and a cell needs more than half of its pixels in any one of its frames.
///
/// Grey, in `[height, width]` and 0..1, goes through [`stretch`](Self::stretch) to `[32 H', 32 W']`, then all frames
/// through [`cells`](Self::cells).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reference {
    grid: LatentGrid,
}

/// How [`Reference::stretch`] resamples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scaling {
    /// Bilinear with antialiasing: images in training.
    Bilinear,
    /// Nearest: videos, and images in validation.
    Nearest,
}

impl Reference {
    /// The rule for clips of this grid.
    pub fn new(grid: LatentGrid) -> Self {
        Self { grid }
    }

    /// The pixel frames that the grid stands for.
    pub fn frames(&self) -> usize {
        self.grid.frames.saturating_sub(1) * CELL_FRAMES as usize + 1
    }

    /// The grey of an image file, upright, in 0..1: the mean of the channels in 8 bits. Transparency is dropped, not
    /// composited; a colour profile is not applied.
    ///
    /// # Errors
    /// As [`LatentRule::image`](crate::LatentRule::image).
    pub fn image_grey(bytes: &[u8], limits: &ImageLimits) -> Result<Array2<f32>, MaskError> {
        let picture = Picture::decode(bytes, limits)?;
        Ok(Array2::from_shape_fn(picture.dim(), |at| grey(&picture.rgb(at))))
    }

    /// The grey of a video frame, `[height, width, 3]`, in 0..1.
    pub fn frame_grey(frame: ArrayView3<'_, u8>) -> Array2<f32> {
        frame.map_axis(Axis(2), |pixel| grey(pixel.iter()))
    }

    /// Stretches a grey mask to the grid's pixels, whatever its aspect.
    pub fn stretch(&self, grey: &Array2<f32>, scaling: Scaling) -> Array2<f32> {
        let cell = CELL_PIXELS as usize;
        stretch(grey.dim(), |at| grey[at], (cell * self.grid.height, cell * self.grid.width), scaling)
    }

    /// The cells of stretched frames, `[frames, H', W']`. Frames beyond the grid's are not read; too few give fewer
    /// latent frames than the grid has.
    pub fn cells(&self, stretched: impl IntoIterator<Item = Array2<f32>>) -> Array3<bool> {
        let mut groups = Groups::new(self.grid);
        let mut read = 0;
        for (i, frame) in stretched.into_iter().take(self.frames()).enumerate() {
            groups.add(&frame, [i]);
            read = i + 1;
        }
        let mut cells = groups.bright();
        cells.slice_axis_inplace(Axis(0), (..read.div_ceil(CELL_FRAMES as usize)).into());
        cells
    }
}

/// The rule on a clip's mask, turned over before and after: what is bright is not kept.
pub(crate) struct Stretched {
    size: (usize, usize),
    keep: Groups,
    /// The inverted grey of a frame, stretched.
    dark: Array2<f32>,
}

impl Stretched {
    pub(crate) fn new(plan: &FitPlan) -> Self {
        let (height, width) = (plan.geometry.target.height as usize, plan.geometry.target.width as usize);
        let cells = |pixels: usize| pixels.div_ceil(CELL_PIXELS as usize);
        let frames = latent_frames(plan.frames.indices().len());
        let keep = Groups::new(LatentGrid { frames, height: cells(height), width: cells(width) });
        Self { size: (height, width), keep, dark: Array2::default((0, 0)) }
    }

    /// Takes up a frame of so many rows and columns; one without pixels is black.
    fn stretch(&mut self, from: (usize, usize), grey: impl Fn((usize, usize)) -> f32, scaling: Scaling) {
        self.dark = match from {
            (0, _) | (_, 0) => Array2::ones(self.size),
            _ => stretch(from, |at| 1.0 - grey(at), self.size, scaling),
        };
    }
}

impl Brush for Stretched {
    fn load_image(&mut self, picture: &Picture) -> Look {
        self.stretch(picture.dim(), |at| grey(&picture.rgb(at)), Scaling::Bilinear);
        MaskFrame::from_picture(picture).look()
    }

    fn load_frame(&mut self, frame: ArrayView3<'_, u8>) -> Look {
        let (height, width, channels) = frame.dim();
        let samples = frame.as_standard_layout();
        let samples = samples.as_slice().unwrap_or_default();
        let pixel = |(y, x)| &samples[(y * width + x) * channels..][..channels];
        self.stretch((height, width), |at| grey(pixel(at)), Scaling::Nearest);
        MaskFrame::from_rgb(frame).look()
    }

    fn paint(&mut self, pixels: &mut Array3<bool>, places: &[usize]) {
        for place in places {
            pixels.index_axis_mut(Axis(0), *place).assign(&self.dark.map(|dark| *dark <= 0.5));
        }
        self.keep.add(&self.dark, places.iter().copied());
    }

    fn finish(self: Box<Self>, _pixels: &mut Array3<bool>) -> Array3<bool> {
        self.keep.bright().mapv_into(|keep| !keep)
    }
}

/// The brightest that each cell is in any frame of its group, `[F', H', W']`.
struct Groups {
    means: Array3<f32>,
}

impl Groups {
    fn new(grid: LatentGrid) -> Self {
        Self { means: Array3::zeros(grid.dims()) }
    }

    /// Adds a stretched frame at these places among the clip's frames.
    fn add(&mut self, frame: &Array2<f32>, places: impl IntoIterator<Item = usize>) {
        let (frames, height, width) = self.means.dim();
        let means = cell_means(frame, height, width);
        let mut groups: Vec<_> = places.into_iter().map(|place| place / CELL_FRAMES as usize).collect();
        groups.dedup();
        for group in groups.into_iter().filter(|group| *group < frames) {
            Zip::from(self.means.index_axis_mut(Axis(0), group))
                .and(&means)
                .for_each(|max, mean| *max = max.max(*mean));
        }
    }

    fn bright(&self) -> Array3<bool> {
        self.means.mapv(|mean| mean > 0.5)
    }
}

fn grey<'a>(channels: impl IntoIterator<Item = &'a u8, IntoIter: ExactSizeIterator>) -> f32 {
    let channels = channels.into_iter();
    let count = channels.len().max(1) as f32;
    channels.map(|channel| LEVELS[usize::from(*channel)]).sum::<f32>() / count
}

/// Every 8-bit value in 0..1.
static LEVELS: [f32; 256] = {
    let mut levels = [0.0; 256];
    let mut value = 0;
    while value < levels.len() {
        levels[value] = value as f32 / 255.0;
        value += 1;
    }
    levels
};

/// The mean of each cell, over as many of its pixels as the frame has.
fn cell_means(frame: &Array2<f32>, height: usize, width: usize) -> Array2<f32> {
    let cell = CELL_PIXELS as usize;
    let mut sums = Array2::<(f64, u32)>::default((height, width));
    for (y, row) in frame.outer_iter().enumerate().take(cell * height) {
        let row_of_cells = sums.index_axis_mut(Axis(0), y / cell);
        for ((sum, count), pixels) in row_of_cells.into_iter().zip(row.axis_chunks_iter(Axis(0), cell)) {
            *sum += pixels.iter().copied().map(f64::from).sum::<f64>();
            *count += pixels.len() as u32;
        }
    }
    sums.mapv(|(sum, count)| (sum / f64::from(count.max(1))) as f32)
}

/// Which source pixels make up output pixel `i`, with their weights: from `(i, n_in, n_out)`.
type Taps = fn(usize, usize, usize) -> Vec<(usize, f32)>;

/// Stretches grey of `from` rows and columns to `to`. One row of the source is there at a time, and only if it is
/// needed.
fn stretch(
    from: (usize, usize),
    grey: impl Fn((usize, usize)) -> f32,
    to: (usize, usize),
    scaling: Scaling,
) -> Array2<f32> {
    let taps: Taps = match scaling {
        Scaling::Bilinear => triangle_taps,
        Scaling::Nearest => nearest_tap,
    };
    let mut out = Array2::zeros(to);
    if from.0 == 0 || from.1 == 0 {
        return out;
    }
    let columns: Vec<_> = (0..to.1).map(|x| taps(x, from.1, to.1)).collect();
    let shares = shares(to.0, from.0, taps);
    for (row, shares) in shares.iter().enumerate().filter(|(_, shares)| !shares.is_empty()) {
        let column = |taps: &Vec<(usize, f32)>| {
            taps.iter().fold(0.0, |sum, (tap, weight)| sum + weight * grey((row, *tap)))
        };
        let line = columns.iter().map(column).collect::<Array1<f32>>();
        shares.iter().for_each(|(y, weight)| out.row_mut(*y).scaled_add(*weight, &line));
    }
    out
}

/// For each source row, the output rows that it is part of, with its weights there.
fn shares(n_out: usize, n_in: usize, taps: Taps) -> Vec<Vec<(usize, f32)>> {
    let mut shares = vec![Vec::new(); n_in];
    for out in 0..n_out {
        for (tap, weight) in taps(out, n_in, n_out) {
            shares[tap].push((out, weight));
        }
    }
    shares
}

/// Triangle of half-width `max(scale, 1)` source pixels around the output pixel's centre; weights sum to 1.
fn triangle_taps(i: usize, n_in: usize, n_out: usize) -> Vec<(usize, f32)> {
    let scale = n_in as f64 / n_out as f64;
    let (support, centre) = (scale.max(1.0), scale * (i as f64 + 0.5));
    let from = (centre - support + 0.5).max(0.0) as usize;
    let to = ((centre + support + 0.5) as usize).min(n_in);
    let weight = |tap: usize| (1.0 - ((tap as f64 - centre + 0.5) / support).abs()).max(0.0);
    let total: f64 = (from..to).map(weight).sum();
    (from..to).map(|tap| (tap, (weight(tap) / total) as f32)).collect()
}

/// The index arithmetic is fp32, rounding included.
fn nearest_tap(i: usize, n_in: usize, n_out: usize) -> Vec<(usize, f32)> {
    let scale = n_in as f32 / n_out as f32;
    vec![(((i as f32 * scale) as usize).min(n_in - 1), 1.0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(frames: usize, height: usize, width: usize) -> Reference {
        Reference::new(LatentGrid { frames, height, width })
    }

    #[test]
    fn exactly_half_of_a_cell_is_not_enough() {
        let half = Array2::from_shape_fn((32, 64), |(y, x)| if y < 16 || x == 40 { 1.0 } else { 0.0 });
        assert_eq!(rule(1, 1, 2).cells([half]).into_raw_vec_and_offset().0, [false, true]);
    }

    #[test]
    fn frames_are_grouped_from_frame_0_on() {
        let flash =
            |at: usize| (0..17).map(move |i| Array2::from_elem((32, 32), if i == at { 1.0 } else { 0.0 }));
        for (at, cells) in [(0, [true, false, false]), (8, [false, true, false]), (16, [false, false, true])]
        {
            assert_eq!(rule(3, 1, 1).cells(flash(at)).into_raw_vec_and_offset().0, cells);
        }
        assert_eq!(rule(3, 1, 1).cells(flash(0).take(11)).dim(), (2, 1, 1));
    }

    #[test]
    fn a_flat_image_stays_flat() {
        for (height, width) in [(1, 1), (7, 50), (64, 96), (500, 33)] {
            for scaling in [Scaling::Bilinear, Scaling::Nearest] {
                let stretched = rule(1, 2, 3).stretch(&Array2::from_elem((height, width), 0.25), scaling);
                assert_eq!(stretched.dim(), (64, 96));
                assert!(stretched.iter().all(|value| (value - 0.25).abs() < 1e-6));
            }
        }
        assert_eq!(rule(1, 1, 1).stretch(&Array2::zeros((0, 0)), Scaling::Nearest).sum(), 0.0);
    }
}
