//! From the bytes of an image file to pixels, within limits.

use std::io::Cursor;

use image::{
    DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, metadata::Orientation,
};

use crate::MaskError;

/// How large a mask image may be; checked on its header, before its pixels are decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageLimits {
    /// Pixels of either side.
    pub max_side: u32,
    /// Bytes of the decoded pixels, and of what the decoder needs besides as far as it keeps count.
    pub max_bytes: u64,
}

impl Default for ImageLimits {
    /// 8192 pixels a side and 256 MiB, which is 8192x8192 in 8-bit RGBA.
    fn default() -> Self {
        Self { max_side: 8192, max_bytes: 256 << 20 }
    }
}

/// Decodes an image, by its content; it still has to be turned upright.
pub(crate) fn decode(bytes: &[u8], limits: &ImageLimits) -> Result<(DynamicImage, Orientation), MaskError> {
    let mut reader = ImageReader::new(Cursor::new(bytes));
    let known = [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Bmp, ImageFormat::WebP];
    let format = image::guess_format(bytes).ok().filter(|format| known.contains(format));
    reader.set_format(format.ok_or(MaskError::UnknownFormat)?);
    let mut allowed = Limits::default();
    allowed.max_alloc = Some(limits.max_bytes);
    reader.limits(allowed.clone());
    let mut decoder = reader.into_decoder().map_err(MaskError::UnreadableImage)?;
    let too_large = too_large(&decoder, limits);
    let (width, height) = decoder.dimensions();
    if width.max(height) > limits.max_side || decoder.total_bytes() > limits.max_bytes {
        return Err(too_large);
    }
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let image = decoder.set_limits(allowed).and_then(|()| DynamicImage::from_decoder(decoder));
    match image {
        Ok(image) => Ok((image, orientation)),
        Err(ImageError::Limits(_)) => Err(too_large),
        Err(error) => Err(MaskError::UnreadableImage(error)),
    }
}

fn too_large(decoder: &impl ImageDecoder, limits: &ImageLimits) -> MaskError {
    let (width, height) = decoder.dimensions();
    let bytes = decoder.total_bytes();
    MaskError::ImageTooLarge { width, height, bytes, max_side: limits.max_side, max_bytes: limits.max_bytes }
}
