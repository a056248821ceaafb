//! Decoded pictures of any format and colour become upright RGB.

use ndarray::Array3;
use tensor_batch::Size;
use video_rs::ffmpeg::{
    self,
    format::Pixel,
    frame,
    software::scaling::{self, Flags},
};

use crate::{colors::Colors, display::Orientation};

/// What gives the reference's pixels: for the common formats this is FFmpeg's direct conversion, which repeats chroma
/// and does not interpolate it; the flag concerns the formats that have none, such as those of 10 bits.
const FLAGS: Flags = Flags::BICUBIC.union(Flags::FULL_CHR_H_INT);

/// Converts pictures to RGB frames of one size.
pub(crate) struct RgbConverter {
    size: Size,
    orientation: Orientation,
    scaler: Option<Scaler>,
}

impl RgbConverter {
    /// A converter to frames of `size`, which are then laid as `orientation` says.
    pub(crate) fn new(size: Size, orientation: Orientation) -> Self {
        Self { size, orientation, scaler: None }
    }

    /// The picture as `[h, w, 3]`, upright, alpha over black.
    ///
    /// # Errors
    /// What FFmpeg says if it cannot convert this format.
    pub(crate) fn convert(&mut self, picture: &frame::Video) -> Result<Array3<u8>, ffmpeg::Error> {
        let source = Source::of(picture);
        let scaler = match self.scaler.take().filter(|scaler| scaler.source == source) {
            Some(scaler) => scaler,
            None => Scaler::new(source, self.size)?,
        };
        let scaler = self.scaler.insert(scaler);
        scaler.context.run(picture, &mut scaler.output)?;
        let frame = if source.has_alpha() {
            over_black(&samples(&scaler.output, 4)?)
        } else {
            samples(&scaler.output, 3)?
        };
        if self.orientation == Orientation::default() {
            return Ok(frame);
        }
        Ok(self.orientation.lay(frame.view()).as_standard_layout().into_owned())
    }
}

/// What a scaler is made for. It may change within a stream.
#[derive(Clone, Copy, PartialEq)]
struct Source {
    format: Pixel,
    width: u32,
    height: u32,
    colors: Colors,
}

impl Source {
    fn of(picture: &frame::Video) -> Self {
        Self {
            format: picture.format(),
            width: picture.width(),
            height: picture.height(),
            colors: Colors::of(picture),
        }
    }

    /// Two components are grey and alpha, four are colour and alpha, and a palette may hold it.
    fn has_alpha(self) -> bool {
        let components = self.format.descriptor().map_or(0, |format| format.nb_components());
        self.format == Pixel::PAL8 || matches!(components, 2 | 4)
    }
}

struct Scaler {
    source: Source,
    context: scaling::Context,
    output: frame::Video,
}

impl Scaler {
    fn new(source: Source, size: Size) -> Result<Self, ffmpeg::Error> {
        let format = if source.has_alpha() { Pixel::RGBA } else { Pixel::RGB24 };
        let Source { width, height, .. } = source;
        let mut context =
            scaling::Context::get(source.format, width, height, format, size.width, size.height, FLAGS)?;
        source.colors.read_by(&mut context)?;
        Ok(Self { source, context, output: frame::Video::new(format, size.width, size.height) })
    }
}

/// The samples of a packed picture, `[h, w, n]`, without the padding of its rows.
fn samples(picture: &frame::Video, n: usize) -> Result<Array3<u8>, ffmpeg::Error> {
    let (height, width) = (picture.height() as usize, picture.width() as usize);
    let mut samples = Vec::with_capacity(height * width * n);
    for row in picture.data(0).chunks(picture.stride(0)).take(height) {
        samples.extend_from_slice(&row[..width * n]);
    }
    Array3::from_shape_vec([height, width, n], samples).map_err(|_| ffmpeg::Error::Bug)
}

/// RGBA with straight alpha over black, rounded.
fn over_black(rgba: &Array3<u8>) -> Array3<u8> {
    let (height, width, _) = rgba.dim();
    Array3::from_shape_fn([height, width, 3], |(y, x, c)| {
        let (value, alpha) = (u16::from(rgba[[y, x, c]]), u16::from(rgba[[y, x, 3]]));
        ((value * alpha + 127) / 255) as u8
    })
}

#[cfg(test)]
mod tests {
    use ndarray::arr3;

    use super::*;

    #[test]
    fn alpha_is_laid_over_black() {
        let rgba = arr3(&[[[255, 100, 0, 255], [255, 100, 3, 128], [255, 100, 0, 0]]]);
        assert_eq!(over_black(&rgba), arr3(&[[[255, 100, 0], [128, 50, 2], [0, 0, 0]]]));
    }

    #[test]
    fn alpha_is_seen_in_every_kind_of_format() {
        let alpha = |format| Source { format, width: 1, height: 1, colors: Colors::BT709 }.has_alpha();
        for format in
            [Pixel::RGBA, Pixel::YUVA420P, Pixel::YA8, Pixel::PAL8, Pixel::YUVA444P12LE, Pixel::GBRAP]
        {
            assert!(alpha(format), "{format:?}");
        }
        for format in
            [Pixel::RGB24, Pixel::YUV420P, Pixel::GRAY8, Pixel::NV12, Pixel::RGBZ, Pixel::YUV420P10LE]
        {
            assert!(!alpha(format), "{format:?}");
        }
    }
}
