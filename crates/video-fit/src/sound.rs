//! The sound of a clip, packet by packet as it is: nothing is decoded.

use std::path::Path;

use video_rs::ffmpeg::{
    self, Packet, Rational, Rescale,
    codec::{self, Parameters},
    ffi,
    format::context::{Input, Output},
    media,
};

use crate::{Limits, VideoError, clock::Clock, container::Container, decode::first_video, input};

/// What became of the sound of a clip.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sound {
    /// The clip has none.
    None,
    /// It was copied as it is, as far as the pictures last.
    Copied {
        /// FFmpeg's name of the codec.
        codec: &'static str,
    },
    /// An mp4 cannot hold it unchanged, so it was left out.
    LeftOut {
        /// FFmpeg's name of the codec.
        codec: &'static str,
    },
}

/// Times are in these ticks until they are a stream's own.
const MICROSECONDS: Rational = Rational(1, 1_000_000);

/// The first sound track of a clip, on its way into another file.
pub(crate) struct Track {
    input: Input,
    clock: Clock,
    stream: usize,
    time_base: Rational,
    /// The first picture's time, in ticks of `time_base`.
    origin: i64,
    pub(crate) parameters: Parameters,
    /// The packet that was read and whose time has not come yet.
    next: Option<Packet>,
}

impl Track {
    /// Opens the sound of the clip at `path`, if it has any.
    pub(crate) fn open(path: &Path, limits: &Limits) -> Result<Option<Self>, VideoError> {
        let mut clock = Clock::start(limits.max_seconds);
        let input = input::open(path, Container::of(path)?, limits, clock.alarm())?;
        let Some(stream) = input.streams().find(|stream| stream.parameters().medium() == media::Type::Audio)
        else {
            return Ok(None);
        };
        let (index, time_base, parameters) = (stream.index(), stream.time_base(), stream.parameters());
        let start = |video: ffmpeg::Stream<'_>| match video.start_time() {
            ffi::AV_NOPTS_VALUE => 0,
            start => start.rescale(video.time_base(), time_base),
        };
        let origin = first_video(&input).map_or(0, start);
        clock.pause();
        Ok(Some(Self { clock, stream: index, time_base, origin, parameters, next: None, input }))
    }

    /// FFmpeg's name of its codec.
    pub(crate) fn codec(&self) -> &'static str {
        self.parameters.id().name()
    }

    /// Whether `output` can hold it as it is.
    pub(crate) fn fits(&self, output: &Output) -> bool {
        // SAFETY: the output and its format are alive, and FFmpeg only reads them.
        let verdict = unsafe {
            let format = (*output.as_ptr()).oformat;
            let id = ffi::AVCodecID::from(self.parameters.id());
            ffi::avformat_query_codec(format, id, ffi::FF_COMPLIANCE_NORMAL)
        };
        verdict == 1
    }

    /// Adds a stream for it to `output`; gives its index.
    pub(crate) fn add_to(&self, output: &mut Output) -> Result<usize, ffmpeg::Error> {
        let mut stream = output.add_stream(codec::Id::None)?;
        stream.set_parameters(self.parameters.clone());
        stream.set_time_base(self.time_base);
        // SAFETY: the stream and its parameters are alive. A tag belongs to a container: the new one picks its own.
        unsafe { (*(*stream.as_mut_ptr()).codecpar).codec_tag = 0 };
        Ok(stream.index())
    }

    /// Writes the packets that begin before `until` seconds after the first picture to stream `index` of `output`. Of
    /// what lies before that picture one packet stays, by which decoders get under way.
    pub(crate) fn write_until(
        &mut self,
        until: f64,
        output: &mut Output,
        index: usize,
    ) -> Result<(), ffmpeg::Error> {
        let end = ((until * 1e6).round() as i64).rescale(MICROSECONDS, self.time_base);
        while let Some(mut packet) = self.next.take().or_else(|| self.read()) {
            let Some(time) = packet.pts().or(packet.dts()).map(|time| time - self.origin) else { continue };
            if time >= end {
                self.next = Some(packet);
                return Ok(());
            }
            if time + 2 * packet.duration().max(1) <= 0 {
                continue;
            }
            packet.set_pts(packet.pts().map(|time| time - self.origin));
            packet.set_dts(packet.dts().map(|time| time - self.origin));
            let tick = output.stream(index).map_or(self.time_base, |stream| stream.time_base());
            packet.rescale_ts(self.time_base, tick);
            packet.set_stream(index);
            packet.set_position(-1);
            packet.write_interleaved(output)?;
        }
        Ok(())
    }

    /// The next packet of the track; none at its end, or where it cannot be read any further.
    fn read(&mut self) -> Option<Packet> {
        self.clock.resume();
        let mut packet = Packet::empty();
        let found = loop {
            match packet.read(&mut self.input) {
                Ok(()) if packet.stream() == self.stream => break Some(packet),
                Ok(()) => {}
                Err(_) => break None,
            }
        };
        self.clock.pause();
        found
    }
}
