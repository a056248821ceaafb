//! The reference's resampling: antialiased bicubic (a = -0.5) on floats, and the centre crop.

use std::io;

use fast_image_resize::{
    FilterType, ResizeAlg, ResizeOptions,
    images::{TypedImage, TypedImageRef},
    pixels::F32x3,
};
use ndarray::{Array3, ArrayView3};
use tensor_batch::{Geometry, ShapeMismatch, Size};

use crate::VideoError;

/// Scales a frame `[h, w, 3]` of 8-bit RGB as `geometry` says and cuts the target out of it: `[H, W, 3]`, in 0..1 but
/// for the overshoot of the filter, which is not clamped.
///
/// # Errors
/// If the frame does not have the geometry's source size.
pub fn resize_crop(frame: ArrayView3<u8>, geometry: &Geometry) -> Result<Array3<f32>, VideoError> {
    let mut resizer = Resizer::new(geometry);
    let fitted = resizer.run(frame)?;
    let width = geometry.target.width as usize;
    let shape = [fitted.len() / width, width, 3];
    Ok(Array3::from_shape_fn(shape, |(y, x, c)| fitted[y * width + x].0[c]))
}

/// [`resize_crop`] with its buffers, for many frames of one clip.
pub(crate) struct Resizer {
    geometry: Geometry,
    options: ResizeOptions,
    resizer: fast_image_resize::Resizer,
    source: Vec<F32x3>,
    target: Vec<F32x3>,
}

impl Resizer {
    pub(crate) fn new(geometry: &Geometry) -> Self {
        let Size { width, height } = geometry.target;
        Self {
            geometry: *geometry,
            options: options(geometry),
            resizer: fast_image_resize::Resizer::new(),
            source: Vec::new(),
            target: vec![F32x3::default(); width as usize * height as usize],
        }
    }

    /// The pixels of the target, row by row.
    pub(crate) fn run(&mut self, frame: ArrayView3<u8>) -> Result<&[F32x3], VideoError> {
        let Geometry { source, target, .. } = self.geometry;
        let wanted = [source.height as usize, source.width as usize, 3];
        if frame.shape() != wanted {
            let found = frame.shape().to_vec();
            return Err(ShapeMismatch { what: "frame", found, wanted: wanted.to_vec() }.into());
        }
        let frame = frame.as_standard_layout();
        let (pixels, _) = frame.as_slice().unwrap_or_default().as_chunks::<3>();
        self.source.clear();
        self.source.extend(pixels.iter().map(|rgb| F32x3::new(rgb.map(|value| f32::from(value) / 255.0))));
        let source = TypedImageRef::new(source.width, source.height, &self.source).map_err(failed)?;
        let mut fitted =
            TypedImage::from_pixels_slice(target.width, target.height, &mut self.target).map_err(failed)?;
        self.resizer.resize_typed(&source, &mut fitted, &self.options).map_err(failed)?;
        Ok(&self.target)
    }
}

/// Only what the target shows is computed: the crop, taken back to the source. Taps still reach over its edges, so
/// that the pixels are those of the whole resized frame.
fn options(geometry: &Geometry) -> ResizeOptions {
    let Geometry { source, resized, left, top, target } = *geometry;
    let (x, width) = span(source.width, resized.width, left, target.width);
    let (y, height) = span(source.height, resized.height, top, target.height);
    let bicubic = ResizeAlg::Convolution(FilterType::CatmullRom);
    ResizeOptions::new().resize_alg(bicubic).use_alpha(false).crop(x, y, width, height)
}

/// Start and length, in source pixels, of `length` pixels from `start` on of the resized side.
fn span(source: u32, resized: u32, start: u32, length: u32) -> (f64, f64) {
    let at = |i: u32| f64::from(i) * f64::from(source) / f64::from(resized);
    let start = at(start);
    // Rounding must not carry the end over the edge.
    (start, at(length).min(f64::from(source) - start))
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> VideoError {
    VideoError::Ffmpeg { what: "resize a frame", source: io::Error::other(error) }
}

#[cfg(test)]
mod tests {
    use ndarray::s;

    use super::*;

    fn noise(height: usize, width: usize) -> Array3<u8> {
        Array3::from_shape_fn([height, width, 3], |(y, x, c)| ((y * 7919 + x * 104_729 + c * 31) % 251) as u8)
    }

    #[test]
    fn the_crop_is_the_middle_of_the_whole() {
        let size = |width, height| Size { width, height };
        for (source, target) in
            [(size(97, 53), size(32, 32)), (size(41, 70), size(64, 32)), (size(50, 20), size(96, 96))]
        {
            let frame = noise(source.height as usize, source.width as usize);
            let crop = Geometry::fill(source, target);
            let whole = Geometry { left: 0, top: 0, target: crop.resized, ..crop };
            let (top, left) = (crop.top as usize, crop.left as usize);
            let (height, width) = (target.height as usize, target.width as usize);
            let whole = resize_crop(frame.view(), &whole).unwrap();
            let cut = whole.slice(s![top..top + height, left..left + width, ..]);
            let difference = &resize_crop(frame.view(), &crop).unwrap() - &cut;
            assert!(difference.iter().all(|d| d.abs() < 1e-6), "{source} to {target}");
        }
    }

    #[test]
    fn nothing_changes_where_the_size_does_not() {
        let (frame, size) = (noise(32, 64), Size { width: 64, height: 32 });
        let same = resize_crop(frame.view(), &Geometry::fill(size, size)).unwrap();
        assert_eq!(same, frame.mapv(|value| f32::from(value) / 255.0));
    }

    #[test]
    fn a_frame_of_another_size_is_refused() {
        let size = Size { width: 64, height: 32 };
        let error = resize_crop(noise(64, 32).view(), &Geometry::fill(size, size)).unwrap_err();
        assert!(matches!(error, VideoError::Shape(_)), "{error}");
    }
}
