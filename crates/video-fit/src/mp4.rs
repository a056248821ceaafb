//! Frames become an mp4 that plays everywhere.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use ndarray::{ArrayBase, Data, Ix3};
use tensor_batch::{FrameRate, ShapeMismatch, Size};
use video_rs::ffmpeg::{
    self, Dictionary, Packet, Rational, encoder as ffmpeg_encoder,
    format::{Pixel, context::Output, flag::Flags},
    frame,
    software::scaling,
};

use crate::{Limits, Sound, VideoError, colors::Colors, encoder, input, sound::Track};

/// How chroma is made: of every pixel, and rounded.
const FLAGS: scaling::Flags =
    scaling::Flags::BICUBIC.union(scaling::Flags::ACCURATE_RND).union(scaling::Flags::FULL_CHR_H_INP);

/// Writes `frames`, each `[h, w, 3]` of 8-bit RGB, as H.264 at exactly `rate`: 4:2:0, BT.709, limited range, ready for
/// streaming. The file appears under its name when it is complete, and not before.
///
/// # Errors
/// If width or height is odd, a frame has another size, this build of FFmpeg has no encoder of H.264, or writing fails.
pub fn write_mp4<S: Data<Elem = u8>>(
    path: &Path,
    size: Size,
    rate: FrameRate,
    frames: impl IntoIterator<Item = ArrayBase<S, Ix3>>,
) -> Result<(), VideoError> {
    write(path, size, rate, frames, None).map(|_| ())
}

/// The same with the first sound track of the clip at `source`, whose first picture and this file's are of one time. Its
/// packets are copied, not decoded, as far as the pictures last. A track that an mp4 cannot hold is left out.
///
/// # Errors
/// As [`write_mp4`], and if `source` is no clip that can be read within `limits`.
pub fn write_mp4_with_sound<S: Data<Elem = u8>>(
    path: &Path,
    size: Size,
    rate: FrameRate,
    frames: impl IntoIterator<Item = ArrayBase<S, Ix3>>,
    source: &Path,
    limits: &Limits,
) -> Result<Sound, VideoError> {
    write(path, size, rate, frames, Track::open(source, limits)?)
}

fn write<S: Data<Elem = u8>>(
    path: &Path,
    size: Size,
    rate: FrameRate,
    frames: impl IntoIterator<Item = ArrayBase<S, Ix3>>,
    track: Option<Track>,
) -> Result<Sound, VideoError> {
    if size.width == 0 || size.height == 0 || size.width % 2 == 1 || size.height % 2 == 1 {
        return Err(VideoError::OddSize { found: size });
    }
    input::init()?;
    let partial = Partial::beside(path)?;
    let (mut writer, sound) = Writer::open(&partial.0, size, ratio(rate), track)?;
    for frame in frames {
        writer.write(frame)?;
    }
    writer.finish()?;
    partial.publish(path)?;
    Ok(sound)
}

/// Frames per second as a ratio: whole numbers and the thousandths of NTSC (24000/1001 and so on) exactly.
fn ratio(rate: FrameRate) -> Rational {
    // 23.976 is 24000/1001 to one in a million.
    let near = |fps: f64| fps.round() >= 1.0 && (fps - fps.round()).abs() < 2e-6 * fps;
    let (fps, ntsc) = (rate.fps(), rate.fps() * 1.001);
    if near(fps) {
        Rational(fps.round() as i32, 1)
    } else if near(ntsc) {
        Rational(ntsc.round() as i32 * 1000, 1001)
    } else {
        Rational::from(fps).reduce_with_limit(1_000_000).unwrap_or_else(|nearest| nearest)
    }
}

/// A file under a temporary name beside its own, which is removed unless it is published.
struct Partial(PathBuf);

impl Partial {
    fn beside(path: &Path) -> Result<Self, VideoError> {
        let name = path.file_name().ok_or_else(|| failed("name", io::ErrorKind::InvalidInput.into()))?;
        let mut partial = std::ffi::OsString::from(".");
        partial.push(name);
        partial.push(".partial");
        Ok(Self(path.with_file_name(partial)))
    }

    fn publish(self, path: &Path) -> Result<(), VideoError> {
        let sync = |path: &Path| File::open(path).and_then(|file| file.sync_all());
        sync(&self.0).map_err(|error| failed("sync", error))?;
        fs::rename(&self.0, path).map_err(|error| failed("rename", error))?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        sync(folder).map_err(|error| failed("sync the folder of", error))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // Gone already if it was published.
        let _ = fs::remove_file(&self.0);
    }
}

fn failed(what: &'static str, source: io::Error) -> VideoError {
    VideoError::Io { what, source }
}

fn encoding(error: ffmpeg::Error) -> VideoError {
    VideoError::Ffmpeg { what: "write an mp4", source: error.into() }
}

/// One H.264 stream in one mp4, and perhaps sound.
struct Writer {
    output: Output,
    encoder: ffmpeg_encoder::video::Encoder,
    /// The sound, and the index of its stream.
    track: Option<(Track, usize)>,
    scaler: scaling::Context,
    rgb: frame::Video,
    size: Size,
    tick: Rational,
    written: i64,
}

impl Writer {
    fn open(
        path: &Path,
        size: Size,
        rate: Rational,
        track: Option<Track>,
    ) -> Result<(Self, Sound), VideoError> {
        let url = input::file_url(path).map_err(|error| failed("name", error))?;
        let url = url.to_str().map_err(|_| failed("name", io::ErrorKind::InvalidInput.into()))?;
        let mut output = ffmpeg::format::output_as(url, "mp4").map_err(encoding)?;
        let global_header = output.format().flags().contains(Flags::GLOBAL_HEADER);
        let (codec, encoder) = encoder::open(size, rate, global_header)?;
        add_pictures(&mut output, codec, &encoder, rate).map_err(encoding)?;
        let (track, sound) = add_sound(&mut output, track).map_err(encoding)?;
        start(&mut output).map_err(encoding)?;
        let Size { width, height } = size;
        let mut scaler =
            scaling::Context::get(Pixel::RGB24, width, height, Pixel::YUV420P, width, height, FLAGS)
                .map_err(encoding)?;
        Colors::BT709.written_by(&mut scaler).map_err(encoding)?;
        let rgb = frame::Video::new(Pixel::RGB24, width, height);
        Ok((Self { output, encoder, track, scaler, rgb, size, tick: rate.invert(), written: 0 }, sound))
    }

    fn write<S: Data<Elem = u8>>(&mut self, frame: ArrayBase<S, Ix3>) -> Result<(), VideoError> {
        let wanted = [self.size.height as usize, self.size.width as usize, 3];
        if frame.shape() != wanted {
            let found = frame.shape().to_vec();
            return Err(ShapeMismatch { what: "frame", found, wanted: wanted.to_vec() }.into());
        }
        let stride = self.rgb.stride(0);
        for (row, line) in frame.outer_iter().zip(self.rgb.data_mut(0).chunks_mut(stride)) {
            line.iter_mut().zip(row).for_each(|(to, from)| *to = *from);
        }
        self.encode().map_err(encoding)
    }

    fn encode(&mut self) -> Result<(), ffmpeg::Error> {
        // The encoder may still hold the last picture.
        let mut yuv = frame::Video::new(Pixel::YUV420P, self.size.width, self.size.height);
        self.scaler.run(&self.rgb, &mut yuv)?;
        yuv.set_pts(Some(self.written));
        self.written += 1;
        if let Some((track, index)) = &mut self.track {
            // Up to the end of this picture, so that neither stream waits long for the other.
            track.write_until(self.written as f64 * f64::from(self.tick), &mut self.output, *index)?;
        }
        self.encoder.send_frame(&yuv)?;
        self.drain()
    }

    /// Writes what the encoder has ready.
    fn drain(&mut self) -> Result<(), ffmpeg::Error> {
        let stream_tick = self.output.stream(0).map_or(self.tick, |stream| stream.time_base());
        let mut packet = Packet::empty();
        loop {
            match self.encoder.receive_packet(&mut packet) {
                Ok(()) => {}
                Err(ffmpeg::Error::Eof | ffmpeg::Error::Other { errno: ffmpeg::error::EAGAIN }) => {
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
            packet.set_stream(0);
            packet.set_duration(1);
            packet.rescale_ts(self.tick, stream_tick);
            packet.write_interleaved(&mut self.output)?;
        }
    }

    fn finish(mut self) -> Result<(), VideoError> {
        let end = self.encoder.send_eof().and_then(|()| self.drain());
        end.and_then(|()| self.output.write_trailer()).map_err(encoding)
    }
}

/// Adds the stream of the pictures.
fn add_pictures(
    output: &mut Output,
    codec: ffmpeg::Codec,
    encoder: &ffmpeg_encoder::video::Encoder,
    rate: Rational,
) -> Result<(), ffmpeg::Error> {
    let mut stream = output.add_stream(codec)?;
    stream.set_parameters(encoder);
    stream.set_time_base(rate.invert());
    stream.set_avg_frame_rate(rate);
    Ok(())
}

/// Adds the stream of the sound, if there is any that an mp4 can hold.
fn add_sound(
    output: &mut Output,
    track: Option<Track>,
) -> Result<(Option<(Track, usize)>, Sound), ffmpeg::Error> {
    let Some(track) = track else { return Ok((None, Sound::None)) };
    let codec = track.codec();
    if !track.fits(output) {
        return Ok((None, Sound::LeftOut { codec }));
    }
    let index = track.add_to(output)?;
    Ok((Some((track, index)), Sound::Copied { codec }))
}

/// Writes the header. The index goes to the front of the file, so that it plays while it loads.
fn start(output: &mut Output) -> Result<(), ffmpeg::Error> {
    output.write_header_with(Dictionary::from_iter([("movflags", "+faststart")]))?;
    Ok(())
}
