//! Frame counts: snapped, too short, spread.

use serde_json::{Value, json};

use crate::sandbox::{Sandbox, assert_rejected, assets, clips, each, kinds};

/// One clip of 61 frames at 25 frames per second.
fn long(sandbox: &Sandbox) {
    sandbox.archive("a.zip", &[("bunny.webm", "bunny-vp9.webm"), ("bunny_mask.png", MASK)]);
}

/// One clip of 30 frames at 25 frames per second.
fn short(sandbox: &Sandbox) {
    sandbox.archive("a.zip", &[("bunny.mp4", "bunny-too-short.mp4"), ("bunny_mask.png", MASK)]);
}

const MASK: &str = "inpaint-mini/bunny-wave_mask.png";

fn check(sandbox: &Sandbox, settings: &[&str]) -> (i32, Value) {
    let mut args = vec!["check", "a.zip", "--set", "resolution=low"];
    settings.iter().for_each(|setting| args.extend(["--set", setting]));
    sandbox.json(&args)
}

#[test]
fn a_frame_count_is_snapped_down_and_the_snap_is_reported() {
    let demo = assets("demo/demo.zip");
    let sandbox = Sandbox::new();
    let args = ["check", &demo, "--set", "number_of_frames=96", "--set", "resolution=low"];
    let (code, answer) = sandbox.json(&args);
    assert_eq!(code, 0, "{answer}");
    assert_eq!(each(&answer, "examples", "name"), ["box-desk", "box-portrait", "bunny-square", "bunny-wave"]);
    for example in answer["examples"].as_array().unwrap() {
        assert_eq!(example["frames"], 89);
    }
    let snap = &answer["warnings"][0];
    assert_eq!((&snap["name"], &snap["kind"]), (&"number_of_frames".into(), &"frames-snapped".into()));
    assert!(snap["message"].as_str().unwrap().contains("89"), "{snap}");
}

#[test]
fn too_short_is_measured_against_the_snapped_count() {
    let sandbox = Sandbox::new();
    long(&sandbox);
    let (code, answer) = check(&sandbox, &["number_of_frames=64"]);
    assert_eq!((code, &answer["examples"][0]["frames"]), (0, &57.into()), "{answer}");
    let found = check(&sandbox, &["number_of_frames=65"]);
    assert_rejected(&found);
    assert_eq!(kinds(&found.1), ["no-usable-clips"]);
    assert_eq!(each(&found.1, "dropped", "kind"), ["clip-too-short"]);
}

#[test]
fn a_short_clip_is_spread_if_that_is_asked_for() {
    let sandbox = Sandbox::new();
    short(&sandbox);
    assert_rejected(&check(&sandbox, &["number_of_frames=41"]));
    let (code, answer) = check(&sandbox, &["number_of_frames=41", "auto_scale_input=true"]);
    assert_eq!(code, 0, "{answer}");
    let example = &answer["examples"][0];
    assert_eq!((&example["frames"], &example["source_frames"]), (&41.into(), &30.into()));
    assert_eq!((&example["frame_rate"], &answer["dropped"]), (&24.0.into(), &Value::Array(Vec::new())));
}

#[test]
fn a_clip_at_another_rate_keeps_it_and_says_so() {
    let sandbox = Sandbox::new();
    short(&sandbox);
    let (_, answer) = check(&sandbox, &["number_of_frames=17", "frame_rate=12"]);
    assert_eq!(answer["examples"][0]["frame_rate"], 25.0);
    assert_eq!(answer["examples"][0]["warnings"], json!(["frame-rate-differs"]));
    let (_, answer) = check(&sandbox, &["number_of_frames=9", "frame_rate=12", "auto_scale_input=true"]);
    assert_eq!(answer["examples"][0]["frame_rate"], 12.0);
    assert_eq!(answer["examples"][0]["warnings"], json!([]));
}

#[test]
fn the_samples_of_the_demo_are_the_sample_clips() {
    let sandbox = Sandbox::new();
    let args = ["check", &assets("demo/demo.zip"), "--bucket", "64x64x9"];
    let (_, of_demo) = sandbox.json(&args);
    let names = ["box-desk.mp4", "box-desk_mask.mp4", "box-desk.txt"];
    let paths = names.map(|name| clips("inpaint-mini").join(name).to_str().unwrap().to_owned());
    let files: Vec<(&str, &str)> = names.into_iter().zip(paths.iter().map(String::as_str)).collect();
    sandbox.archive("own.zip", &files);
    let (_, own) = sandbox.json(&["check", "own.zip", "--bucket", "64x64x9"]);
    assert_eq!(own["examples"][0], of_demo["examples"][0]);
}
