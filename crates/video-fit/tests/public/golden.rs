//! The reference's own numbers.

use std::{fs, path::PathBuf};

use ndarray::{Array3, ArrayView3, ArrayView4, Axis, s};
use safetensors::SafeTensors;
use tensor_batch::{Bucket, FitPlan, FrameCount, FrameList, Geometry, Size};
use video_fit::{Frames, Limits, fit, probe, resize_crop};

use crate::clip;

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/preprocess").join(name)
}

fn bytes(tensors: &SafeTensors, name: &str) -> (Vec<usize>, Vec<u8>) {
    let tensor = tensors.tensor(name).unwrap();
    (tensor.shape().to_vec(), tensor.data().to_vec())
}

fn floats(tensors: &SafeTensors, name: &str) -> (Vec<usize>, Vec<f32>) {
    let (shape, data) = bytes(tensors, name);
    (shape, data.as_chunks().0.iter().map(|value| f32::from_le_bytes(*value)).collect())
}

#[test]
fn resizing_is_the_references() {
    for name in [
        "big-down-120x214-to-32x32",
        "odd-53x97-to-32x32",
        "round-45x77-to-32x64",
        "same-32x64",
        "tall-70x41-to-32x64",
        "up-20x30-to-64x64",
        "wide-36x64-to-32x32",
    ] {
        let file = fs::read(golden(&format!("resize-{name}.safetensors"))).unwrap();
        let tensors = SafeTensors::deserialize(&file).unwrap();
        let (shape, frames) = bytes(&tensors, "frames_u8");
        let frames = ArrayView4::from_shape([shape[0], shape[1], shape[2], 3], &frames).unwrap();
        let (to, wanted) = floats(&tensors, "resized_cropped_unclamped");
        let wanted = ArrayView4::from_shape([to[0], 3, to[2], to[3]], &wanted).unwrap();
        let size = |height: usize, width: usize| Size { width: width as u32, height: height as u32 };
        let geometry = Geometry::fill(size(shape[1], shape[2]), size(to[2], to[3]));
        for (frame, wanted) in frames.outer_iter().zip(wanted.outer_iter()) {
            let found = resize_crop(frame, &geometry).unwrap();
            let off = (&found - &wanted.permuted_axes([1, 2, 0])).mapv(f32::abs);
            let off = off.iter().copied().fold(0.0, f32::max);
            assert!(off <= 2e-5, "{name}: {off}");
        }
    }
}

#[test]
fn a_real_clip_is_decoded_and_fitted_as_by_the_reference() {
    let file = fs::read(golden("decode-real-clip.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&file).unwrap();
    let (path, limits) = (clip("inpaint-mini/box-desk.mp4"), Limits::default());
    let frames: Vec<Array3<u8>> =
        Frames::open(&path, &limits).unwrap().take(9).map(|frame| frame.unwrap().pixels).collect();
    for (name, index, step) in [("frame0_u8_half", 0, 2), ("frame8_u8_quarter", 8, 4)] {
        let (shape, wanted) = bytes(&tensors, name);
        let wanted = ArrayView3::from_shape([shape[0], shape[1], 3], &wanted).unwrap();
        let found = frames[index].slice(s![..;step, ..;step, ..]);
        let off = found.iter().zip(&wanted).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        assert!(off <= 2, "{name}: {off}");
    }

    let bucket = Bucket::new(64, 32, FrameCount::MIN).unwrap();
    let clip = probe(&path, &limits).unwrap();
    let list = FrameList::first(bucket.frames(), clip.frames()).unwrap();
    let plan = FitPlan::new(clip.size, bucket, list, clip.rate);
    let fitted = fit(Frames::open(&path, &limits).unwrap(), &plan).unwrap();
    let (_, wanted) = floats(&tensors, "pixels");
    let wanted = ArrayView4::from_shape([3, 9, 32, 64], &wanted).unwrap();
    for (index, frame) in frames.iter().enumerate() {
        let wanted = wanted.index_axis(Axis(1), index).permuted_axes([1, 2, 0]).to_owned();
        let float =
            resize_crop(frame.view(), &plan.geometry).unwrap().mapv(|x| x.clamp(0.0, 1.0) * 2.0 - 1.0);
        let off = (&float - &wanted).mapv(f32::abs).into_iter().fold(0.0, f32::max);
        assert!(off <= 0.02, "frame {index}: {off}");
        let byte = fitted.pixels().index_axis(Axis(0), index).mapv(|x| f32::from(x) / 127.5 - 1.0);
        let off = (&byte - &float).mapv(f32::abs).into_iter().fold(0.0, f32::max);
        assert!(off <= 0.5 / 127.5 + 1e-5, "frame {index} in 8 bits: {off}");
    }
    assert_eq!(fitted.rate().fps(), 24.0);
}

#[test]
fn frames_and_rates_are_what_decodes() {
    let file = fs::read_to_string(golden("frame-counts.json")).unwrap();
    let counts: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&file).unwrap();
    assert_eq!(counts.len(), 9);
    for (name, wanted) in counts {
        let clip = probe(&clip(name.strip_prefix("clips/").unwrap()), &Limits::default()).unwrap();
        assert_eq!(u64::from(clip.frames()), wanted["frames_decoded"], "{name}");
        assert!((clip.rate.fps() - wanted["fps"].as_f64().unwrap()).abs() < 1e-9, "{name}");
        // The one whose header counts the frames that it leaves out.
        assert_eq!(clip.variable_rate, name.contains("cinepak"), "{name}");
    }
}
