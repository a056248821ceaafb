//! Opening a file for reading, with one demuxer and no protocol but the file itself.

use std::{ffi::CString, io, path::Path, ptr, sync::Once};

use tensor_batch::Size;
use video_rs::ffmpeg::{
    self, Dictionary, Rational, Stream, ffi, format::context::Input, frame, util::interrupt,
};

use crate::{Limits, VideoError, clock::Alarm, container::Container};

/// Sets FFmpeg up, once: its error texts, and its log to silent.
pub(crate) fn init() -> Result<(), VideoError> {
    static ONCE: Once = Once::new();
    let mut result = Ok(());
    ONCE.call_once(|| {
        ffmpeg::log::set_level(ffmpeg::log::Level::Quiet);
        result = ffmpeg::init();
    });
    result.map_err(|error| VideoError::Ffmpeg { what: "start FFmpeg", source: error.into() })
}

/// The path as FFmpeg's file protocol takes it, so that no part of it is read as another protocol.
pub(crate) fn file_url(path: &Path) -> io::Result<CString> {
    let text =
        path.to_str().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "path is not UTF-8"))?;
    Ok(CString::new(format!("file:{text}"))?)
}

/// Opens the file at `path` and reads as much of it as tells what its streams are.
pub(crate) fn open(
    path: &Path,
    container: Container,
    limits: &Limits,
    alarm: &Alarm,
) -> Result<Input, VideoError> {
    init()?;
    let url = file_url(path).map_err(|source| VideoError::Io { what: "read", source })?;
    let alarm = alarm.clone();
    let stop = interrupt::new(Box::new(move || alarm.rings()));
    // SAFETY: every pointer is checked, or valid as the comment beside it says; `context` is freed by
    // `avformat_open_input` where that fails and owned by `Input` after; `stop.guard`, which owns the callback,
    // outlives it in both cases.
    let mut input = unsafe {
        let demuxer = ffi::av_find_input_format(container.demuxer().as_ptr());
        let mut context = ffi::avformat_alloc_context();
        if demuxer.is_null() || context.is_null() {
            ffi::avformat_free_context(context); // null is allowed
            return Err(VideoError::Missing { what: "demuxer for mov, matroska or avi" });
        }
        (*context).interrupt_callback = stop.interrupt;
        let mut options = Dictionary::from_iter([("protocol_whitelist", "file")]).disown();
        let code = ffi::avformat_open_input(&raw mut context, url.as_ptr(), demuxer, &raw mut options);
        drop(Dictionary::own(options)); // what was not consumed; null is allowed
        if code < 0 {
            return Err(container.unreadable(ffmpeg::Error::from(code)));
        }
        Input::wrap_with_interrupt(context, stop.guard)
    };
    find_stream_info(&mut input, limits).map_err(|error| container.unreadable(error))?;
    Ok(input)
}

/// The limit on pixels for FFmpeg's own check. Frames are coded in whole blocks and cut after that, which may take
/// more.
pub(crate) fn max_coded_pixels(limits: &Limits) -> String {
    limits.max_pixels_per_frame.saturating_mul(2).clamp(1 << 16, i32::MAX as u64).to_string()
}

/// Reads on until the streams are known. It may decode, so it gets the limit on pixels too.
fn find_stream_info(input: &mut Input, limits: &Limits) -> Result<(), ffmpeg::Error> {
    let pixels = max_coded_pixels(limits);
    let options = || Dictionary::from_iter([("max_pixels", pixels.as_str())]);
    // SAFETY: FFmpeg reads one dictionary for each stream that there is at the time of the call, and replaces it by
    // what it did not consume, which goes back to its owner here.
    let code = unsafe {
        let mut dictionaries: Vec<_> = (0..input.nb_streams()).map(|_| options().disown()).collect();
        let code = ffi::avformat_find_stream_info(input.as_mut_ptr(), dictionaries.as_mut_ptr());
        dictionaries.into_iter().for_each(|rest| drop(Dictionary::own(rest)));
        code
    };
    if code < 0 { Err(code.into()) } else { Ok(()) }
}

/// The size that the container states.
pub(crate) fn stated_size(stream: &Stream) -> Size {
    // SAFETY: the parameters are alive as long as the stream is.
    let (width, height) = unsafe {
        let parameters = stream.parameters().as_ptr();
        ((*parameters).width, (*parameters).height)
    };
    Size { width: width.max(0).unsigned_abs(), height: height.max(0).unsigned_abs() }
}

/// Width to height of a sample, as the container says or else the codec; 1 where neither does.
pub(crate) fn sample_aspect(input: &mut Input, stream: usize, picture: &frame::Video) -> f64 {
    let Some(mut stream) = input.stream_mut(stream) else { return 1.0 };
    // SAFETY: stream and frame are alive, and FFmpeg only reads them; the context is not used and may be null.
    let ratio = unsafe {
        ffi::av_guess_sample_aspect_ratio(ptr::null_mut(), stream.as_mut_ptr(), picture.as_ptr().cast_mut())
    };
    let Rational(num, den) = Rational::from(ratio);
    if num > 0 && den > 0 { f64::from(num) / f64::from(den) } else { 1.0 }
}
