//! The public face, on real clips, golden data and files that are not what they say.
#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod broken;
mod clips;
mod colours;
mod cuts;
mod golden;
mod sound;
mod written;

use std::path::{Path, PathBuf};

use ndarray::{Array3, ArrayView3, s};
use video_fit::{Frames, Limits};

/// A file of the sample clips.
fn clip(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/clips").join(name)
}

/// The first frame of a clip.
fn first_frame(path: &Path) -> Array3<u8> {
    Frames::open(path, &Limits::default()).unwrap().next().unwrap().unwrap().pixels
}

/// The colours in the middle of the four quarters, row by row.
fn quarters(frame: ArrayView3<u8>) -> [[u8; 3]; 4] {
    let (height, width, _) = frame.dim();
    [(1, 1), (1, 3), (3, 1), (3, 3)].map(|(y, x)| {
        let pixel = frame.slice(s![height * y / 4, width * x / 4, ..]);
        [pixel[0], pixel[1], pixel[2]]
    })
}

#[track_caller]
fn assert_near(found: [[u8; 3]; 4], wanted: [[u8; 3]; 4], levels: u8, what: &str) {
    let off = found.as_flattened().iter().zip(wanted.as_flattened()).map(|(a, b)| a.abs_diff(*b)).max();
    assert!(off <= Some(levels), "{what}: found {found:?}, wanted {wanted:?}");
}
