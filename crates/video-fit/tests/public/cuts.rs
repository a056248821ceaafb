//! Scenes begin where one would say that they do.

use std::path::Path;

use ndarray::{Array3, ArrayView3, s};
use tempfile::tempdir;
use tensor_batch::{Blame, Bucket, FitPlan, FrameList, FrameRate, Size};
use video_fit::{Frames, Limits, VideoError, find_cuts, fit, probe, write_mp4};

use crate::{clip, first_frame};

const SCENES: [&str; 5] = [
    "inpaint-mini/bunny-wave.mp4",
    "inpaint-mini/bunny-square.mp4",
    "inpaint-mini/box-desk.mp4",
    "inpaint-mini/box-portrait.mp4",
    "tree-cinepak-15fps.avi",
];

/// No cuts.
const NONE: [u32; 0] = [];

fn cuts(path: &Path) -> Vec<u32> {
    find_cuts(path, &Limits::default()).unwrap()
}

/// The first 17 frames of a clip, 160x96.
fn scene(name: &str) -> Vec<Array3<u8>> {
    let (path, limits) = (clip(name), Limits::default());
    let bucket: Bucket = "160x96x17".parse().unwrap();
    let probe = probe(&path, &limits).unwrap();
    let list = FrameList::first(bucket.frames(), probe.frames()).unwrap();
    let plan = FitPlan::new(probe.size, bucket, list, probe.rate);
    let fitted = fit(Frames::open(&path, &limits).unwrap(), &plan).unwrap();
    fitted.pixels().outer_iter().map(|frame| frame.to_owned()).collect()
}

/// The cuts of a clip of these frames.
fn cuts_of<'a>(frames: impl IntoIterator<Item = ArrayView3<'a, u8>>) -> Vec<u32> {
    let mut frames = frames.into_iter().peekable();
    let (height, width, _) = frames.peek().unwrap().dim();
    let (folder, size) = (tempdir().unwrap(), Size { width: width as u32, height: height as u32 });
    let path = folder.path().join("clip.mp4");
    write_mp4(&path, size, FrameRate::DEFAULT, frames).unwrap();
    cuts(&path)
}

/// The cuts of 40 frames, made of one picture.
fn cuts_of_40(frame: impl Fn(usize) -> Array3<u8>) -> Vec<u32> {
    let frames: Vec<_> = (0..40).map(frame).collect();
    cuts_of(frames.iter().map(|frame| frame.view()))
}

fn scaled(picture: &Array3<u8>, by: f64) -> Array3<u8> {
    picture.mapv(|value| (f64::from(value) * by) as u8)
}

#[test]
fn a_clip_of_one_scene_has_no_cut() {
    for name in SCENES {
        assert_eq!(cuts(&clip(name)), NONE, "{name}");
    }
    for name in ["bunny-vp9.webm", "bunny-too-short.mp4", "inpaint-mini/bunny-square_mask.mp4"] {
        assert_eq!(cuts(&clip(name)), NONE, "{name}");
    }
}

#[test]
fn clips_that_are_joined_are_cut_where_they_meet() {
    let scenes = SCENES.map(scene);
    for a in 0..SCENES.len() {
        for b in (0..SCENES.len()).filter(|b| *b != a) {
            let frames = scenes[a].iter().chain(&scenes[b][..11]).map(|frame| frame.view());
            assert_eq!(cuts_of(frames), [17], "{} {}", SCENES[a], SCENES[b]);
        }
    }
    let all = scenes.iter().flatten().map(|frame| frame.view());
    assert_eq!(cuts_of(all), [17, 34, 51, 68]);
}

#[test]
fn a_cut_is_found_wherever_a_scene_fits_on_either_side() {
    let (wave, desk) = (scene(SCENES[0]), scene(SCENES[2]));
    let join = |a: usize, b: usize| cuts_of(wave[..a].iter().chain(&desk[..b]).map(|frame| frame.view()));
    assert_eq!(join(7, 12), NONE);
    assert_eq!(join(8, 12), [8]);
    assert_eq!(join(12, 8), [12]);
    assert_eq!(join(12, 7), NONE);
}

#[test]
fn colour_alone_makes_a_cut() {
    // Red and blue of the same luma.
    let picture = |colour: [u8; 3]| Array3::from_shape_fn([64, 96, 3], |(_, _, c)| colour[c]);
    assert_eq!(cuts_of_40(|i| picture(if i < 20 { [170, 0, 0] } else { [0, 20, 255] })), [20]);
}

#[test]
fn flashes_are_no_cuts() {
    let picture = first_frame(&clip("bunny-too-short.mp4"));
    for length in 1..=3 {
        for flash in [Array3::from_elem(picture.dim(), 255), scaled(&picture, 0.0)] {
            let frame = |i| if (20..20 + length).contains(&i) { flash.clone() } else { picture.clone() };
            assert_eq!(cuts_of_40(frame), NONE, "{length}");
        }
    }
}

#[test]
fn fades_and_dissolves_are_no_cuts() {
    let (a, b) = (scene(SCENES[0]).swap_remove(0), scene(SCENES[2]).swap_remove(0));
    for length in [6, 12, 24] {
        // 0 before frame 8, 1 after the last of the fade.
        let part = |i: usize| ((i as f64 - 7.0) / f64::from(length)).clamp(0.0, 1.0);
        assert_eq!(cuts_of_40(|i| scaled(&a, 1.0 - part(i))), NONE, "out, {length}");
        assert_eq!(cuts_of_40(|i| scaled(&a, part(i))), NONE, "in, {length}");
        assert_eq!(cuts_of_40(|i| scaled(&a, 1.0 - part(i)) + scaled(&b, part(i))), NONE, "over, {length}");
    }
}

#[test]
fn fast_motion_is_no_cut() {
    // 640 wide, seen through a window of 160.
    let picture = first_frame(&clip(SCENES[0]));
    let window = |x: usize| picture.slice(s![100..260, x..x + 160, ..]).to_owned();
    for step in [10, 40, 80, 160] {
        assert_eq!(cuts_of_40(|i| window((i.saturating_sub(10) * step).min(480))), NONE, "a pan by {step}");
        assert_eq!(cuts_of_40(|i| window((i % 2) * step)), NONE, "shaken by {step}");
    }
}

#[test]
fn a_clip_that_cannot_be_read_is_an_error() {
    let limits = Limits { max_frames: 29, ..Limits::default() };
    let error = find_cuts(&clip("bunny-too-short.mp4"), &limits).unwrap_err();
    assert_eq!(error.kind(), "unprobeable-clip");
    let error = find_cuts(Path::new("no/such/clip.mp4"), &limits).unwrap_err();
    assert!(matches!(error, VideoError::Io { .. }), "{error}");
}
