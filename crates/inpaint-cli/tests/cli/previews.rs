//! Pictures: during a training, and of one video on its own.

use std::fs;

use serde_json::{Value, json};

use crate::{
    interruption::interrupt,
    sandbox::{Sandbox, assert_rejected, clips, kinds, places},
};

const RUN: [&str; 9] = [
    "train",
    "--bucket",
    "64x64x9",
    "--set",
    "rank=8",
    "--set",
    "preview_steps=3",
    "--set",
    "snapshot_every=20",
];

fn path(name: &str) -> String {
    clips(name).to_str().unwrap().to_owned()
}

/// Two samples, of clips of different rates.
fn samples() -> String {
    let sample = |prompt: &str, video: &str, mask: &str| json!({"prompt": prompt, "video_url": path(video), "mask_url": path(mask)});
    let samples = json!([
        sample("a fox", "bunny-vp9.webm", "inpaint-mini/bunny-wave_mask.png"),
        sample("a \"desk\"", "inpaint-mini/box-desk.mp4", "inpaint-mini/box-desk_mask.mp4"),
    ]);
    format!("validation={samples}")
}

fn finish(sandbox: &Sandbox, args: &[&str]) -> Value {
    let (code, answer) = sandbox.json(&[&RUN, args].concat());
    assert_eq!((code, &answer["outcome"]), (0, &"accept".into()), "{answer}");
    answer
}

fn lines(sandbox: &Sandbox, folder: &str) -> Vec<Value> {
    let text = String::from_utf8(sandbox.read(&format!("{folder}/metrics.jsonl"))).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Step, sample and numbers of every preview, without the time and the memory that it took.
fn previews(sandbox: &Sandbox, folder: &str) -> Vec<Value> {
    let mut lines = lines(sandbox, folder);
    lines.retain(|line| line.get("preview").is_some());
    for line in &mut lines {
        let preview = line["preview"].as_object_mut().unwrap();
        ["seconds", "memory", "peak_memory"].iter().for_each(|field| drop(preview.remove(*field)));
    }
    lines
}

/// The name and size of every file of previews.
fn files(sandbox: &Sandbox, folder: &str) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(sandbox.path(&format!("{folder}/previews"))).unwrap();
    let file =
        |entry: fs::DirEntry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap());
    let mut files: Vec<_> = entries.map(|entry| file(entry.unwrap())).collect();
    files.sort();
    files
}

#[test]
fn a_training_shows_its_samples_before_on_the_way_and_at_the_end_and_its_lora_is_the_same() {
    let sandbox = Sandbox::new();
    let samples = samples();
    finish(&sandbox, &["--set", &samples, "--set", "preview_every=50"]);
    let kept = ["--set", "preview_loras=true", "--set", "preview_every=50"];
    let without = finish(&sandbox, &[&["--out", "without"], &kept[..]].concat());
    let lora = |folder: &str| sandbox.read(&format!("{folder}/lora.safetensors"));
    assert!(lora("out") == lora("without"), "previews change the LoRA");
    assert!(!sandbox.path("without/validation.mp4").exists() && !sandbox.path("without/previews").exists());

    assert!(!sandbox.path("out/loras").exists(), "LoRAs that nobody asked for");
    let halfway = "without/loras/step-000050.safetensors";
    let listed = without["files"]["preview_loras"].as_array().unwrap();
    let url = listed[0]["url"].as_str().unwrap();
    assert!(listed.len() == 1 && url.ends_with(halfway), "{listed:?}");
    let inspected = sandbox.inpaint(&["inspect", halfway, "--json"]);
    let inspected: Value = serde_json::from_str(&inspected.stdout).unwrap();
    assert_eq!(inspected["metadata"]["steps"], "50", "{inspected}");
    assert!(sandbox.read(halfway) != lora("without"), "50 steps more do nothing");

    let previews = previews(&sandbox, "out");
    let at: Vec<_> =
        previews.iter().map(|line| (line["step"].as_u64(), line["preview"]["sample"].as_u64())).collect();
    let wanted: Vec<_> =
        [0, 50, 100].iter().flat_map(|step| [1, 2].map(|sample| (Some(*step), Some(sample)))).collect();
    assert_eq!(at, wanted);
    let mut names = vec![];
    for line in &previews {
        let preview = &line["preview"];
        assert_eq!(preview["kept_differing"], 0, "{line}");
        let kept = preview["kept_pixels"].as_u64().unwrap();
        assert!(kept > 1000 && kept < 9 * 64 * 64, "{line}");
        for number in ["kept_psnr", "kept_ssim", "white_psnr", "white_ssim", "seam", "source_seam"] {
            assert!(preview[number].as_f64().is_some_and(f64::is_finite), "{number} of {line}");
        }
        for file in ["video", "plain", "still"] {
            names.push(preview[file].as_str().unwrap().strip_prefix("previews/").unwrap().to_owned());
        }
    }
    let (before, after) = (&previews[0]["preview"], &previews[4]["preview"]);
    assert_eq!(before["source_seam"], after["source_seam"]);
    assert_ne!(before["white_psnr"], after["white_psnr"], "the LoRA does nothing");
    assert_eq!(before["kept_psnr"].as_f64().unwrap().round(), after["kept_psnr"].as_f64().unwrap().round());
    names.extend([1, 2].iter().flat_map(|n| ["source", "mask"].map(|what| format!("sample-{n}-{what}.jpg"))));
    names.sort();
    assert_eq!(files(&sandbox, "out").into_iter().map(|(name, _)| name).collect::<Vec<_>>(), names);
    assert!(sandbox.read("out/validation.mp4").len() > 1000);
}

#[test]
fn a_run_that_goes_on_keeps_its_previews_and_makes_what_is_missing() {
    let sandbox = Sandbox::new();
    let samples = samples();
    let args = ["--set", &samples, "--set", "preview_every=20"];
    finish(&sandbox, &[&args[..], &["--out", "whole"]].concat());
    let mut child = sandbox.start(&[&RUN[..], &args].concat());
    let told = |count| {
        let text = fs::read_to_string(sandbox.path("out/metrics.jsonl")).unwrap_or_default();
        text.matches("\"preview\"").count() >= count
    };
    wait(&mut child, || told(3));
    interrupt(&child);
    assert_eq!(sandbox.finish(child).code, Some(130));
    let mut child = sandbox.start(&[&RUN[..], &args, &["--resume"]].concat());
    wait(&mut child, || told(5));
    sandbox.kill(child);
    finish(&sandbox, &[&args[..], &["--resume"]].concat());
    let lora = |folder: &str| sandbox.read(&format!("{folder}/lora.safetensors"));
    assert!(lora("out") == lora("whole"), "other bytes");
    assert_eq!(previews(&sandbox, "out"), previews(&sandbox, "whole"));
    assert!(files(&sandbox, "out") == files(&sandbox, "whole"), "other pictures");
    let reel = |folder: &str| sandbox.read(&format!("{folder}/validation.mp4"));
    assert!(reel("out") == reel("whole"), "another reel");
}

fn wait(child: &mut std::process::Child, come: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(120);
    while !come() {
        assert!(child.try_wait().unwrap().is_none(), "it ended too early");
        assert!(std::time::Instant::now() < deadline, "it does not come");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

/// Inpaints a clip; gives exit code and answer.
fn preview(sandbox: &Sandbox, args: &[&str]) -> (i32, Value) {
    let (video, mask) = (path("bunny-vp9.webm"), path("inpaint-mini/bunny-wave_mask.png"));
    let clip = ["preview", "--video", &video, "--mask", &mask, "--prompt", "a fox", "--bucket", "64x64x9"];
    sandbox.json(&[&clip[..], &["--set", "preview_steps=3"], args].concat())
}

#[test]
fn one_video_is_inpainted_with_a_lora_and_without() {
    let sandbox = Sandbox::new();
    finish(&sandbox, &[]);
    let (code, plain) = preview(&sandbox, &["--out", "none.mp4"]);
    assert_eq!(
        (code, &plain["outcome"], &plain["billable_units"]),
        (0, &"accept".into(), &0.into()),
        "{plain}"
    );
    let (_, adapted) = preview(&sandbox, &["--out", "adapted.mp4", "--lora", "out/lora.safetensors"]);
    assert_eq!(sandbox.entries(), ["adapted-plain.mp4", "adapted.mp4", "none-plain.mp4", "none.mp4", "out"]);
    for answer in [&plain, &adapted] {
        assert_eq!(answer["numbers"]["kept_differing"], 0, "{answer}");
        for file in ["video", "plain"] {
            let file = &answer["files"][file];
            let written = sandbox.read(file["file_name"].as_str().unwrap());
            assert_eq!(
                (&file["content_type"], &file["file_size"]),
                (&"video/mp4".into(), &written.len().into())
            );
        }
    }
    assert_ne!(plain["numbers"]["white_psnr"], adapted["numbers"]["white_psnr"]);
    let (_, again) = preview(&sandbox, &["--out", "again.mp4"]);
    assert_eq!(again["numbers"], plain["numbers"], "the noise is not fixed");
    let (_, other) =
        preview(&sandbox, &["--out", "again.mp4", "--seed", "7", "--set", "preview_truth=false"]);
    assert_ne!(other["numbers"]["kept_psnr"], plain["numbers"]["kept_psnr"], "another seed is the same");
    assert_eq!(other["numbers"]["white_psnr"], Value::Null);
}

#[cfg(target_env = "gnu")]
#[test]
fn a_video_is_the_same_bytes_whatever_memory_held_before() {
    let sandbox = Sandbox::new();
    let (video, mask) = (path("bunny-vp9.webm"), path("inpaint-mini/bunny-wave_mask.png"));
    let call = ["preview", "--video", &video, "--mask", &mask, "--prompt", "a fox", "--bucket", "64x64x9"];
    let made = |fill: &str| {
        let name = format!("{fill}.mp4");
        let args = [&call[..], &["--set", "preview_steps=1", "--out", &name]].concat();
        // glibc fills what is allocated.
        let call = sandbox.finish(sandbox.start_with(&args, &[("MALLOC_PERTURB_", fill)]));
        assert_eq!(call.code, Some(0), "{call:?}");
        sandbox.read(&name)
    };
    assert!(made("85") == made("170"), "the bytes depend on memory that nobody wrote");
}

#[test]
fn what_a_preview_cannot_be_made_of_is_rejected() {
    let sandbox = Sandbox::new();
    fs::write(sandbox.path("none.safetensors"), "no LoRA").unwrap();
    let found = preview(&sandbox, &["--lora", "none.safetensors"]);
    assert_rejected(&found);
    assert_eq!(kinds(&found.1), ["lora-unfit"]);
    let (code, _) = preview(&sandbox, &["--lora", "nowhere.safetensors"]);
    assert_eq!(code, 1);
    let found = preview(&sandbox, &["--set", "preview_steps=0", "--set", "stg_scale=9"]);
    assert_rejected(&found);
    assert_eq!(places(&found.1), ["stg_scale", "preview_steps"]);
    let call = [
        "preview",
        "--video",
        "nowhere.mp4",
        "--mask",
        "nowhere.png",
        "--prompt",
        "a",
        "--bucket",
        "32x32x9",
    ];
    let found = sandbox.json(&call);
    assert_rejected(&found);
    assert_eq!(kinds(&found.1), ["download-failed", "download-failed"]);
    assert_eq!(sandbox.entries(), ["none.safetensors"]);
}

#[test]
fn people_read_what_became_of_their_video() {
    let sandbox = Sandbox::new();
    let (video, mask) = (path("bunny-vp9.webm"), path("inpaint-mini/bunny-wave_mask.png"));
    let call = ["preview", "--video", &video, "--mask", &mask, "--prompt", "a", "--bucket", "64x64x9"];
    let call = sandbox.inpaint(&[&call[..], &["--set", "preview_steps=2"]].concat());
    assert_eq!(call.code, Some(0), "{call:?}");
    for text in ["without a LoRA", "preview.mp4", "preview-plain.mp4", "PSNR"] {
        assert!(call.stdout.contains(text), "{text}: {}", call.stdout);
    }
}
