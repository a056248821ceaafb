//! The transformer against one reference forward pass; the whole table is `cargo xtask golden`.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a helper of a test fails by panicking")]

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use ltx_model::{
    BasePrecision, Checkpoint, ModelError, Positions, Rope, TokenTimesteps, Transformer, TransformerInput,
};
use safetensors::SafeTensors;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/transformer").join(name)
}

fn floats(file: &SafeTensors<'_>, name: &str) -> (Vec<f32>, Vec<usize>) {
    let view = file.tensor(name).unwrap();
    let values = view.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    (values, view.shape().to_vec())
}

#[test]
fn the_forward_pass_equals_the_reference() {
    let device = Device::flex();
    let checkpoint = Checkpoint::open(&golden("tiny-transformer.safetensors")).unwrap();
    let model = Transformer::load(&checkpoint, &device, BasePrecision::Float32).unwrap();
    let bytes = std::fs::read(golden("forward_b2.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let tensor = |name: &str| {
        let (values, shape) = floats(&file, name);
        TensorData::new(values, shape)
    };
    let (timesteps, shape) = floats(&file, "timesteps");
    let (positions, _) = floats(&file, "positions");
    let tokens = shape[1];
    let axis = |a: usize| positions[2 * a * tokens..2 * (a + 1) * tokens].as_chunks().0.to_vec();
    let positions = Positions { bounds: [axis(0), axis(1), axis(2)] };
    let rope = Rope::new(&positions, model.config(), &device);
    let (sigma, _) = floats(&file, "sigma");
    let timesteps = TokenTimesteps::new(shape[0], &timesteps);
    let input = TransformerInput {
        latents: Tensor::from_data(tensor("latent"), &device),
        timesteps: &timesteps,
        sigma: &sigma,
        context: Tensor::from_data(tensor("context"), &device),
        context_mask: Some(Tensor::from_data(tensor("context_mask"), &device)),
        rope: &rope,
    };
    let velocity = model.forward(&input, None, &[]);
    let wanted = Tensor::<3>::from_data(tensor("velocity"), &device);
    let error = (velocity - wanted).abs().max().into_scalar::<f32>();
    assert!(error < 2e-5, "largest error {error}");
}

/// Rewrites a copy of the tiny checkpoint with one header text replaced by another of the same length.
fn patched(find: &str, replace: &str) -> (tempfile::TempDir, PathBuf) {
    assert_eq!(find.len(), replace.len());
    let mut bytes = std::fs::read(golden("tiny-transformer.safetensors")).unwrap();
    let at = bytes.windows(find.len()).position(|w| w == find.as_bytes()).expect("the text is in the header");
    bytes[at..at + find.len()].copy_from_slice(replace.as_bytes());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("patched.safetensors");
    std::fs::write(&path, bytes).unwrap();
    (dir, path)
}

/// Why the checkpoint at `path` is not loaded.
fn refused(path: &Path) -> ModelError {
    let checkpoint = Checkpoint::open(path).unwrap();
    Transformer::load(&checkpoint, &Device::flex(), BasePrecision::Float32).unwrap_err()
}

#[test]
fn every_missing_key_is_listed() {
    let (_dir, path) =
        patched("transformer_blocks.2.attn1.to_q.bias", "transformer_blocks.2.attn9.to_q.bias");
    let error = refused(&path);
    let ModelError::Weights { faults, .. } = error else { panic!("{error}") };
    assert_eq!(faults.missing, ["model.diffusion_model.transformer_blocks.2.attn1.to_q.bias"]);
    assert!(faults.leftover.is_empty());
}

#[test]
fn a_block_more_than_configured_is_refused() {
    let (_dir, path) = patched(r#"num_layers\": 4"#, r#"num_layers\": 3"#);
    let error = refused(&path);
    let ModelError::Weights { faults, .. } = error else { panic!("{error}") };
    assert_eq!(faults.leftover.len(), 30);
    assert!(faults.leftover.iter().all(|key| key.contains("transformer_blocks.3.")));
}

#[test]
fn a_shape_that_contradicts_the_configuration_is_named() {
    let (_dir, path) = patched(r#"\"num_attention_heads\": 4"#, r#"\"num_attention_heads\": 2"#);
    let error = refused(&path);
    let ModelError::Weights { faults, .. } = error else { panic!("{error}") };
    assert!(faults.wrong_shape.iter().any(|(key, found, wanted)| {
        key.ends_with("patchify_proj.weight") && found == &[128, 128] && wanted == &[64, 128]
    }));
}

#[test]
fn a_file_that_shrinks_after_it_was_opened_is_an_error() {
    let (_dir, path) = patched("model_version", "model_version");
    let checkpoint = Checkpoint::open(&path).unwrap();
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_len(file.metadata().unwrap().len() / 2).unwrap();
    let error = Transformer::load(&checkpoint, &Device::flex(), BasePrecision::Bf16).unwrap_err();
    let ModelError::Io { path: named, .. } = &error else { panic!("{error}") };
    assert_eq!(named, &path);
}
