//! Telling the scaler what colours the numbers mean.

use video_rs::ffmpeg::{
    self,
    color::{Range, Space},
    ffi,
    format::Pixel,
    frame,
    software::scaling,
};

/// Matrix and range of YCbCr. RGB ignores both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Colors {
    space: Space,
    full_range: bool,
}

impl Colors {
    /// What is written: HD video as every player knows it.
    pub(crate) const BT709: Self = Self { space: Space::BT709, full_range: false };

    /// What a decoded frame says. FFmpeg takes BT.601 and limited range where it says nothing, and so does the
    /// reference.
    pub(crate) fn of(picture: &frame::Video) -> Self {
        let jpeg = matches!(
            picture.format(),
            Pixel::YUVJ411P | Pixel::YUVJ420P | Pixel::YUVJ422P | Pixel::YUVJ440P | Pixel::YUVJ444P
        );
        Self { space: picture.color_space(), full_range: jpeg || picture.color_range() == Range::JPEG }
    }

    /// Makes `scaler` read YCbCr of these colours.
    pub(crate) fn read_by(self, scaler: &mut scaling::Context) -> Result<(), ffmpeg::Error> {
        self.apply(scaler, self.full_range, true)
    }

    /// Makes `scaler` write YCbCr of these colours.
    pub(crate) fn written_by(self, scaler: &mut scaling::Context) -> Result<(), ffmpeg::Error> {
        self.apply(scaler, true, self.full_range)
    }

    fn apply(
        self,
        scaler: &mut scaling::Context,
        read_full: bool,
        write_full: bool,
    ) -> Result<(), ffmpeg::Error> {
        const ONE: i32 = 1 << 16;
        let space = ffi::AVColorSpace::from(self.space) as i32;
        // SAFETY: the scaler is alive, and FFmpeg copies the table, which is static and is the default one for an
        // unknown `space`.
        let code = unsafe {
            let table = ffi::sws_getCoefficients(space);
            let (read, write) = (i32::from(read_full), i32::from(write_full));
            ffi::sws_setColorspaceDetails(scaler.as_mut_ptr(), table, read, table, write, 0, ONE, ONE)
        };
        if code < 0 { Err(ffmpeg::Error::from(code)) } else { Ok(()) }
    }
}
