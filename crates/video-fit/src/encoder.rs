//! Which encoder makes H.264: the best that this build of FFmpeg has.

use tensor_batch::Size;
use video_rs::ffmpeg::{self, Codec, Dictionary, Rational, codec, encoder, format::Pixel};

use crate::VideoError;

/// One encoder: how FFmpeg calls it, and what it is told.
struct Choice {
    name: &'static str,
    options: &'static [(&'static str, &'static str)],
    /// Whether it goes by quality; else it is given bits.
    by_quality: bool,
}

/// What x264 is told. Its macroblock tree reads memory that it has not written where a row of macroblocks does not fill a
/// vector register, and the same pictures become other bytes from run to run; it also holds 40 pictures back. Its bytes
/// depend on the number of threads, which by default is that of the machine's cores, and so does its memory.
const X264: &[(&str, &str)] = &[("crf", "18"), ("preset", "medium"), ("mbtree", "0"), ("threads", "1")];

/// The best first. Distributions that leave x264 out for its patents ship Cisco's encoder; macOS has its own.
const CHOICES: [Choice; 3] = [
    Choice { name: "libx264", options: X264, by_quality: true },
    Choice { name: "libopenh264", options: &[("allow_skip_frames", "0")], by_quality: false },
    Choice { name: "h264_videotoolbox", options: &[("allow_sw", "1")], by_quality: false },
];

/// Bits for a pixel where an encoder is not told a quality: several times what x264 takes for clean video.
const BITS_PER_PIXEL: f64 = 0.4;

/// What all of [`CHOICES`] are called together in an error.
const ALL: &str = "encoder of H.264 (libx264, libopenh264 or h264_videotoolbox)";

/// Opens the best encoder that is there and works: 4:2:0, BT.709, limited range.
///
/// # Errors
/// If this build has none, or the last of those that it has cannot be opened.
pub(crate) fn open(
    size: Size,
    rate: Rational,
    global_header: bool,
) -> Result<(Codec, encoder::video::Encoder), VideoError> {
    let known = CHOICES.iter().filter_map(|choice| Some((choice, encoder::find_by_name(choice.name)?)));
    best(known, |(choice, codec)| {
        Ok((codec, open_one(choice, codec, size, rate, global_header).map_err(failed)?))
    })
}

/// The first that can be opened, else why the last one cannot.
fn best<T, O>(
    known: impl Iterator<Item = T>,
    open: impl Fn(T) -> Result<O, VideoError>,
) -> Result<O, VideoError> {
    let mut failure = VideoError::Missing { what: ALL };
    for one in known {
        match open(one) {
            Ok(opened) => return Ok(opened),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

fn failed(error: ffmpeg::Error) -> VideoError {
    VideoError::Ffmpeg { what: "open an encoder of H.264", source: error.into() }
}

fn open_one(
    choice: &Choice,
    codec: Codec,
    size: Size,
    rate: Rational,
    global_header: bool,
) -> Result<encoder::video::Encoder, ffmpeg::Error> {
    use ffmpeg::color::{Primaries, Range, Space, TransferCharacteristic};
    let mut encoder = codec::Context::new_with_codec(codec).encoder().video()?;
    encoder.set_width(size.width);
    encoder.set_height(size.height);
    encoder.set_format(Pixel::YUV420P);
    encoder.set_time_base(rate.invert());
    encoder.set_frame_rate(Some(rate));
    encoder.set_colorspace(Space::BT709);
    encoder.set_color_range(Range::MPEG);
    encoder.set_color_primaries(Primaries::BT709);
    encoder.set_color_transfer_characteristic(TransferCharacteristic::BT709);
    if !choice.by_quality {
        let pixels = f64::from(size.width) * f64::from(size.height) * f64::from(rate);
        encoder.set_bit_rate((pixels * BITS_PER_PIXEL) as usize);
    }
    if global_header {
        encoder.set_flags(codec::Flags::GLOBAL_HEADER);
    }
    encoder.open_as_with(codec, Dictionary::from_iter(choice.options.iter().copied()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(known: &[(&'static str, bool)]) -> Result<&'static str, String> {
        let open = |(name, works): (&'static str, bool)| {
            if works { Ok(name) } else { Err(failed(ffmpeg::Error::Unknown)) }
        };
        best(known.iter().copied(), open).map_err(|error| error.to_string())
    }

    #[test]
    fn the_best_that_works_is_taken() {
        assert_eq!(chosen(&[("a", true), ("b", true)]), Ok("a"));
        assert_eq!(chosen(&[("a", false), ("b", true)]), Ok("b"));
        assert_eq!(chosen(&[("a", false)]), Err("cannot open an encoder of H.264".to_owned()));
    }

    #[test]
    fn a_build_without_any_says_what_it_lacks() {
        let lacking = chosen(&[]).unwrap_err();
        assert!(CHOICES.iter().all(|choice| lacking.contains(choice.name)), "{lacking}");
        assert!(lacking.starts_with("this build of FFmpeg has no encoder of H.264"), "{lacking}");
    }
}
