//! Requests at fault.

use std::fs;

use serde_json::Value;

use crate::sandbox::{Sandbox, assert_rejected, bad_inputs, each, kinds, places};

/// The answer to a check with settings.
fn check(settings: &[&str]) -> Value {
    let path = bad_inputs("two-good-pairs.zip");
    let mut args = vec!["check", path.to_str().unwrap()];
    settings.iter().for_each(|setting| args.extend(["--set", setting]));
    let found = Sandbox::new().json(&args);
    assert_rejected(&found);
    found.1
}

#[test]
fn an_unknown_field_is_refused_with_the_nearest_known_one() {
    let answer = check(&["number_of_step=100"]);
    assert_eq!((kinds(&answer), places(&answer)), (vec!["unknown-field"], vec!["number_of_step".into()]));
    assert_eq!(answer["detail"][0]["ctx"]["nearest"], "number_of_steps");
    assert!(answer["estimated_units"].is_null(), "nobody knows what was meant");
}

#[test]
fn all_faults_come_in_one_answer() {
    let answer = check(&["rank=7", "accumulation=0", "number_of_steps=99", "aspect_ratio=4:3", "colour=red"]);
    let found: Vec<_> = places(&answer).into_iter().zip(kinds(&answer)).collect();
    let wanted = [
        ("colour", "unknown-field"),
        ("rank", "not-a-choice"),
        ("number_of_steps", "out-of-range"),
        ("aspect_ratio", "not-a-choice"),
        ("accumulation", "out-of-range"),
    ];
    assert_eq!(found, wanted.map(|(place, kind)| (place.to_owned(), kind)));
    assert_eq!(answer["detail"][2]["input"], 99);
    assert_eq!(answer["detail"][2]["ctx"]["ge"], 100);
}

#[test]
fn a_request_without_a_dataset_is_refused() {
    let found = Sandbox::new().json(&["check"]);
    assert_rejected(&found);
    assert_eq!(
        (kinds(&found.1), places(&found.1)),
        (vec!["missing-field"], vec!["training_data_url".into()])
    );
}

#[test]
fn a_dataset_that_is_not_there_is_a_failed_download() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("folder.zip")).unwrap();
    for dataset in ["nowhere.zip", "file:///nowhere/clips.zip", "folder.zip"] {
        let found = sandbox.json(&["check", dataset]);
        assert_rejected(&found);
        assert_eq!(kinds(&found.1), ["download-failed"], "{dataset}");
        assert_eq!(places(&found.1), ["training_data_url"]);
    }
}

#[test]
fn a_rejected_training_leaves_the_results_of_an_earlier_one_where_they_are() {
    let sandbox = Sandbox::new();
    let bad = bad_inputs("mask-missing.zip");
    let args = ["train", "--dataset", bad.to_str().unwrap(), "--bucket", "32x32x9"];
    let found = sandbox.json(&args);
    assert_rejected(&found);
    assert_eq!(kinds(&found.1), ["missing-mask"]);
    assert_eq!(sandbox.entries(), Vec::<String>::new());
    fs::create_dir(sandbox.path("out")).unwrap();
    fs::write(sandbox.path("out/lora.safetensors"), "of an earlier run").unwrap();
    assert_rejected(&sandbox.json(&args));
    assert_eq!(sandbox.entries(), ["out"]);
    assert_eq!(sandbox.read("out/lora.safetensors"), b"of an earlier run");
}

#[test]
fn every_fault_of_the_data_comes_in_one_answer() {
    let sandbox = Sandbox::new();
    let mask = "inpaint-mini/bunny-wave_mask.png";
    let clip = fs::read(crate::sandbox::clips("bunny-too-short.mp4")).unwrap();
    let mask = fs::read(crate::sandbox::clips(mask)).unwrap();
    let rubbish = b"not what it seems".to_vec();
    sandbox.archive_of(
        "a.zip",
        &[
            ("bad-clip.mp4", rubbish.clone()),
            ("bad-clip_mask.png", mask.clone()),
            ("bad-mask.mp4", clip.clone()),
            ("bad-mask_mask.png", rubbish),
            ("good.mp4", clip),
            ("good_mask.png", mask),
        ],
    );
    let found = sandbox.json(&["check", "a.zip", "--bucket", "32x32x9"]);
    assert_rejected(&found);
    assert_eq!(kinds(&found.1), ["unreadable-clip", "unreadable-mask"]);
    assert_eq!(found.1["detail"][0]["ctx"]["name"], "bad-clip");
    assert_eq!(found.1["detail"][1]["ctx"]["name"], "bad-mask");
    assert_eq!(each(&found.1, "examples", "name"), ["good"], "what is right is still reported");
}
