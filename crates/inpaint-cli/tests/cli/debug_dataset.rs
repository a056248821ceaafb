//! The fitted data, for the user to look at.

use std::io::{Cursor, Read};

use safetensors::SafeTensors;
use serde_json::Value;
use zip::ZipArchive;

use crate::sandbox::{Sandbox, assert_rejected, each, kinds, places};

#[test]
fn the_fitted_data_are_clips_masks_and_captions_that_can_be_used_again() {
    let sandbox = Sandbox::new();
    let args = ["train", "--bucket", "64x64x9", "--set", "rank=8", "--set", "debug_dataset=true"];
    let (code, answer) = sandbox.json(&args);
    assert_eq!(code, 0, "{answer}");
    let file = &answer["files"]["debug_dataset"];
    let bytes = sandbox.read("out/debug_dataset.zip");
    assert_eq!((&file["file_name"], &file["file_size"]), (&"debug_dataset.zip".into(), &bytes.len().into()));

    let mut zip = ZipArchive::new(Cursor::new(bytes)).unwrap();
    let mut content = |name: &str| {
        let mut bytes = Vec::new();
        zip.by_name(name).unwrap_or_else(|e| panic!("{name}: {e}")).read_to_end(&mut bytes).unwrap();
        bytes
    };
    let mut again = Vec::new();
    for (index, name) in each(&answer, "examples", "name").into_iter().enumerate() {
        let mut take = |what: &str| content(&format!("{index:04}-{name}/{what}"));
        check_manifest(&take("manifest.json"), &take("tokens.json"), &answer["examples"][index]);
        check_latents(&take("latents.safetensors"));
        assert_eq!(take("sheet.png")[..8], *b"\x89PNG\r\n\x1a\n");
        let cells = take("latent_mask.mp4");
        again.push((format!("{name}.mp4"), take("clip.mp4")));
        again.push((format!("{name}_mask.mp4"), take("mask.mp4")));
        again.push((format!("{name}-cells.mp4"), take("clip.mp4")));
        again.push((format!("{name}-cells_mask.mp4"), cells));
        if name != "box-portrait" {
            again.push((format!("{name}.txt"), take("caption.txt")));
        }
    }
    assert_eq!(zip.len(), 4 * 8 - 1 + 1, "one example has no caption, and there is the index");
    check_again(&sandbox, &again, &answer);
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

/// Every decision on an example, and how its prompt was read.
fn check_manifest(manifest: &[u8], tokens: &[u8], example: &Value) {
    let (manifest, tokens) = (json(manifest), json(tokens));
    assert_eq!(&manifest["example"], example);
    assert_eq!((&manifest["prompt"], &tokens["prompt"]), (&example["caption"], &example["caption"]));
    assert_eq!(manifest["plan"]["frames"], serde_json::json!([0, 1, 2, 3, 4, 5, 6, 7, 8]));
    assert_eq!(
        (&manifest["plan"]["source"], &manifest["plan"]["target"]),
        (&example["source_size"], &[64, 64].into())
    );
    assert_eq!(
        (&manifest["latent_grid"], &manifest["made_with"]["latent_rule"]),
        (&[2, 2, 2].into(), &"cover".into())
    );
    let ids = tokens["ids"].as_array().unwrap();
    assert_eq!(manifest["tokens"], ids.len());
    assert!(!ids.is_empty() && (ids.len() > 5) == example["captioned"].as_bool().unwrap(), "{tokens}");
    let warned: Vec<&str> =
        manifest["warnings"].as_array().unwrap().iter().map(|one| one["kind"].as_str().unwrap()).collect();
    for kind in example["warnings"].as_array().unwrap() {
        assert!(warned.contains(&kind.as_str().unwrap()), "{kind}: {warned:?}");
    }
}

/// What is trained on, as any reader of the format reads it.
fn check_latents(bytes: &[u8]) {
    let file = SafeTensors::deserialize(bytes).unwrap();
    let shape = |name: &str| file.tensor(name).unwrap().shape().to_vec();
    assert_eq!((shape("latents"), shape("keep")), (vec![128, 2, 2, 2], vec![2, 2, 2]));
    assert_eq!(shape("context").len(), 2);
}

const RUN: [&str; 7] = ["train", "--bucket", "64x64x9", "--set", "rank=8", "--set", "number_of_steps=100"];

/// Trains; gives the answer.
fn train(sandbox: &Sandbox, args: &[&str]) -> (i32, Value) {
    sandbox.json(&[&RUN, args].concat())
}

#[test]
fn an_archive_that_is_fed_back_gives_the_same_lora_byte_for_byte() {
    let sandbox = Sandbox::new();
    let settings = ["--set", "trigger_phrase=FOX", "--set", "mask_grow_pixels=2"];
    let (code, first) =
        train(&sandbox, &[&settings[..], &["--out", "first", "--set", "debug_dataset=true"]].concat());
    assert_eq!(code, 0, "{first}");
    let archive = "first/debug_dataset.zip";
    let (code, again) = train(&sandbox, &[&settings[..], &["--dataset", archive]].concat());
    assert_eq!(code, 0, "{again}");
    assert!(sandbox.read("first/lora.safetensors") == sandbox.read("out/lora.safetensors"), "other bytes");
    let without_warnings = |answer: &Value| {
        let mut examples = answer["examples"].clone();
        examples.as_array_mut().unwrap().iter_mut().for_each(|one| one["warnings"] = Value::Null);
        examples
    };
    assert_eq!(without_warnings(&first), without_warnings(&again));

    let (code, checked) = sandbox.json(&[&["check", archive, "--bucket", "64x64x9"], &settings[..]].concat());
    assert_eq!((code, each(&checked, "examples", "name").len()), (0, 4), "{checked}");
    let other = train(&sandbox, &["--dataset", archive, "--set", "latent_rule=half", "--out", "other"]);
    assert_rejected(&other);
    assert!(kinds(&other.1).iter().all(|kind| *kind == "latents-differ"), "{}", other.1);
    assert_eq!(places(&other.1), ["latent_rule", "mask_grow_pixels", "trigger_phrase"]);
    let debug = [&settings[..], &["--dataset", archive, "--set", "debug_dataset=true"]].concat();
    let found = train(&sandbox, &debug);
    assert_rejected(&found);
    assert_eq!(kinds(&found.1), ["contradiction"]);
    damaged(&sandbox, archive, &settings);
}

/// A byte of an example's latents is another one.
fn damaged(sandbox: &Sandbox, archive: &str, settings: &[&str]) {
    let mut zip = ZipArchive::new(Cursor::new(sandbox.read(archive))).unwrap();
    let mut files = Vec::new();
    for index in 0..zip.len() {
        let mut member = zip.by_index(index).unwrap();
        let (name, mut bytes) = (member.name().unwrap().into_owned(), Vec::new());
        member.read_to_end(&mut bytes).unwrap();
        if name.ends_with("latents.safetensors") {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        }
        files.push((name, bytes));
    }
    let files: Vec<(&str, Vec<u8>)> =
        files.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
    sandbox.archive_of("damaged.zip", &files);
    let found = train(sandbox, &[settings, &["--dataset", "damaged.zip"]].concat());
    assert_rejected(&found);
    assert_eq!(kinds(&found.1), ["unreadable-latents"]);
}

/// Makes a dataset of what was fitted: it fits as it is.
fn check_again(sandbox: &Sandbox, files: &[(String, Vec<u8>)], first: &serde_json::Value) {
    let files: Vec<(&str, Vec<u8>)> =
        files.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
    sandbox.archive_of("again.zip", &files);
    let (code, answer) = sandbox.json(&["check", "again.zip", "--bucket", "64x64x9"]);
    assert_eq!((code, each(&answer, "examples", "name").len()), (0, 8), "{answer}");
    for example in first["examples"].as_array().unwrap() {
        let same = |other: &&serde_json::Value| other["name"] == example["name"];
        let again = answer["examples"].as_array().unwrap().iter().find(same).unwrap();
        assert_eq!(
            (&again["source_frames"], &again["source_size"]),
            (&9.into(), &serde_json::json!([64, 64]))
        );
        assert_eq!(again["caption"], example["caption"]);
        assert_eq!(again["frame_rate"], example["frame_rate"]);
        let coverage = |example: &serde_json::Value| example["mask_coverage"].as_f64().unwrap();
        assert!((coverage(again) - coverage(example)).abs() < 0.02, "{again} {example}");
    }
}
