//! Clips of every kind that people send. Most show red and green above blue and white.

use std::{fs, path::Path};

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

/// The clip `name` with the matrix `[a, b, c, d]` in its track header, at `path`.
fn turned(name: &str, path: &Path, [a, b, c, d]: [i32; 4]) {
    let mut file = fs::read(clip(name)).unwrap();
    // Nine numbers, 16.16 and big-endian.
    let at = file.windows(4).position(|bytes| bytes == b"tkhd").unwrap() + 44;
    let matrix = [a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30].map(i32::to_be_bytes);
    file[at..at + 36].copy_from_slice(matrix.as_flattened());
    fs::write(path, &file).unwrap();
}

#[test]
fn a_clip_is_turned_upright() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("turned.mp4");
    let (wide, tall) = (Size { width: 64, height: 48 }, Size { width: 48, height: 64 });
    for (what, matrix, size, shown) in [
        ("a quarter turn clockwise", [0, 1, -1, 0], tall, [BLUE, RED, WHITE, GREEN]),
        ("half a turn", [-1, 0, 0, -1], wide, [WHITE, BLUE, GREEN, RED]),
        ("a quarter turn counter-clockwise", [0, -1, 1, 0], tall, [GREEN, WHITE, RED, BLUE]),
        ("mirrored", [-1, 0, 0, 1], wide, [GREEN, RED, WHITE, BLUE]),
        ("upside down", [1, 0, 0, -1], wide, [BLUE, WHITE, RED, GREEN]),
    ] {
        turned("made/bt709.mp4", &path, matrix);
        assert_eq!(probe(&path, &Limits::default()).unwrap().size, size, "{what}");
        assert_near(quarters(first_frame(&path).view()), shown, 3, what);
    }
}

#[test]
fn pixels_are_made_square_before_the_clip_is_turned() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("turned.mp4");
    turned("made/wide-pixels.mp4", &path, [0, 1, -1, 0]);
    assert_eq!(probe(&path, &Limits::default()).unwrap().size, Size { width: 48, height: 85 });
    let frame = first_frame(&path);
    assert_eq!(frame.dim(), (85, 48, 3));
    assert_near(quarters(frame.view()), [BLUE, RED, WHITE, GREEN], 3, "turned clockwise");
}

#[test]
fn frames_are_of_one_size_where_the_stream_is_not() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("changing.avi");
    let mut file = fs::read(clip("made/mjpeg.avi")).unwrap();
    // The second picture states another size: height and width, big-endian, behind the marker, length and depth.
    let starts: Vec<_> =
        (0..file.len()).filter(|at| file[*at..].starts_with(&[0xff, 0xc0, 0, 17, 8])).collect();
    file[starts[1] + 5..][..4].copy_from_slice(&[0, 32, 0, 80]);
    fs::write(&path, &file).unwrap();
    let frames: Vec<_> = Frames::open(&path, &Limits::default()).unwrap().map(Result::unwrap).collect();
    assert_eq!(frames.len(), 3);
    assert!(frames.iter().all(|frame| frame.pixels.dim() == (48, 64, 3)));
    assert_near(quarters(frames[2].pixels.view()), [RED, GREEN, BLUE, WHITE], 3, "after the change");
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
