//! The official rule against values made by the official trainer.

use std::{fs, path::PathBuf};

use mask_norm::{ImageLimits, Reference, Scaling};
use ndarray::{Array2, Array3, Axis};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde_json::Value;
use tensor_batch::LatentGrid;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/preprocess")
}

/// Every case whose name begins with `kind`.
fn cases(kind: &str) -> Vec<(String, Value)> {
    let index: Value = serde_json::from_slice(&fs::read(folder().join("index.json")).unwrap()).unwrap();
    let cases = index["cases"].as_object().unwrap().iter();
    cases
        .filter(|(name, _)| name.starts_with(kind))
        .map(|(name, case)| (name.clone(), case.clone()))
        .collect()
}

fn rule(case: &Value) -> Reference {
    let [frames, height, width] = [0, 1, 2].map(|i| case["latent_fhw"][i].as_u64().unwrap() as usize);
    Reference::new(LatentGrid { frames, height, width })
}

fn floats(tensor: &TensorView<'_>) -> Vec<f32> {
    assert_eq!(tensor.dtype(), Dtype::F32);
    tensor.data().chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
}

fn assert_cells(name: &str, cells: &Array3<bool>, wanted: &TensorView<'_>) {
    let shape = &wanted.shape()[wanted.shape().len() - 3..];
    assert_eq!(cells.shape(), shape, "{name}");
    let cells: Vec<f32> = cells.iter().map(|cell| f32::from(u8::from(*cell))).collect();
    assert_eq!(cells, floats(wanted), "{name}");
}

#[test]
fn mask_videos_are_as_the_official_trainer_makes_them() {
    let cases = cases("mask-video-");
    assert_eq!(cases.len(), 7);
    for (name, case) in cases {
        let file = fs::read(folder().join(&name)).unwrap();
        let tensors = SafeTensors::deserialize(&file).unwrap();
        let frames = tensors.tensor("mask_frames_u8").unwrap();
        let [count, height, width] = frames.shape()[..] else { panic!("{name}") };
        let rule = rule(&case);
        let stretched = (0..count).map(|i| {
            let grey = &frames.data()[i * height * width..];
            let frame = Array3::from_shape_fn((height, width, 3), |(y, x, _)| grey[y * width + x]);
            rule.stretch(&Reference::frame_grey(frame.view()), Scaling::Nearest)
        });
        let cells = rule.cells(stretched);
        for wanted in ["latent_mask", "validation_latent_mask"] {
            assert_cells(&name, &cells, &tensors.tensor(wanted).unwrap());
        }
    }
}

#[test]
fn mask_images_are_as_the_official_trainer_makes_them() {
    let cases = cases("mask-image-");
    assert_eq!(cases.len(), 4);
    for (name, case) in cases {
        let file = fs::read(folder().join(&name)).unwrap();
        let tensors = SafeTensors::deserialize(&file).unwrap();
        let png = fs::read(folder().join(case["file"].as_str().unwrap())).unwrap();
        let grey = Reference::image_grey(&png, &ImageLimits::default()).unwrap();
        let rule = rule(&case);
        let held = |scaling| std::iter::repeat_n(rule.stretch(&grey, scaling), rule.frames());
        assert_close(
            &name,
            &rule.stretch(&grey, Scaling::Bilinear),
            &tensors.tensor("resized_grey").unwrap(),
        );
        assert_cells(&name, &rule.cells(held(Scaling::Bilinear)), &tensors.tensor("latent_mask").unwrap());
        let validation = tensors.tensor("validation_latent_mask").unwrap();
        assert_cells(&name, &rule.cells(held(Scaling::Nearest)), &validation);
    }
}

fn assert_close(name: &str, grey: &Array2<f32>, wanted: &TensorView<'_>) {
    assert_eq!(grey.shape(), wanted.shape(), "{name}");
    assert_eq!(grey.len_of(Axis(0)) % 32, 0);
    let furthest = grey.iter().zip(floats(wanted)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(furthest < 2e-6, "{name}: {furthest}");
}
