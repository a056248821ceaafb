//! Files that are not what they say: a typed error or fewer frames, and never a panic.

use std::{fs, path::Path};

use tempfile::tempdir;
use tensor_batch::{Blame, Fault};
use video_fit::{Frames, Limits, VideoError, probe};

use crate::clip;

fn kind(path: &Path, limits: &Limits) -> &'static str {
    let error = probe(path, limits).unwrap_err();
    assert_eq!(error.fault(), Fault::Request, "{error}");
    error.kind()
}

#[test]
fn what_is_no_video_is_unreadable() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.mp4");
    for content in [
        &b"this is not a video"[..],
        b"",
        b"\0",
        b"\0\0\0\x20ftypisom",
        b"\x1a\x45\xdf\xa3 and no more",
        b"RIFF\xff\xff\xff\xffAVI LIST",
        b"ffconcat version 1.0\nfile /etc/passwd\n",
    ] {
        fs::write(&path, content).unwrap();
        assert_eq!(kind(&path, &Limits::default()), "unreadable-clip", "{content:?}");
    }
}

#[test]
fn a_playlist_opens_no_other_file() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("playlist.mp4");
    fs::copy(clip("bunny-too-short.mp4"), folder.path().join("other.mp4")).unwrap();
    for playlist in
        ["ffconcat version 1.0\nfile other.mp4\n", "#EXTM3U\n#EXTINF:1,\nother.mp4\n#EXT-X-ENDLIST\n"]
    {
        fs::write(&path, playlist).unwrap();
        assert_eq!(kind(&path, &Limits::default()), "unreadable-clip");
    }
}

#[test]
fn a_name_that_looks_like_a_protocol_is_a_name() {
    let folder = tempdir().unwrap();
    for name in
        ["http:clip.mp4", "concat:a.mp4|b.mp4", "data:video,clip.mp4", "file:clip.mp4", "%03d.mp4", "pipe:0"]
    {
        let path = folder.path().join(name);
        fs::copy(clip("made/bt709.mp4"), &path).unwrap();
        assert_eq!(probe(&path, &Limits::default()).unwrap().frames(), 3, "{name}");
    }
}

#[test]
fn a_missing_file_is_the_services_fault() {
    let error = probe(Path::new("no/such/clip.mp4"), &Limits::default()).unwrap_err();
    assert_eq!((error.fault(), error.kind()), (Fault::Service, "io"));
}

#[test]
fn limits_hold() {
    let path = clip("bunny-too-short.mp4");
    let limits = Limits::default();
    assert_eq!(kind(&path, &Limits { max_pixels_per_frame: 320 * 180 - 1, ..limits }), "too-large");
    assert_eq!(kind(&path, &Limits { max_frames: 29, ..limits }), "unprobeable-clip");
    assert_eq!(kind(&path, &Limits { max_seconds: 0, ..limits }), "unprobeable-clip");
    let exact = Limits { max_pixels_per_frame: 320 * 180, max_frames: 30, max_seconds: 60 };
    assert_eq!(probe(&path, &exact).unwrap().frames(), 30);
    // 64x48 as coded, 85x48 as displayed.
    let wide = clip("made/wide-pixels.mp4");
    assert_eq!(kind(&wide, &Limits { max_pixels_per_frame: 64 * 48, ..limits }), "too-large");
}

#[test]
fn limits_are_counted_on_what_is_decoded() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("growing.avi");
    let mut file = fs::read(clip("made/mjpeg.avi")).unwrap();
    // The second picture is larger than the header and the first say: height and width behind the marker.
    let starts: Vec<_> =
        (0..file.len()).filter(|at| file[*at..].starts_with(&[0xff, 0xc0, 0, 17, 8])).collect();
    file[starts[1] + 5..][..4].copy_from_slice(&[0, 56, 0, 64]);
    fs::write(&path, &file).unwrap();
    let limits = Limits { max_pixels_per_frame: 64 * 48, ..Limits::default() };
    assert_eq!(kind(&path, &limits), "too-large");
    assert_eq!(probe(&path, &Limits { max_pixels_per_frame: 64 * 56, ..limits }).unwrap().frames(), 3);
}

#[test]
fn frames_end_after_an_error() {
    let limits = Limits { max_frames: 3, ..Limits::default() };
    let mut frames = Frames::open(&clip("bunny-too-short.mp4"), &limits).unwrap();
    assert!(frames.by_ref().take(3).all(|frame| frame.is_ok()));
    assert!(matches!(frames.next(), Some(Err(VideoError::TooManyFrames { limit: 3 }))));
    assert!(frames.next().is_none());
}

#[test]
fn a_file_cut_anywhere_is_a_shorter_clip_or_an_error() {
    let folder = tempdir().unwrap();
    for name in ["bt709.mp4", "bt601.mkv", "odd-size.webm", "mjpeg.avi", "alpha.mov", "bt2020-10bit.mp4"] {
        let whole = fs::read(clip(&format!("made/{name}"))).unwrap();
        let path = folder.path().join(name);
        for cut in (0..whole.len()).step_by(37) {
            fs::write(&path, &whole[..cut]).unwrap();
            read_through(&path);
        }
    }
}

#[test]
fn a_file_with_a_broken_byte_is_a_clip_or_an_error() {
    let folder = tempdir().unwrap();
    for name in ["bt709.mp4", "bt601.mkv", "odd-size.webm", "mjpeg.avi", "alpha.mov"] {
        let whole = fs::read(clip(&format!("made/{name}"))).unwrap();
        let path = folder.path().join(name);
        for (step, at) in (0..whole.len()).step_by(23).enumerate() {
            let mut broken = whole.clone();
            broken[at] ^= [0xff, 0x80, 0x01][step % 3];
            fs::write(&path, &broken).unwrap();
            read_through(&path);
        }
    }
}

/// Reads a file of three frames to its end.
fn read_through(path: &Path) {
    let limits = Limits { max_seconds: 10, ..Limits::default() };
    match Frames::open(path, &limits).and_then(|frames| frames.collect::<Result<Vec<_>, _>>()) {
        Ok(frames) => assert!(frames.len() <= 3),
        Err(error) => assert_eq!(error.fault(), Fault::Request, "{error}"),
    }
}
