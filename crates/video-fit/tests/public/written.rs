//! What is written reads back.

use std::fs;

use ndarray::{Array3, s};
use tempfile::tempdir;
use tensor_batch::{FrameRate, Size};
use video_fit::{Frames, Limits, VideoError, probe, write_mp4};

use crate::{assert_near, first_frame, quarters};

const SIZE: Size = Size { width: 96, height: 64 };

fn quartered(colours: [[u8; 3]; 4]) -> Array3<u8> {
    Array3::from_shape_fn([64, 96, 3], |(y, x, c)| colours[y / 32 * 2 + x / 48][c])
}

fn rate(fps: f64) -> FrameRate {
    FrameRate::new(fps).unwrap()
}

#[test]
fn saturated_colours_come_back() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("colours.mp4");
    for colours in [
        [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]],
        [[0, 0, 0], [255, 255, 0], [0, 255, 255], [255, 0, 255]],
        [[192, 64, 32], [16, 128, 240], [128, 128, 128], [250, 200, 5]],
    ] {
        write_mp4(&path, SIZE, rate(24.0), vec![quartered(colours); 3]).unwrap();
        assert_near(quarters(first_frame(&path).view()), colours, 3, "after writing");
    }
}

#[test]
fn rates_are_exact_and_times_even() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("rate.mp4");
    let ntsc = |base: f64| base * 1000.0 / 1001.0;
    for (asked, wanted) in [
        (24.0, 24.0),
        (25.0, 25.0),
        (30.0, 30.0),
        (23.976, ntsc(24.0)),
        (ntsc(30.0), ntsc(30.0)),
        (59.94, ntsc(60.0)),
        (12.5, 12.5),
        (1e6 / 66667.0, 1e6 / 66667.0),
    ] {
        let frames = (0..33u8).map(|i| Array3::from_elem([64, 96, 3], i * 7));
        write_mp4(&path, SIZE, rate(asked), frames).unwrap();
        let clip = probe(&path, &Limits::default()).unwrap();
        assert_eq!((clip.rate.fps(), clip.frames(), clip.size), (wanted, 33, SIZE), "{asked}");
        assert!(!clip.variable_rate, "{asked}");
        assert_eq!(clip.times[0], 0.0, "{asked}");
        assert!((clip.times[32] - 32.0 / wanted).abs() < 1e-3, "{asked}");
    }
}

#[test]
fn every_frame_is_written_in_order() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("order.mp4");
    let frames: Vec<_> = (0..20u8).map(|i| Array3::from_elem([64, 96, 3], i * 12)).collect();
    write_mp4(&path, SIZE, rate(8.0), frames.iter().map(|frame| frame.slice(s![.., .., ..]))).unwrap();
    let shown =
        Frames::open(&path, &Limits::default()).unwrap().map(|frame| frame.unwrap().pixels[[32, 48, 0]]);
    for (found, wanted) in shown.zip((0..20u8).map(|i| i * 12)) {
        assert!(found.abs_diff(wanted) <= 2, "found {found}, wanted {wanted}");
    }
    assert_eq!(probe(&path, &Limits::default()).unwrap().frames(), 20);
}

#[test]
fn odd_sizes_and_odd_frames_are_refused() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("odd.mp4");
    for (width, height) in [(95, 64), (96, 63), (0, 64)] {
        let found = Size { width, height };
        let error = write_mp4(&path, found, rate(24.0), [quartered([[0; 3]; 4])]).unwrap_err();
        assert!(matches!(error, VideoError::OddSize { found: odd } if odd == found), "{error}");
    }
    let error = write_mp4(&path, SIZE, rate(24.0), [Array3::<u8>::zeros([64, 64, 3])]).unwrap_err();
    assert!(matches!(error, VideoError::Shape(_)), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "a file was left behind");
}

#[test]
fn a_file_that_cannot_be_written_is_an_error() {
    let folder = tempdir().unwrap();
    let error =
        write_mp4(&folder.path().join("no/such/folder.mp4"), SIZE, rate(24.0), [quartered([[9; 3]; 4])]);
    assert!(matches!(error, Err(VideoError::Ffmpeg { .. })), "{error:?}");
}

/// The places of boxes and marks in a file, by the four letters of each.
fn places(bytes: &[u8], name: &[u8; 4]) -> Vec<usize> {
    bytes.windows(4).enumerate().filter(|(_, four)| four == name).map(|(place, _)| place).collect()
}

#[test]
fn a_file_plays_while_it_loads_and_says_what_its_colours_mean() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("tagged.mp4");
    write_mp4(&path, SIZE, rate(24.0), vec![quartered([[200, 40, 30]; 4]); 9]).unwrap();
    let bytes = fs::read(&path).unwrap();
    let one = |name| match places(&bytes, name)[..] {
        [place] => place,
        ref places => panic!("{} of {name:?}", places.len()),
    };
    assert!(one(b"moov") < one(b"mdat"), "the index comes first");
    assert_eq!(&bytes[4..8], b"ftyp");
    // Primaries, transfer and matrix of BT.709, and limited range.
    let colr = one(b"colr") + 4;
    assert_eq!(bytes[colr..colr + 11], *b"nclx\0\x01\0\x01\0\x01\0");
    // High profile at most, which has 4:2:0 and 8 bits alone.
    assert!(bytes[one(b"avcC") + 5] <= 100, "profile {}", bytes[one(b"avcC") + 5]);
}

/// The error of a colour that goes through a file, measured over a grid of 216 colours in flat patches.
#[test]
fn colours_of_the_whole_cube_survive_the_round_trip() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("cube.mp4");
    let level = |i: usize| (i * 51) as u8;
    // 36 x 6 patches of 16x16 pixels.
    let colour = |y: usize, x: usize| {
        let patch = x / 16;
        [level(patch / 6), level(patch % 6), level(y / 16)]
    };
    let picture = Array3::from_shape_fn([96, 576, 3], |(y, x, c)| colour(y, x)[c]);
    let size = Size { width: 576, height: 96 };
    write_mp4(&path, size, rate(24.0), vec![picture; 5]).unwrap();
    let (mut sum, mut worst, mut count) = (0u64, 0u8, 0u64);
    for frame in Frames::open(&path, &Limits::default()).unwrap() {
        let pixels = frame.unwrap().pixels;
        for (y, x) in (0..6).flat_map(|row| (0..36).map(move |column| (16 * row + 8, 16 * column + 8))) {
            for c in 0..3 {
                let off = pixels[[y, x, c]].abs_diff(colour(y, x)[c]);
                (sum, worst, count) = (sum + u64::from(off), worst.max(off), count + 1);
            }
        }
    }
    let mean = sum as f64 / count as f64;
    // x264 at its quality of 18 and 8-bit YCbCr cost 5 at most and 1.1 on average. Read by the matrix of BT.601 the same
    // file is off by tens.
    assert!(worst <= 6 && mean < 1.5, "worst {worst}, mean {mean:.2} of {count}");
}
