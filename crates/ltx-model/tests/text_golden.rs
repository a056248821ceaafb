//! The text path against the reference; the whole table is `cargo xtask golden`.
#![allow(clippy::unwrap_used, reason = "helpers of tests; what fails here fails the test")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use burn::tensor::{Device, Tensor, TensorData};
use ltx_model::{CONTEXT_TOKENS, Checkpoint, Gemma, ModelError, TextEncoder, Tokenizer, Tokens};
use safetensors::{SafeTensors, tensor::TensorView};
use serde_json::Value;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/text").join(name)
}

fn encoder() -> TextEncoder {
    let checkpoint = Checkpoint::open(&golden("tiny-text-projection.safetensors")).unwrap();
    TextEncoder::load(&golden("tiny-gemma"), &checkpoint, &Device::flex()).unwrap()
}

fn tokens(prompt: &str, length: usize) -> Tokens {
    let prompts: Value = serde_json::from_slice(&fs::read(golden("tokens.json")).unwrap()).unwrap();
    let text = prompts[prompt]["prompt"].as_str().unwrap();
    Tokenizer::open(&golden("tiny-gemma")).unwrap().encode(text, length).unwrap()
}

/// The largest difference, relative to the largest golden value.
fn error(found: Tensor<2>, bytes: &[u8], name: &str) -> f32 {
    let file = SafeTensors::deserialize(bytes).unwrap();
    let view = file.tensor(name).unwrap();
    let values: Vec<f32> = view.data().as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    let wanted = Tensor::<2>::from_data(TensorData::new(values, found.dims()), &found.device());
    let scale = wanted.clone().abs().max().into_scalar::<f32>();
    (found - wanted).abs().max().into_scalar::<f32>() / scale
}

#[test]
fn hidden_states_features_and_context_equal_the_reference() {
    let encoder = encoder();
    let bytes = fs::read(golden("text-unicode-128.safetensors")).unwrap();
    let states = encoder.gemma().hidden_states(&[tokens("unicode", 128)]).unwrap().remove(0);
    assert!(error(Tensor::cat(states.clone(), 0), &bytes, "hidden_states_valid") < 1e-5);
    let features = encoder.features().forward(states);
    assert!(error(encoder.features().left_padded(features.clone(), 128), &bytes, "video_features") < 1e-5);
    assert!(error(encoder.connector().forward(features, 128), &bytes, "context") < 1e-5);
}

#[test]
fn captions_do_not_depend_on_those_beside_them() {
    let encoder = encoder();
    let prompts: Vec<String> = (0..9).map(|i| "a snowy field ".repeat(i)).collect();
    let mut done = Vec::new();
    let together = encoder.encode(&prompts, |count| done.push(count)).unwrap();
    assert_eq!(done, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(together[8].dims(), [CONTEXT_TOKENS, 128]);
    let alone = encoder.encode(&prompts[8..], |_| {}).unwrap().remove(0);
    assert_eq!(together[8].to_data(), alone.to_data());
    assert_ne!(together[7].to_data(), alone.to_data());
}

/// A copy of the tiny Gemma, whose weight file goes through `change` first.
fn changed_gemma(change: impl Fn(&Path, Vec<u8>)) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for name in ["config.json", "tokenizer.json"] {
        fs::copy(golden("tiny-gemma").join(name), dir.path().join(name)).unwrap();
    }
    change(dir.path(), fs::read(golden("tiny-gemma").join("model.safetensors")).unwrap());
    dir
}

/// The tensors of `bytes`, renamed by `name`; those that it drops are left out.
fn resave(bytes: &[u8], path: &Path, name: impl Fn(&str) -> Option<String>) {
    let file = SafeTensors::deserialize(bytes).unwrap();
    let tensors = file.iter().filter_map(|(key, view)| Some((name(key)?, view)));
    safetensors::serialize_to_file(tensors, None, path).unwrap();
}

#[test]
fn shards_and_other_prefixes_give_the_same_states() {
    let tokens = [tokens("short", 128)];
    let last = |folder: &Path| {
        let gemma = Gemma::load(folder, &Device::flex()).unwrap();
        gemma.hidden_states(&tokens).unwrap().remove(0).pop().unwrap().into_data()
    };
    let wanted = last(&golden("tiny-gemma"));
    for prefix in ["model.language_model.", "model."] {
        let dir = changed_gemma(|dir, bytes| {
            for (shard, projections) in [("a.safetensors", true), ("b.safetensors", false)] {
                resave(&bytes, &dir.join(shard), |key| {
                    let rest = key.strip_prefix("language_model.model.")?;
                    (key.contains("proj") == projections).then(|| format!("{prefix}{rest}"))
                });
            }
        });
        assert_eq!(last(dir.path()), wanted, "{prefix}");
    }
}

#[test]
fn missing_weights_and_layers_too_many_are_listed_together() {
    let dir = changed_gemma(|dir, bytes| {
        resave(&bytes, &dir.join("model.safetensors"), |key| {
            let key = key.replace("layers.5.", "layers.6.");
            (!key.contains("embed_tokens")).then_some(key)
        });
    });
    let error = Gemma::load(dir.path(), &Device::flex()).unwrap_err();
    let ModelError::Weights { faults, .. } = error else { panic!("{error}") };
    assert_eq!((faults.missing.len(), faults.leftover.len()), (14, 13));
    assert_eq!(faults.missing[0], "language_model.model.embed_tokens.weight");
}

#[test]
fn a_token_beyond_the_embedding_table_is_an_error() {
    let gemma = Gemma::load(&golden("tiny-gemma"), &Device::flex()).unwrap();
    let states = |id| gemma.hidden_states(&[Tokens::new(vec![2, id]).unwrap()]);
    assert!(states(1279).is_ok());
    assert!(matches!(states(1280), Err(ModelError::Malformed { .. })));
}

#[test]
fn registers_that_do_not_divide_the_context_are_refused() {
    let bytes = fs::read(golden("tiny-text-projection.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let name = "model.diffusion_model.video_embeddings_connector.learnable_registers";
    let registers = file.tensor(name).unwrap();
    let cut = TensorView::new(registers.dtype(), vec![100, 128], &registers.data()[..100 * 128 * 2]).unwrap();
    let others = file.iter().filter(|(key, _)| *key != name);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("changed.safetensors");
    let tensors = others.chain([(name, cut)]);
    safetensors::serialize_to_file(tensors, header.metadata().clone(), &path).unwrap();
    let checkpoint = Checkpoint::open(&path).unwrap();
    let error = TextEncoder::load(&golden("tiny-gemma"), &checkpoint, &Device::flex()).unwrap_err();
    let ModelError::Unsupported { settings, .. } = error else { panic!("{error}") };
    assert_eq!((settings[0].found.as_str(), settings[0].wanted.as_str()), ("100", "a divisor of 1024"));
}

#[test]
fn a_connector_block_more_than_configured_is_refused() {
    let bytes = fs::read(golden("tiny-text-projection.safetensors")).unwrap();
    let (find, replace) = ("\\\"connector_num_layers\\\": 2", "\\\"connector_num_layers\\\": 1");
    let at =
        bytes.windows(find.len()).position(|w| w == find.as_bytes()).expect("the setting is in the header");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("changed.safetensors");
    fs::write(&path, [&bytes[..at], replace.as_bytes(), &bytes[at + find.len()..]].concat()).unwrap();
    let checkpoint = Checkpoint::open(&path).unwrap();
    let error = TextEncoder::load(&golden("tiny-gemma"), &checkpoint, &Device::flex()).unwrap_err();
    let ModelError::Weights { faults, .. } = error else { panic!("{error}") };
    assert_eq!(faults.leftover.len(), 16);
    assert!(
        faults.leftover.iter().all(|key| key.contains("video_embeddings_connector.transformer_1d_blocks.1."))
    );
}
