//! One frame of a mask, at its own resolution.

use image::{DynamicImage, metadata::Orientation};
use ndarray::{Array2, ArrayView3, Axis};
use tensor_batch::Size;

use crate::{ImageLimits, MaskError, image_file::decode};

/// One frame of a mask at its own resolution: white or black, nothing between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaskFrame {
    white: Array2<bool>,
}

impl MaskFrame {
    /// A frame from the bytes of a PNG, JPEG, BMP or WebP file, recognised by its content: of any colour type, with
    /// or without transparency, 1 to 16 bits; turned upright as its EXIF data says.
    ///
    /// # Errors
    /// If the image is larger than the limits, by its header, or cannot be decoded.
    pub fn from_image(bytes: &[u8], limits: &ImageLimits) -> Result<Self, MaskError> {
        let (image, orientation) = decode(bytes, limits)?;
        let shape = (image.height() as usize, image.width() as usize);
        // As many values as pixels, always: the default never stands in.
        let white = Array2::from_shape_vec(shape, whites(&image)).unwrap_or_default();
        Ok(Self { white: upright(white, orientation) })
    }

    /// A frame from upright 8-bit pixels, `[height, width, 3]`.
    pub fn from_rgb(frame: ArrayView3<'_, u8>) -> Self {
        let white = |pixel: ndarray::ArrayView1<'_, u8>| {
            let sum: u64 = pixel.iter().map(|channel| u64::from(*channel)).sum();
            2 * sum >= 255 * pixel.len() as u64
        };
        Self { white: frame.map_axis(Axis(2), white) }
    }

    /// Which pixels are white, `[height, width]`.
    pub fn white(&self) -> &Array2<bool> {
        &self.white
    }

    /// Width and height in pixels.
    pub fn size(&self) -> Size {
        let (height, width) = self.white.dim();
        Size { width: width as u32, height: height as u32 }
    }
}

fn whites(image: &DynamicImage) -> Vec<bool> {
    use DynamicImage as Image;
    match image {
        Image::ImageLuma8(pixels) => opaque(pixels, 1, 0xff),
        Image::ImageRgb8(pixels) => opaque(pixels, 3, 0xff),
        Image::ImageLumaA8(pixels) => over_black(pixels, 2, 0xff),
        Image::ImageRgba8(pixels) => over_black(pixels, 4, 0xff),
        Image::ImageLuma16(pixels) => opaque(pixels, 1, 0xffff),
        Image::ImageRgb16(pixels) => opaque(pixels, 3, 0xffff),
        Image::ImageLumaA16(pixels) => over_black(pixels, 2, 0xffff),
        other => over_black(&other.to_rgba16(), 4, 0xffff),
    }
}

fn opaque<T: Copy + Into<u64>>(samples: &[T], channels: usize, full: u64) -> Vec<bool> {
    samples.chunks_exact(channels).map(|pixel| at_least_half(pixel, full, full)).collect()
}

fn over_black<T: Copy + Into<u64>>(samples: &[T], channels: usize, full: u64) -> Vec<bool> {
    let white = |pixel: &[T]| {
        pixel.split_last().is_some_and(|(alpha, colour)| at_least_half(colour, (*alpha).into(), full))
    };
    samples.chunks_exact(channels).map(white).collect()
}

/// Whether the mean of `colour`, times `alpha`, is at least half of full scale; in whole numbers, so that the same
/// grey in 8 and 16 bits falls on the same side.
fn at_least_half<T: Copy + Into<u64>>(colour: &[T], alpha: u64, full: u64) -> bool {
    let sum: u64 = colour.iter().map(|channel| (*channel).into()).sum();
    2 * sum * alpha >= colour.len() as u64 * full * full
}

fn upright(white: Array2<bool>, orientation: Orientation) -> Array2<bool> {
    use Orientation as O;
    let mut turned = match orientation {
        O::Rotate90 | O::Rotate270 | O::Rotate90FlipH | O::Rotate270FlipH => white.reversed_axes(),
        O::NoTransforms | O::Rotate180 | O::FlipHorizontal | O::FlipVertical => white,
    };
    if matches!(orientation, O::FlipHorizontal | O::Rotate180 | O::Rotate90 | O::Rotate270FlipH) {
        turned.invert_axis(Axis(1));
    }
    if matches!(orientation, O::FlipVertical | O::Rotate180 | O::Rotate270 | O::Rotate270FlipH) {
        turned.invert_axis(Axis(0));
    }
    turned.as_standard_layout().into_owned()
}

#[cfg(test)]
mod tests {
    use image::{GrayImage, Luma};
    use ndarray::{Array3, arr2};

    use super::*;

    #[test]
    fn half_of_full_scale_is_white() {
        let frame = Array3::from_shape_fn((1, 3, 3), |(_, x, channel)| match x {
            0 => [128, 127, 128][channel], // 383 of 765
            1 => [127, 127, 128][channel], // 382 of 765
            _ => [255, 255, 0][channel],
        });
        assert_eq!(MaskFrame::from_rgb(frame.view()).white(), arr2(&[[true, false, true]]));
        assert_eq!(opaque(&[127u8, 128], 1, 0xff), [false, true]);
        assert_eq!(opaque(&[0x7fffu16, 0x8000], 1, 0xffff), [false, true]);
    }

    #[test]
    fn what_is_transparent_is_black() {
        assert_eq!(
            over_black(&[255u8, 255, 255, 0, 255, 127, 255, 128], 2, 0xff),
            [true, false, false, true]
        );
        assert_eq!(over_black(&[255u8, 255, 255, 0], 4, 0xff), [false]);
    }

    #[test]
    fn every_orientation_turns_as_the_image_crate_turns() {
        let picture =
            GrayImage::from_fn(3, 2, |x, y| Luma([if [0, 1, 5].contains(&(x + 3 * y)) { 255 } else { 0 }]));
        let white = |image: &GrayImage| {
            Array2::from_shape_fn((image.height() as usize, image.width() as usize), |(y, x)| {
                image.get_pixel(x as u32, y as u32).0[0] > 0
            })
        };
        for orientation in (1..=8).filter_map(Orientation::from_exif) {
            let mut wanted = DynamicImage::from(picture.clone());
            wanted.apply_orientation(orientation);
            assert_eq!(upright(white(&picture), orientation), white(&wanted.to_luma8()), "{orientation:?}");
        }
    }
}
