//! The official trainer's rule for masks, as it is.

use ndarray::{Array2, Array3, ArrayView3, Axis, Zip};
use tensor_batch::{CELL_FRAMES, CELL_PIXELS, LatentGrid};

use crate::{ImageLimits, MaskError, image_file::decode};

/// The official trainer's rule for masks as it is, for comparison: 1 where the mask is bright, without any turning
/// over.
///
/// It differs from [`cover`](crate::cover) in three ways: the mask is stretched to the grid instead of following its
/// clip's crop; pixel frames are grouped as 0-7, 8-15 and so on, up to seven frames before the VAE's own grouping; and a
/// cell needs more than half of its pixels.
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
    /// As [`MaskFrame::from_image`](crate::MaskFrame::from_image).
    pub fn image_grey(bytes: &[u8], limits: &ImageLimits) -> Result<Array2<f32>, MaskError> {
        let (mut image, orientation) = decode(bytes, limits)?;
        image.apply_orientation(orientation);
        let rgb = image.to_rgb8();
        let at = |(y, x)| grey(&rgb.get_pixel(x as u32, y as u32).0);
        Ok(Array2::from_shape_fn((rgb.height() as usize, rgb.width() as usize), at))
    }

    /// The grey of a video frame, `[height, width, 3]`, in 0..1.
    pub fn frame_grey(frame: ArrayView3<'_, u8>) -> Array2<f32> {
        frame.map_axis(Axis(2), |pixel| grey(pixel.iter()))
    }

    /// Stretches a grey mask to the grid's pixels, whatever its aspect.
    pub fn stretch(&self, grey: &Array2<f32>, scaling: Scaling) -> Array2<f32> {
        let taps = match scaling {
            Scaling::Bilinear => triangle_taps,
            Scaling::Nearest => nearest_tap,
        };
        let pixels = |cells: usize| cells * CELL_PIXELS as usize;
        let wide = resample(grey, Axis(1), pixels(self.grid.width), taps);
        resample(&wide, Axis(0), pixels(self.grid.height), taps)
    }

    /// The cells of stretched frames, `[frames, H', W']`. Frames beyond the grid's are not read; too few give fewer
    /// latent frames than the grid has.
    pub fn cells(&self, stretched: impl IntoIterator<Item = Array2<f32>>) -> Array3<bool> {
        let (height, width) = (self.grid.height, self.grid.width);
        let mut groups: Vec<Array2<f32>> = Vec::new();
        for (i, frame) in stretched.into_iter().take(self.frames()).enumerate() {
            if i % CELL_FRAMES as usize == 0 {
                groups.push(Array2::zeros((height, width)));
            }
            if let Some(group) = groups.last_mut() {
                Zip::from(group)
                    .and(&cell_means(&frame, height, width))
                    .for_each(|max, mean| *max = max.max(*mean));
            }
        }
        let mut cells = Array3::default((groups.len(), height, width));
        for (mut cells, means) in cells.outer_iter_mut().zip(&groups) {
            cells.assign(&means.mapv(|mean| mean > 0.5));
        }
        cells
    }
}

fn grey<'a>(channels: impl IntoIterator<Item = &'a u8, IntoIter: ExactSizeIterator>) -> f32 {
    let channels = channels.into_iter();
    let count = channels.len().max(1) as f32;
    channels.map(|channel| f32::from(*channel) / 255.0).sum::<f32>() / count
}

fn cell_means(frame: &Array2<f32>, height: usize, width: usize) -> Array2<f32> {
    let cell = CELL_PIXELS as usize;
    let mut sums = Array2::<f64>::zeros((height, width));
    for ((y, x), value) in frame.indexed_iter() {
        if let Some(sum) = sums.get_mut((y / cell, x / cell)) {
            *sum += f64::from(*value);
        }
    }
    sums.mapv(|sum| (sum / (cell * cell) as f64) as f32)
}

/// Which source pixels make up output pixel `i`, with their weights: from `(i, n_in, n_out)`.
type Taps = fn(usize, usize, usize) -> Vec<(usize, f32)>;

fn resample(image: &Array2<f32>, axis: Axis, n_out: usize, taps: Taps) -> Array2<f32> {
    let n_in = image.len_of(axis);
    let mut shape = image.raw_dim();
    shape[axis.index()] = n_out;
    let mut out = Array2::zeros(shape);
    if n_in == 0 {
        return out;
    }
    for (i, mut line) in out.axis_iter_mut(axis).enumerate() {
        for (tap, weight) in taps(i, n_in, n_out) {
            line.scaled_add(weight, &image.index_axis(axis, tap));
        }
    }
    out
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
