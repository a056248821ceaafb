//! Sound goes through as it is.

use std::path::Path;

use ndarray::Array3;
use tempfile::tempdir;
use tensor_batch::{FrameRate, Size};
use video_fit::{Limits, Sound, VideoError, probe, write_mp4, write_mp4_with_sound};
use video_rs::ffmpeg::{
    self, ChannelLayout, Packet, Rational, codec, encoder,
    format::{
        Sample, flag,
        sample::Type::{Packed, Planar},
    },
    frame, media,
};

use crate::clip;

const SIZE: Size = Size { width: 64, height: 32 };
const SAMPLES: usize = 1024;
const HERTZ: u32 = 44_100;

/// Writes a file with a second of a tone and nothing else.
fn write_tone(path: &Path, container: &str, name: &str) -> Result<(), ffmpeg::Error> {
    ffmpeg::init()?;
    let mut output = ffmpeg::format::output_as(path, container)?;
    let codec = encoder::find_by_name(name).ok_or(ffmpeg::Error::EncoderNotFound)?;
    let mut audio = codec::Context::new_with_codec(codec).encoder().audio()?;
    let format = if name == "aac" { Sample::F32(Planar) } else { Sample::I16(Packed) };
    audio.set_rate(HERTZ as i32);
    audio.set_format(format);
    audio.set_channel_layout(ChannelLayout::MONO);
    audio.set_time_base(Rational(1, HERTZ as i32));
    if output.format().flags().contains(flag::Flags::GLOBAL_HEADER) {
        audio.set_flags(codec::Flags::GLOBAL_HEADER);
    }
    let mut audio = audio.open_as(codec)?;
    output.add_stream(codec)?.set_parameters(&audio);
    output.write_header()?;
    for start in (0..HERTZ as usize).step_by(SAMPLES) {
        let mut tone = frame::Audio::new(format, SAMPLES, ChannelLayout::MONO);
        tone.set_rate(HERTZ);
        tone.set_pts(Some(start as i64));
        let value = |i: usize| ((start + i) as f32 * 440.0 * std::f32::consts::TAU / HERTZ as f32).sin();
        match format {
            Sample::F32(_) => {
                tone.plane_mut::<f32>(0).iter_mut().enumerate().for_each(|(i, s)| *s = value(i))
            }
            _ => tone
                .plane_mut::<i16>(0)
                .iter_mut()
                .enumerate()
                .for_each(|(i, s)| *s = (9e3 * value(i)) as i16),
        }
        audio.send_frame(&tone)?;
        drain(&mut audio, &mut output)?;
    }
    audio.send_eof()?;
    drain(&mut audio, &mut output)?;
    output.write_trailer()
}

fn drain(
    audio: &mut encoder::audio::Encoder,
    output: &mut ffmpeg::format::context::Output,
) -> Result<(), ffmpeg::Error> {
    let mut packet = Packet::empty();
    while audio.receive_packet(&mut packet).is_ok() {
        packet.set_stream(0);
        let tick = output.stream(0).map_or(Rational(1, HERTZ as i32), |stream| stream.time_base());
        packet.rescale_ts(Rational(1, HERTZ as i32), tick);
        packet.write_interleaved(output)?;
    }
    Ok(())
}

/// Seconds and content of every packet of sound.
fn packets(path: &Path) -> Vec<(f64, Vec<u8>)> {
    let mut input = ffmpeg::format::input(path).unwrap();
    let is_sound = |stream: &ffmpeg::Stream<'_>| stream.parameters().medium() == media::Type::Audio;
    let Some(stream) = input.streams().find(is_sound) else { return Vec::new() };
    let (index, tick) = (stream.index(), f64::from(stream.time_base()));
    let mut found = Vec::new();
    let mut packet = Packet::empty();
    while packet.read(&mut input).is_ok() {
        if packet.stream() == index {
            found.push((packet.pts().unwrap() as f64 * tick, packet.data().unwrap().to_vec()));
        }
    }
    found
}

fn write(path: &Path, frames: u8, source: &Path) -> Result<Sound, VideoError> {
    let frames = (0..frames).map(|i| Array3::from_elem([32, 64, 3], i * 5));
    write_mp4_with_sound(path, SIZE, FrameRate::new(25.0).unwrap(), frames, source, &Limits::default())
}

#[test]
fn packets_are_copied_as_far_as_the_pictures_last() {
    let folder = tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for container in ["mp4", "matroska"] {
        let tone = path(container);
        write_tone(&tone, container, "aac").unwrap();
        // 12 pictures are 0.48 s, 40 are longer than the tone.
        for pictures in [12, 40] {
            let (first, again) = (path("first.mp4"), path("again.mp4"));
            let copied = Sound::Copied { codec: "aac" };
            assert_eq!(write(&first, pictures, &tone).unwrap(), copied);
            assert_eq!(write(&again, pictures, &first).unwrap(), copied);
            let end = f64::from(pictures) / 25.0;
            let wanted: Vec<_> = packets(&tone).into_iter().filter(|(time, _)| *time < end).collect();
            assert!(wanted.len() > 15, "{}", wanted.len());
            for found in [packets(&first), packets(&again)] {
                assert_eq!(found.len(), wanted.len(), "{container} {pictures}");
                for ((time, data), (wanted_time, wanted_data)) in found.iter().zip(&wanted) {
                    assert!((time - wanted_time).abs() < 2e-3, "{time} {wanted_time}");
                    assert!(data == wanted_data, "other bytes");
                }
            }
            let clip = probe(&first, &Limits::default()).unwrap();
            assert_eq!((clip.frames(), clip.rate.fps(), clip.times[0]), (pictures.into(), 25.0, 0.0));
        }
    }
}

#[test]
fn what_an_mp4_cannot_hold_is_left_out_and_said() {
    let folder = tempdir().unwrap();
    let (tone, written) = (folder.path().join("tone.mkv"), folder.path().join("written.mp4"));
    write_tone(&tone, "matroska", "pcm_s16le").unwrap();
    assert_eq!(write(&written, 9, &tone).unwrap(), Sound::LeftOut { codec: "pcm_s16le" });
    assert_eq!(packets(&written), []);
    assert_eq!(probe(&written, &Limits::default()).unwrap().frames(), 9);
}

#[test]
fn a_silent_clip_stays_silent() {
    let folder = tempdir().unwrap();
    let written = folder.path().join("written.mp4");
    assert_eq!(write(&written, 9, &clip("bunny-too-short.mp4")).unwrap(), Sound::None);
    assert_eq!(packets(&written), []);
}

#[test]
fn a_source_that_is_no_clip_is_an_error_and_leaves_nothing() {
    let folder = tempdir().unwrap();
    let written = folder.path().join("written.mp4");
    let error = write(&written, 9, &clip("ATTRIBUTION.md")).unwrap_err();
    assert!(matches!(error, VideoError::UnknownContainer { .. }), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    write_mp4(&written, SIZE, FrameRate::DEFAULT, [Array3::<u8>::zeros([32, 64, 3])]).unwrap();
}
