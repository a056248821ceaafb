//! What is to be said about a mask at its own resolution.

use tensor_batch::Size;

use crate::{ImageLimits, MaskError, frame::MaskFrame, picture::Picture};

/// What a mask looks like at its own resolution, before anything is done to it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seen {
    /// Width and height in pixels, upright; of a video, those of its first frame.
    pub size: Size,
    /// The share of pixels, 0 to 1, that are neither nearly white nor nearly black: the mean of the channels, with
    /// transparency laid over black, is strictly between 10 % and 90 % of full scale. Of a video, over the frames that
    /// the clip takes, each counted once.
    pub grey: f64,
}

impl Seen {
    /// Looks at a mask image that is laid over no clip.
    ///
    /// # Errors
    /// As [`LatentRule::image`](crate::LatentRule::image).
    pub fn image(bytes: &[u8], limits: &ImageLimits) -> Result<Self, MaskError> {
        let mut tally = Tally::default();
        tally.add(MaskFrame::from_picture(&Picture::decode(bytes, limits)?).look());
        Ok(tally.seen())
    }
}

/// One frame, as far as [`Seen`] asks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    pub(crate) size: Size,
    /// Pixels that are neither nearly white nor nearly black.
    pub(crate) grey: u64,
}

/// Frames counted up.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    first: Option<Size>,
    pixels: u64,
    grey: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, look: Look) {
        self.first.get_or_insert(look.size);
        self.pixels += u64::from(look.size.width) * u64::from(look.size.height);
        self.grey += look.grey;
    }

    pub(crate) fn seen(&self) -> Seen {
        let size = self.first.unwrap_or(Size { width: 0, height: 0 });
        Seen { size, grey: self.grey as f64 / self.pixels.max(1) as f64 }
    }
}
