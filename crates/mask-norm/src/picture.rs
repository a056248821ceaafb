//! From the bytes of an image file to pixels, within limits.

use std::{io::Cursor, panic::catch_unwind};

use image::{
    DynamicImage, GenericImageView, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits,
    error::{DecodingError, ImageFormatHint},
    metadata::Orientation,
};

use crate::MaskError;

/// How large a mask image may be; checked on its header, before its pixels are decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageLimits {
    /// Pixels of either side.
    pub max_side: u32,
    /// Bytes of the file, of its decoded pixels, and of the most that its decoder may need besides: the coefficients
    /// of a progressive JPEG, the canvas and planes of a WebP.
    pub max_bytes: u64,
}

impl Default for ImageLimits {
    /// 8192 pixels a side and 300 MiB. That is room for 8192x8192 in a PNG of 8-bit RGBA, and for 7680x4320 in a
    /// progressive JPEG of three colours; reading a mask then stays under half a gigabyte.
    fn default() -> Self {
        Self { max_side: 8192, max_bytes: 300 << 20 }
    }
}

/// A decoded image, and how it has to be turned to be upright.
pub(crate) struct Picture {
    pub(crate) image: DynamicImage,
    orientation: Orientation,
}

impl Picture {
    /// Decodes an image, recognised by its content.
    ///
    /// Some damaged files make a decoder panic, such as a palette whose last colour is cut off (png 0.18) or a JPEG
    /// whose scans do not fit its frame (zune-jpeg 0.5). To the caller they are damaged files like others.
    pub(crate) fn decode(bytes: &[u8], limits: &ImageLimits) -> Result<Self, MaskError> {
        // Nothing that outlives the call is shared with the decoder.
        catch_unwind(|| Self::decode_within(bytes, limits)).unwrap_or_else(|_| {
            let format = image::guess_format(bytes).map_or(ImageFormatHint::Unknown, ImageFormatHint::Exact);
            let error = DecodingError::new(format, "the decoder gave up");
            Err(MaskError::UnreadableImage(ImageError::Decoding(error)))
        })
    }

    fn decode_within(bytes: &[u8], limits: &ImageLimits) -> Result<Self, MaskError> {
        let known = [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Bmp, ImageFormat::WebP];
        let format = image::guess_format(bytes).ok().filter(|format| known.contains(format));
        let format = format.ok_or(MaskError::UnknownFormat)?;
        let mut allowed = Limits::default();
        allowed.max_alloc = Some(limits.max_bytes);
        let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
        reader.limits(allowed.clone());
        let mut decoder = reader.into_decoder().map_err(MaskError::UnreadableImage)?;
        let (width, height) = decoder.dimensions();
        let needed = decoder.total_bytes().saturating_add(besides(bytes, format, width, height));
        let too_large = MaskError::ImageTooLarge {
            width,
            height,
            bytes: needed,
            max_side: limits.max_side,
            max_bytes: limits.max_bytes,
        };
        if width.max(height) > limits.max_side || needed > limits.max_bytes {
            return Err(too_large);
        }
        let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
        match decoder.set_limits(allowed).and_then(|()| DynamicImage::from_decoder(decoder)) {
            Ok(image) => Ok(Self { image, orientation }),
            Err(ImageError::Limits(_)) => Err(too_large),
            Err(error) => Err(MaskError::UnreadableImage(error)),
        }
    }

    /// Height and width, upright.
    pub(crate) fn dim(&self) -> (usize, usize) {
        let (width, height) = (self.image.width() as usize, self.image.height() as usize);
        if is_transposed(self.orientation) { (width, height) } else { (height, width) }
    }

    /// Whether the pixels lie in memory as they are seen.
    pub(crate) fn is_upright(&self) -> bool {
        self.orientation == Orientation::NoTransforms
    }

    /// Where in memory, as row and column, lies what is seen at this row and column.
    pub(crate) fn at(&self, (y, x): (usize, usize)) -> (usize, usize) {
        use Orientation as O;
        let (height, width) = self.dim();
        let o = self.orientation;
        let y = match o {
            O::FlipVertical | O::Rotate180 | O::Rotate270 | O::Rotate270FlipH => height - 1 - y,
            O::NoTransforms | O::FlipHorizontal | O::Rotate90 | O::Rotate90FlipH => y,
        };
        let x = match o {
            O::FlipHorizontal | O::Rotate180 | O::Rotate90 | O::Rotate270FlipH => width - 1 - x,
            O::NoTransforms | O::FlipVertical | O::Rotate270 | O::Rotate90FlipH => x,
        };
        if is_transposed(o) { (x, y) } else { (y, x) }
    }

    /// The colour of a pixel in 8 bits, upright, without its transparency.
    pub(crate) fn rgb(&self, at: (usize, usize)) -> [u8; 3] {
        let (y, x) = self.at(at);
        let [red, green, blue, _] = self.image.get_pixel(x as u32, y as u32).0;
        [red, green, blue]
    }
}

fn is_transposed(orientation: Orientation) -> bool {
    use Orientation as O;
    matches!(orientation, O::Rotate90 | O::Rotate270 | O::Rotate90FlipH | O::Rotate270FlipH)
}

/// The most bytes that a file and its decoder take besides the decoded pixels.
fn besides(bytes: &[u8], format: ImageFormat, width: u32, height: u32) -> u64 {
    let (file, pixels) = (bytes.len() as u64, u64::from(width) * u64::from(height));
    match format {
        // The decoder reads from a copy of the file.
        ImageFormat::Jpeg => 2 * file + 2 * progressive_components(bytes) * pixels,
        // An animation's canvas (4 bytes a pixel), and its frame (4) from planes of colour (1.5) and alpha (1).
        ImageFormat::WebP => file + 11 * pixels,
        _ => file,
    }
}

/// The colour components of a progressive JPEG, whose coefficients are all kept, two bytes each; 0 if it is none.
///
/// Looks for the marker anywhere in the file: it may then see one where there is none, but misses none that a decoder
/// finds.
fn progressive_components(bytes: &[u8]) -> u64 {
    // The marker, two bytes of length, one of depth, four of sizes, then the number of components.
    let frames = bytes.windows(10).filter(|frame| frame.starts_with(&[0xff, 0xc2]));
    frames.map(|frame| u64::from(frame[9].min(4))).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use image::{GrayImage, Luma, Rgba, RgbaImage};

    use super::*;

    #[test]
    fn every_orientation_turns_as_the_image_crate_turns() {
        let image = DynamicImage::from(GrayImage::from_fn(3, 2, |x, y| Luma([(x + 3 * y) as u8])));
        for orientation in (1..=8).filter_map(Orientation::from_exif) {
            let mut wanted = image.clone();
            wanted.apply_orientation(orientation);
            let picture = Picture { image: image.clone(), orientation };
            assert_eq!(picture.dim(), (wanted.height() as usize, wanted.width() as usize));
            for (x, y, pixel) in wanted.to_rgb8().enumerate_pixels() {
                assert_eq!(picture.rgb((y as usize, x as usize)), pixel.0, "{orientation:?} {x} {y}");
            }
        }
    }

    #[test]
    fn colours_are_brought_to_8_bits_as_the_image_crate_brings_them() {
        let deep =
            image::ImageBuffer::from_fn(256, 256, |x, y| Rgba([(x << 8 | y) as u16, y as u16, x as u16, 7]));
        for image in [
            DynamicImage::ImageRgba16(deep.clone()),
            DynamicImage::ImageRgba16(deep.clone()).to_rgb16().into(),
            DynamicImage::ImageRgba16(deep.clone()).to_luma16().into(),
            DynamicImage::ImageRgba16(deep).to_luma_alpha8().into(),
            RgbaImage::from_fn(16, 16, |x, y| Rgba([x as u8, y as u8, 200, 0])).into(),
        ] {
            let wanted = image.to_rgb8();
            let picture = Picture { image, orientation: Orientation::NoTransforms };
            for (x, y, pixel) in wanted.enumerate_pixels() {
                assert_eq!(picture.rgb((y as usize, x as usize)), pixel.0);
            }
        }
    }

    #[test]
    fn what_a_progressive_jpeg_keeps_is_counted() {
        let frame =
            |marker, components| [&[9, 0xff, marker, 0, 17, 8, 0, 1, 0, 1][..], &[components]].concat();
        assert_eq!(progressive_components(&frame(0xc2, 3)), 3);
        assert_eq!(progressive_components(&frame(0xc2, 250)), 4);
        assert_eq!(progressive_components(&frame(0xc0, 3)), 0);
        assert_eq!(progressive_components(&[frame(0xc2, 1), frame(0xc2, 3)].concat()), 3);
        assert_eq!(besides(&frame(0xc2, 3), ImageFormat::Jpeg, 100, 10), 2 * 11 + 6000);
    }
}
