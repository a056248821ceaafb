//! Demuxing and decoding: decoded pictures in presentation order.

use std::path::Path;

use tensor_batch::{FrameRate, Size};
use video_rs::ffmpeg::{
    self, Codec, Dictionary, Packet, Rational, Stream, decoder,
    error::EAGAIN,
    format::{context::Input, stream::Disposition},
    frame, media,
};

use crate::{
    Limits, VideoError,
    clock::Clock,
    container::Container,
    display::{Orientation, square_pixels},
    input,
};

/// The first video stream of a file, decoded one picture at a time.
pub(crate) struct Decoder {
    input: Input,
    stream: usize,
    decoder: decoder::Video,
    picture: frame::Video,
    container: Container,
    limits: Limits,
    clock: Clock,
    time_base: Rational,
    rate: FrameRate,
    orientation: Orientation,
    decoded: u32,
    tick: i64,
}

impl Decoder {
    pub(crate) fn open(path: &Path, limits: &Limits) -> Result<Self, VideoError> {
        let mut clock = Clock::start(limits.max_seconds);
        let container = Container::of(path)?;
        let input = input::open(path, container, limits, clock.alarm());
        let input = input.map_err(|error| match clock.alarm().rings() {
            true => VideoError::Deadline { limit: limits.max_seconds, decoded: 0 },
            false => error,
        })?;
        let stream = first_video(&input).ok_or(VideoError::NoVideo { container: container.name() })?;
        let decoder = open_codec(&stream, container, limits)?;
        let (time_base, rate, orientation) = (stream.time_base(), rate(&stream), Orientation::of(&stream));
        let stream = stream.index();
        clock.pause();
        Ok(Self {
            input,
            stream,
            decoder,
            picture: frame::Video::empty(),
            container,
            limits: *limits,
            clock,
            time_base,
            rate,
            orientation,
            decoded: 0,
            tick: 0,
        })
    }

    /// Decodes the next picture; false at the end. What cannot be decoded is left out: a clip with a broken tail is
    /// a shorter clip.
    pub(crate) fn advance(&mut self) -> Result<bool, VideoError> {
        self.clock.resume();
        let more = self.receive();
        self.clock.pause();
        more
    }

    fn receive(&mut self) -> Result<bool, VideoError> {
        while !self.clock.alarm().rings() {
            match self.decoder.receive_frame(&mut self.picture) {
                Ok(()) => return self.count().map(|()| true),
                Err(ffmpeg::Error::Eof) => return Ok(false),
                Err(ffmpeg::Error::Other { errno: EAGAIN }) => self.feed(),
                Err(_) => {}
            }
        }
        Err(VideoError::Deadline { limit: self.limits.max_seconds, decoded: self.decoded })
    }

    /// Gives the decoder one packet, or tells it that there are no more. Errors need no answer here: a packet that
    /// the decoder refuses yields no picture, and where reading fails the file ends.
    fn feed(&mut self) {
        let mut packet = Packet::empty();
        let _ = match packet.read(&mut self.input) {
            Ok(()) if packet.stream() == self.stream => self.decoder.send_packet(&packet),
            Ok(()) => Ok(()),
            Err(_) => self.decoder.send_eof(),
        };
    }

    fn count(&mut self) -> Result<(), VideoError> {
        if self.decoded == self.limits.max_frames {
            return Err(VideoError::TooManyFrames { limit: self.limits.max_frames });
        }
        check_size(self.coded_size(), &self.limits)?;
        self.tick = self.next_tick();
        self.decoded += 1;
        Ok(())
    }

    /// The picture's time stamp; where it has none, or none after the last one's, the next that it could have.
    fn next_tick(&self) -> i64 {
        match self.picture.timestamp() {
            Some(tick) if self.decoded == 0 || tick > self.tick => tick,
            Some(_) => self.tick.saturating_add(1),
            None if self.decoded == 0 => 0,
            None => {
                let ticks = 1.0 / (self.rate.fps() * f64::from(self.time_base));
                self.tick.saturating_add((ticks.round() as i64).max(1))
            }
        }
    }

    /// The picture that [`advance`](Self::advance) decoded last.
    pub(crate) fn picture(&self) -> &frame::Video {
        &self.picture
    }

    /// Its presentation time, in ticks of the time base.
    pub(crate) fn tick(&self) -> i64 {
        self.tick
    }

    /// Seconds of a tick.
    pub(crate) fn time_base(&self) -> f64 {
        f64::from(self.time_base)
    }

    /// The rate that the container states.
    pub(crate) fn rate(&self) -> FrameRate {
        self.rate
    }

    /// How pictures are to be laid.
    pub(crate) fn orientation(&self) -> Orientation {
        self.orientation
    }

    /// The container, for errors.
    pub(crate) fn container(&self) -> Container {
        self.container
    }

    fn coded_size(&self) -> Size {
        Size { width: self.picture.width(), height: self.picture.height() }
    }

    /// The size of the current picture with square pixels, before it is laid.
    pub(crate) fn square_size(&mut self) -> Result<Size, VideoError> {
        let coded = self.coded_size();
        let aspect = input::sample_aspect(&mut self.input, self.stream, &self.picture);
        let size = square_pixels(coded, aspect);
        check_size(size, &self.limits).map(|()| size)
    }
}

/// The first video stream that is no cover picture.
pub(crate) fn first_video(input: &Input) -> Option<Stream<'_>> {
    input.streams().find(|stream| {
        stream.parameters().medium() == media::Type::Video
            && !stream.disposition().contains(Disposition::ATTACHED_PIC)
    })
}

fn open_codec(stream: &Stream, container: Container, limits: &Limits) -> Result<decoder::Video, VideoError> {
    check_size(input::stated_size(stream), limits)?;
    let unreadable = |error: ffmpeg::Error| container.unreadable(error);
    let context = ffmpeg::codec::Context::from_parameters(stream.parameters()).map_err(unreadable)?;
    let decoder = context.decoder();
    let codec = alpha_codec(stream).or_else(|| decoder::find(decoder.id()));
    let codec = codec.ok_or_else(|| container.unreadable(ffmpeg::Error::DecoderNotFound))?;
    let pixels = input::max_coded_pixels(limits);
    let options = Dictionary::from_iter([("max_pixels", pixels.as_str()), ("threads", "auto")]);
    decoder.open_as_with(codec, options).and_then(decoder::Opened::video).map_err(unreadable)
}

/// The decoder for VP8 and VP9 with alpha: FFmpeg's own leaves alpha out.
fn alpha_codec(stream: &Stream) -> Option<Codec> {
    let alpha = stream.metadata().get("alpha_mode") == Some("1");
    match stream.parameters().id() {
        ffmpeg::codec::Id::VP8 if alpha => decoder::find_by_name("libvpx"),
        ffmpeg::codec::Id::VP9 if alpha => decoder::find_by_name("libvpx-vp9"),
        _ => None,
    }
}

fn check_size(size: Size, limits: &Limits) -> Result<(), VideoError> {
    let limit = limits.max_pixels_per_frame;
    if u64::from(size.width) * u64::from(size.height) > limit {
        return Err(VideoError::TooLarge { found: size, limit });
    }
    Ok(())
}

/// The average rate of the stream, else its base rate, else 24.
fn rate(stream: &Stream) -> FrameRate {
    let stated = [stream.avg_frame_rate(), stream.rate()];
    let known = stated.into_iter().filter(|rate| rate.0 > 0 && rate.1 > 0);
    known.map(f64::from).find_map(|fps| FrameRate::new(fps).ok()).unwrap_or(FrameRate::DEFAULT)
}
