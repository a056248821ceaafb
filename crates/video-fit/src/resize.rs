//! The reference's resampling: antialiased bicubic on floats, and the centre crop.
//!
//! Plain `f32` in one fixed order, so that a clip comes out the same on every machine. Only what the target shows is
//! computed, from the bytes as they are: each target row is first blended from the source rows that it needs, and
//! that row is then brought to the target's width.

use std::ops::Range;

use ndarray::{Array3, ArrayView3};
use tensor_batch::{Geometry, ShapeMismatch};

use crate::{
    VideoError,
    taps::{LANES, Taps},
};

/// Scales a frame `[h, w, 3]` of 8-bit RGB as `geometry` says and cuts the target out of it: `[H, W, 3]`, in 0..1 but
/// for the overshoot of the filter, which is not clamped.
///
/// # Errors
/// If the frame does not have the geometry's source size.
pub fn resize_crop(frame: ArrayView3<u8>, geometry: &Geometry) -> Result<Array3<f32>, VideoError> {
    let shape = [geometry.target.height as usize, geometry.target.width as usize, 3];
    let mut values = Vec::with_capacity(shape.iter().product());
    Resizer::new(geometry).run(frame, |row| values.extend(row.iter().map(|level| level / 255.0)))?;
    let found = vec![values.len()];
    Array3::from_shape_vec(shape, values)
        .map_err(|_| ShapeMismatch { what: "fitted frame", found, wanted: shape.to_vec() }.into())
}

/// [`resize_crop`] with its taps and buffers, for many frames of one clip.
pub(crate) struct Resizer {
    geometry: Geometry,
    columns: Taps,
    rows: Taps,
    recent: RecentRows,
    /// A row of the target's height and the source's width.
    blended: Vec<f32>,
    /// A row of the target.
    row: Vec<f32>,
}

impl Resizer {
    /// A resizer for a geometry such as [`Geometry::fill`] makes.
    pub(crate) fn new(geometry: &Geometry) -> Self {
        let Geometry { source, resized, left, top, target } = *geometry;
        let columns = Taps::new(source.width, resized.width, left..left + target.width);
        let rows = Taps::new(source.height, resized.height, top..top + target.height);
        let recent = RecentRows::new(rows.count(), columns.used().len() * 3);
        // Taps of weight 0 behind the last column are read too, and a pixel is four floats to `across`.
        let blended = vec![0.0; (columns.used().len() + columns.count()) * 3 + 1];
        let row = vec![0.0; target.width as usize * 3 + 1];
        Self { geometry: *geometry, columns, rows, recent, blended, row }
    }

    /// Hands over the rows of the target from the top, `[W * 3]` each, in levels: 0..255 but for the overshoot.
    pub(crate) fn run(
        &mut self,
        frame: ArrayView3<u8>,
        mut hand_over: impl FnMut(&[f32]),
    ) -> Result<(), VideoError> {
        let Geometry { source, .. } = self.geometry;
        let wanted = [source.height as usize, source.width as usize, 3];
        if frame.shape() != wanted {
            let found = frame.shape().to_vec();
            return Err(ShapeMismatch { what: "frame", found, wanted: wanted.to_vec() }.into());
        }
        let (rows, columns) = (self.rows.used(), self.columns.used());
        let frame = frame.as_standard_layout();
        let bytes = frame.as_slice().unwrap_or_default().chunks_exact((wanted[1] * 3).max(1));
        let mut source_rows = bytes.skip(rows.start).map(|row| &row[columns.start * 3..columns.end * 3]);
        let mut read = 0;
        for (start, weights) in self.rows.iter() {
            let needed = (start + self.rows.count()).min(rows.len());
            for row in source_rows.by_ref().take(needed.saturating_sub(read)) {
                self.recent.store(read, row);
                read += 1;
            }
            let blended = &mut self.blended[..columns.len() * 3];
            blended.fill(0.0);
            for (weights, first) in weights.iter().zip((start..).step_by(LANES)) {
                // Behind the last row the weights are 0.
                let taps = [0, 1, 2, 3].map(|lane| self.recent.get((first + lane).min(rows.len() - 1)));
                blend(taps, weights, blended);
            }
            across(&self.blended, &self.columns, &mut self.row);
            hand_over(&self.row[..self.row.len() - 1]);
        }
        Ok(())
    }
}

/// The last source rows as floats, as many as a target row takes.
struct RecentRows {
    values: Vec<f32>,
    rows: usize,
    length: usize,
}

impl RecentRows {
    fn new(rows: usize, length: usize) -> Self {
        Self { values: vec![0.0; rows * length], rows, length }
    }

    /// Where row `number` lies: over that which is no longer needed.
    fn place(&self, number: usize) -> Range<usize> {
        let start = number % self.rows * self.length;
        start..start + self.length
    }

    fn store(&mut self, number: usize, row: &[u8]) {
        let place = self.place(number);
        self.values[place].iter_mut().zip(row).for_each(|(float, byte)| *float = f32::from(*byte));
    }

    fn get(&self, number: usize) -> &[f32] {
        &self.values[self.place(number)]
    }
}

/// Adds four weighted rows to `sum`.
fn blend([a, b, c, d]: [&[f32]; LANES], [wa, wb, wc, wd]: &[f32; LANES], sum: &mut [f32]) {
    for ((((sum, a), b), c), d) in sum.iter_mut().zip(a).zip(b).zip(c).zip(d) {
        *sum += wa * a + wb * b + wc * c + wd * d;
    }
}

/// Resamples a row of pixels that begins at the first column that `taps` use. Three channels travel as four floats,
/// which one register holds; the fourth is overwritten by the next pixel.
fn across(source: &[f32], taps: &Taps, target: &mut [f32]) {
    for (x, (start, weights)) in taps.iter().enumerate() {
        let mut sum = [0.0; 4];
        for (weights, first) in weights.iter().zip((start..).step_by(LANES)) {
            let pixels = &source[first * 3..][..LANES * 3 + 1];
            for (lane, weight) in weights.iter().enumerate() {
                for (c, sum) in sum.iter_mut().enumerate() {
                    *sum += weight * pixels[lane * 3 + c];
                }
            }
        }
        target[x * 3..][..4].copy_from_slice(&sum);
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Axis, s};
    use tensor_batch::Size;

    use super::*;

    fn size(width: u32, height: u32) -> Size {
        Size { width, height }
    }

    fn noise(size: Size) -> Array3<u8> {
        let shape = [size.height as usize, size.width as usize, 3];
        Array3::from_shape_fn(shape, |(y, x, c)| ((y * 7919 + x * 104_729 + y * x * 13 + c * 31) % 256) as u8)
    }

    /// One axis of the filter by its formula, in doubles: the weight of every source sample.
    fn weights(from: u32, to: u32, i: u32) -> Vec<f64> {
        let step = f64::from(from) / f64::from(to);
        let (center, stretch) = (step * (f64::from(i) + 0.5), step.max(1.0));
        let keys = |x: f64| match x.abs() {
            x if x < 1.0 => 1.5 * x.powi(3) - 2.5 * x.powi(2) + 1.0,
            x if x < 2.0 => -0.5 * (x.powi(3) - 5.0 * x.powi(2) + 8.0 * x - 4.0),
            _ => 0.0,
        };
        let all: Vec<_> = (0..from).map(|j| keys((f64::from(j) - center + 0.5) / stretch)).collect();
        let sum: f64 = all.iter().sum();
        all.into_iter().map(|weight| weight / sum).collect()
    }

    #[test]
    fn every_pixel_is_the_formulas() {
        for (source, target) in [
            (size(320, 240), size(960, 544)),
            (size(97, 53), size(32, 32)),
            (size(41, 70), size(64, 32)),
            (size(640, 362), size(96, 64)),
            (size(5, 3), size(64, 32)),
            (size(2, 90), size(32, 64)),
            (size(1, 1), size(32, 32)),
            (size(450, 21), size(32, 32)),
        ] {
            let (frame, geometry) = (noise(source), Geometry::fill(source, target));
            let fitted = resize_crop(frame.view(), &geometry).unwrap();
            let Geometry { resized, left, top, .. } = geometry;
            for (y, x) in (0..target.height).flat_map(|y| (0..target.width).step_by(7).map(move |x| (y, x))) {
                let rows = weights(source.height, resized.height, top + y);
                let columns = weights(source.width, resized.width, left + x);
                let mut wanted = 0.0;
                for (j, row) in rows.iter().enumerate().filter(|(_, weight)| **weight != 0.0) {
                    for (i, column) in columns.iter().enumerate().filter(|(_, weight)| **weight != 0.0) {
                        wanted += row * column * f64::from(frame[[j, i, 1]]) / 255.0;
                    }
                }
                let found = f64::from(fitted[[y as usize, x as usize, 1]]);
                assert!((found - wanted).abs() < 2e-6, "{source} to {target} at {x}, {y}: {found}, {wanted}");
            }
        }
    }

    #[test]
    fn channels_stay_apart() {
        let (source, target) = (size(50, 20), size(96, 96));
        let mut frame = Array3::zeros([20, 50, 3]);
        frame.index_axis_mut(Axis(2), 2).fill(255);
        let fitted = resize_crop(frame.view(), &Geometry::fill(source, target)).unwrap();
        for (c, wanted) in [(0, 0.0), (1, 0.0), (2, 1.0_f32)] {
            assert!(fitted.index_axis(Axis(2), c).iter().all(|value| (value - wanted).abs() < 1e-6), "{c}");
        }
    }

    #[test]
    fn a_plain_frame_stays_plain_whatever_its_size() {
        for (width, height) in
            (1..80_u32).step_by(3).flat_map(|w| (1..80_u32).step_by(5).map(move |h| (w, h)))
        {
            let frame = Array3::from_elem([height as usize, width as usize, 3], 51);
            for target in [size(32, 32), size(64, 32), size(32, 96)] {
                let fitted = resize_crop(frame.view(), &Geometry::fill(size(width, height), target)).unwrap();
                assert_eq!(fitted.dim(), (target.height as usize, target.width as usize, 3));
                assert!(
                    fitted.iter().all(|value| (value - 0.2).abs() < 1e-6),
                    "{width}x{height} to {target}"
                );
            }
        }
    }

    #[test]
    fn a_frame_in_any_layout_comes_out_the_same() {
        let (source, target) = (size(40, 70), size(64, 32));
        let frame = noise(source);
        let reversed = frame.slice(s![..;-1, ..;-1, ..;-1]).as_standard_layout().into_owned();
        let geometry = Geometry::fill(source, target);
        let turned = resize_crop(reversed.slice(s![..;-1, ..;-1, ..;-1]), &geometry).unwrap();
        assert_eq!(turned, resize_crop(frame.view(), &geometry).unwrap());
    }

    #[test]
    fn nothing_changes_where_the_size_does_not() {
        let frame = noise(size(64, 32));
        let same = resize_crop(frame.view(), &Geometry::fill(size(64, 32), size(64, 32))).unwrap();
        assert_eq!(same, frame.mapv(|value| f32::from(value) / 255.0));
    }

    #[test]
    fn a_frame_of_another_size_is_refused() {
        let geometry = Geometry::fill(size(64, 32), size(64, 32));
        let error = resize_crop(noise(size(32, 64)).view(), &geometry).unwrap_err();
        assert!(matches!(error, VideoError::Shape(_)), "{error}");
    }
}
