//! Checkpoints that cannot be used: the operator's fault, not the request's.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::sandbox::{Sandbox, assets};

/// Trains with `model` beside the results of an earlier run, which must stay; gives the error.
fn failure(model: &[u8]) -> String {
    let sandbox = Sandbox::new();
    fs::write(sandbox.path("wrong.safetensors"), model).unwrap();
    fs::create_dir(sandbox.path("out")).unwrap();
    fs::write(sandbox.path("out/lora.safetensors"), "of an earlier run").unwrap();
    let gemma = assets("tiny/gemma");
    let args = ["train", "--bucket", "32x32x9", "--model", "wrong.safetensors", "--text-encoder", &gemma];
    let (code, answer) = sandbox.json(&args);
    assert_eq!((code, &answer["outcome"]), (1, &"error".into()), "{answer}");
    assert_eq!((&answer["billable_units"], &answer["detail"]), (&0.into(), &json!([])), "{answer}");
    assert_eq!(sandbox.entries(), ["out", "wrong.safetensors"]);
    assert_eq!(sandbox.read("out/lora.safetensors"), b"of an earlier run");
    let call = sandbox.inpaint(&args);
    assert_eq!((call.code, call.stdout.as_str()), (Some(1), ""), "{call:?}");
    assert!(call.stderr.contains("wrong.safetensors"), "{}", call.stderr);
    answer["error"].as_str().unwrap().to_owned()
}

fn tiny() -> Vec<u8> {
    fs::read(Path::new(&assets("tiny/tiny-ltx-2.3.safetensors"))).unwrap()
}

#[test]
fn a_checkpoint_that_was_cut_off_is_named() {
    let whole = tiny();
    for length in [whole.len() - 1, whole.len() / 2, 1000, 0] {
        let error = failure(&whole[..length]);
        assert!(error.contains("wrong.safetensors"), "{length} bytes: {error}");
    }
}

#[test]
fn a_file_that_is_no_checkpoint_is_named() {
    let error = failure(b"version https://git-lfs.github.com/spec/v1\noid sha256:0123456789\n");
    assert!(error.contains("wrong.safetensors"), "{error}");
}

#[test]
fn a_checkpoint_without_the_model_in_it_is_named() {
    let error = failure(&fs::read(assets("tiny/gemma/model.safetensors")).unwrap());
    assert!(error.contains("wrong.safetensors"), "{error}");
}

#[test]
fn a_model_needs_its_text_encoder() {
    let (code, answer): (i32, Value) = Sandbox::new().json(&["train", "--model", "a.safetensors"]);
    assert_eq!((code, &answer["billable_units"]), (2, &0.into()));
    assert!(answer["detail"][0]["msg"].as_str().unwrap().contains("--text-encoder"), "{answer}");
}

#[test]
fn a_checkpoint_that_lacks_one_tensor_of_any_component_is_refused_before_anything_is_touched() {
    for key in
        ["transformer_blocks.2.ff.net.2.bias", "vae.encoder.conv_out.conv.bias", "video_aggregate_embed.bias"]
    {
        let mut model = tiny();
        let at = model.windows(key.len()).position(|window| window == key.as_bytes()).unwrap();
        model[at + key.len() - 1] = b'z';
        let error = failure(&model);
        assert!(error.contains(&format!("{key} is missing")), "{error}");
    }
}

#[test]
fn a_text_encoder_that_is_not_there_is_refused_before_anything_is_touched() {
    let sandbox = Sandbox::new();
    let (code, answer) = sandbox.json(&["train", "--bucket", "32x32x9", "--text-encoder", "nowhere"]);
    assert_eq!((code, &answer["outcome"], &answer["billable_units"]), (1, &"error".into(), &0.into()));
    assert!(answer["error"].as_str().unwrap().contains("nowhere"), "{answer}");
    assert!(sandbox.entries().is_empty());
}
