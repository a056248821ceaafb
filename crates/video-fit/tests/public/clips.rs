//! Clips of every kind that people send. Most show red and green above blue and white.

use std::fs;

use tempfile::tempdir;
use tensor_batch::Size;
use video_fit::{Frames, Limits, probe};

use crate::{assert_near, clip, first_frame, quarters};

const RED: [u8; 3] = [200, 40, 30];
const GREEN: [u8; 3] = [30, 180, 60];
const BLUE: [u8; 3] = [40, 60, 200];
const WHITE: [u8; 3] = [230, 230, 210];

#[test]
fn colours_are_those_that_the_stream_states() {
    for name in [
        "bt709.mp4",
        "bt601.mkv",
        "bt2020-10bit.mp4",
        "full-range.mp4",
        "mjpeg.avi",
        "wide-pixels.mp4",
        "odd-size.webm",
    ] {
        let frame = first_frame(&clip(&format!("made/{name}")));
        assert_near(quarters(frame.view()), [RED, GREEN, BLUE, WHITE], 3, name);
    }
}

#[test]
fn a_clip_is_turned_upright() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("turned.mp4");
    let mut file = fs::read(clip("made/bt709.mp4")).unwrap();
    // The nine numbers of the track header's matrix, 16.16 and big-endian.
    let at = file.windows(4).position(|bytes| bytes == b"tkhd").unwrap() + 44;
    let (wide, tall) = (Size { width: 64, height: 48 }, Size { width: 48, height: 64 });
    for (what, [a, b, c, d], size, shown) in [
        ("a quarter turn clockwise", [0, 1, -1, 0], tall, [BLUE, RED, WHITE, GREEN]),
        ("half a turn", [-1, 0, 0, -1], wide, [WHITE, BLUE, GREEN, RED]),
        ("a quarter turn counter-clockwise", [0, -1, 1, 0], tall, [GREEN, WHITE, RED, BLUE]),
        ("mirrored", [-1, 0, 0, 1], wide, [GREEN, RED, WHITE, BLUE]),
        ("upside down", [1, 0, 0, -1], wide, [BLUE, WHITE, RED, GREEN]),
    ] {
        let matrix = [a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30].map(i32::to_be_bytes);
        file[at..at + 36].copy_from_slice(matrix.as_flattened());
        fs::write(&path, &file).unwrap();
        assert_eq!(probe(&path, &Limits::default()).unwrap().size, size, "{what}");
        assert_near(quarters(first_frame(&path).view()), shown, 3, what);
    }
}

#[test]
fn probe_and_frames_agree_on_size_and_times() {
    for (name, width, height) in [
        ("made/wide-pixels.mp4", 85, 48),
        ("made/odd-size.webm", 63, 47),
        ("made/variable-rate.mkv", 64, 64),
        ("tree-cinepak-15fps.avi", 320, 240),
    ] {
        let clip_probe = probe(&clip(name), &Limits::default()).unwrap();
        assert_eq!(clip_probe.size, Size { width, height }, "{name}");
        let frames = Frames::open(&clip(name), &Limits::default()).unwrap().map(Result::unwrap);
        let (times, dims): (Vec<_>, Vec<_>) = frames.map(|frame| (frame.time, frame.pixels.dim())).unzip();
        assert_eq!(times, clip_probe.times, "{name}");
        assert!(times.is_sorted(), "{name}");
        assert!(dims.iter().all(|dim| *dim == (height as usize, width as usize, 3)), "{name}");
    }
}

#[test]
fn alpha_is_laid_over_black() {
    for (name, levels) in [("made/alpha.mov", 1), ("made/alpha.webm", 3)] {
        let frame = first_frame(&clip(name));
        let (half, full) = ([100, 50, 25], [200, 100, 50]);
        assert_near(quarters(frame.view()), [half, full, half, full], levels, name);
    }
}

#[test]
fn a_variable_rate_is_seen_whatever_the_header_says() {
    let clip = probe(&clip("made/variable-rate.mkv"), &Limits::default()).unwrap();
    assert!(clip.variable_rate, "{:?}", clip.times);
}

#[test]
fn frames_passed_over_change_nothing() {
    let open = || Frames::open(&clip("bunny-too-short.mp4"), &Limits::default()).unwrap().map(Result::unwrap);
    let all: Vec<_> = open().collect();
    let some: Vec<_> = open().skip(4).step_by(5).collect();
    assert_eq!(some, all.iter().skip(4).step_by(5).cloned().collect::<Vec<_>>());
}
