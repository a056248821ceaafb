//! Samples for previews are checked before anything is trained.

use std::fs;

use serde_json::{Value, json};

use crate::sandbox::{Sandbox, assert_rejected, assets, clips, each, kinds, places};

fn sample(video: &str, mask: &str) -> Value {
    let path = |name: &str| clips(name).to_str().unwrap().to_owned();
    json!({"prompt": "a fox", "video_url": path(video), "mask_url": path(mask)})
}

const MASK: &str = "inpaint-mini/bunny-wave_mask.png";

/// The answer to a training on the demo in 41 frames, which every clip of it has.
fn train(sandbox: &Sandbox, samples: &[Value]) -> (i32, Value) {
    let samples = format!("validation={}", Value::from(samples));
    let demo = assets("demo/demo.zip");
    sandbox.json(&["train", "--dataset", &demo, "--bucket", "32x32x41", "--set", &samples])
}

#[test]
fn bad_samples_are_rejected_all_together_before_training() {
    let sandbox = Sandbox::new();
    let samples = [sample("nowhere.mp4", "nowhere.png"), sample("bunny-too-short.mp4", MASK)];
    let found = train(&sandbox, &samples);
    assert_rejected(&found);
    assert_eq!(kinds(&found.1), ["download-failed", "download-failed", "clip-too-short"]);
    assert_eq!(
        places(&found.1),
        ["validation.0.video_url", "validation.0.mask_url", "validation.1.video_url"]
    );
    assert_eq!(sandbox.entries(), Vec::<String>::new());
}

#[test]
fn a_bad_mask_is_found_at_the_mask_and_earlier_results_stay() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("out")).unwrap();
    fs::write(sandbox.path("out/lora.safetensors"), "of an earlier run").unwrap();
    let wrong = [
        sample("inpaint-mini/bunny-wave.mp4", "ATTRIBUTION.md"),
        sample("inpaint-mini/bunny-wave.mp4", "inpaint-mini/bunny-wave.txt"),
    ];
    let found = train(&sandbox, &wrong);
    assert_rejected(&found);
    assert_eq!(kinds(&found.1), ["unreadable-mask", "unreadable-mask"]);
    assert_eq!(places(&found.1), ["validation.0.mask_url", "validation.1.mask_url"]);
    assert_eq!(sandbox.entries(), ["out"]);
    assert_eq!(sandbox.read("out/lora.safetensors"), b"of an earlier run");
}

#[test]
fn a_check_of_the_data_checks_the_samples_too() {
    let sandbox = Sandbox::new();
    let check = |sample: Value| {
        let validation = format!("validation={}", json!([sample]));
        sandbox.json(&["check", &assets("demo/demo.zip"), "--bucket", "32x32x9", "--set", &validation])
    };
    let (code, answer) = check(sample("bunny-too-short.mp4", MASK));
    assert_eq!(code, 0, "{answer}");
    assert_eq!(each(&answer, "examples", "name").len(), 4, "samples are no examples");
    let found = check(sample("inpaint-mini/bunny-wave.txt", MASK));
    assert_rejected(&found);
    assert_eq!(kinds(&found.1), ["unreadable-clip"]);
}
