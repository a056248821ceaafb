//! Decoded frames, upright, in presentation order.

use std::path::Path;

use ndarray::Array3;

use crate::{Limits, VideoError, convert::RgbConverter, decode::Decoder};

/// One decoded frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    /// `[h, w, 3]`, 8-bit RGB as displayed: upright, with square pixels, alpha over black.
    pub pixels: Array3<u8>,
    /// Presentation time in seconds.
    pub time: f64,
}

/// The frames of a clip in presentation order, all of one size, decoded as they are asked for. It ends after the
/// first error. Frames that are passed over, by `nth` or `skip`, are decoded and not converted.
///
/// Colours are those that the stream states; where it states none, BT.601 and limited range. High dynamic range is
/// not mapped to standard.
pub struct Frames {
    decoder: Decoder,
    converter: Option<RgbConverter>,
    ended: bool,
}

impl Frames {
    /// Opens the clip at `path`.
    ///
    /// # Errors
    /// If the file is none that can be decoded, or if frames are too large.
    pub fn open(path: &Path, limits: &Limits) -> Result<Self, VideoError> {
        Ok(Self { decoder: Decoder::open(path, limits)?, converter: None, ended: false })
    }

    /// Decodes the next frame; false at the end.
    fn advance(&mut self) -> Result<bool, VideoError> {
        let more = !self.ended && self.decoder.advance().inspect_err(|_| self.ended = true)?;
        self.ended = !more;
        Ok(more)
    }

    fn convert(&mut self) -> Result<Frame, VideoError> {
        let converter = match self.converter.take() {
            Some(converter) => converter,
            None => RgbConverter::new(self.decoder.square_size()?, self.decoder.orientation()),
        };
        let converter = self.converter.insert(converter);
        let pixels = converter.convert(self.decoder.picture());
        let pixels = pixels.map_err(|error| self.decoder.container().unreadable(error))?;
        Ok(Frame { pixels, time: self.decoder.tick() as f64 * self.decoder.time_base() })
    }
}

impl Iterator for Frames {
    type Item = Result<Frame, VideoError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.nth(0)
    }

    fn nth(&mut self, passed_over: usize) -> Option<Self::Item> {
        for _ in 0..=passed_over {
            match self.advance() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
        Some(self.convert().inspect_err(|_| self.ended = true))
    }
}
