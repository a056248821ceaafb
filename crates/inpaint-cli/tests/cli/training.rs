//! The main job at the smallest size.

use std::{collections::BTreeSet, fs};

use safetensors::{Dtype, SafeTensors};
use serde_json::{Value, json};

use crate::sandbox::{Sandbox, each};

/// Trains on the demo into `out`; gives the answer.
fn train(sandbox: &Sandbox, args: &[&str]) -> Value {
    let (code, answer) = sandbox.json(&[&["train", "--bucket", "64x64x9", "--set", "rank=8"], args].concat());
    assert_eq!((code, &answer["outcome"]), (0, &"accept".into()), "{answer}");
    answer
}

fn json(sandbox: &Sandbox, name: &str) -> Value {
    serde_json::from_slice(&sandbox.read(name)).unwrap()
}

#[test]
fn a_training_makes_a_lora_and_says_what_it_cost() {
    let sandbox = Sandbox::new();
    let answer = train(&sandbox, &["--set", "trigger_phrase=SPARK"]);
    assert_eq!((&answer["billable_units"], &answer["estimated_units"]), (&100.into(), &100.into()));
    assert_eq!(each(&answer, "examples", "name"), ["box-desk", "box-portrait", "bunny-square", "bunny-wave"]);
    assert_eq!(answer["examples"][1]["caption"], "SPARK", "this clip has no caption");
    assert_eq!(json(&sandbox, "out/outcome.json"), answer);
    assert_eq!(sandbox.entries(), ["out"]);
    check_files(&sandbox, &answer["files"]);
    check_lora(&sandbox.read("out/lora.safetensors"));
    check_config(&json(&sandbox, "out/config.json"));
    check_metrics(&String::from_utf8(sandbox.read("out/metrics.jsonl")).unwrap());
    for name in ["lora_file", "config_file", "video", "debug_dataset"] {
        assert_eq!(answer.get(name), Some(answer["files"].get(name).unwrap_or(&Value::Null)), "{name}");
    }
    check_report(&String::from_utf8(sandbox.read("out/report.html")).unwrap());
}

/// A page of its own, with the pictures of all examples in it.
fn check_report(page: &str) {
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>\n"));
    for text in ["SPARK", "finished: 100 steps", "All 32 modules of the LoRA are finite", "$0.24", "box-desk"]
    {
        assert!(page.contains(text), "{text}");
    }
    assert_eq!(page.matches("src=\"data:image/jpeg;base64,/9j/").count(), 4);
    assert!(!page.contains("src=\"http") && !page.contains("<script"));
}

/// Every file of the answer is there, in the size given, and no other is.
fn check_files(sandbox: &Sandbox, files: &Value) {
    let files = files.as_object().unwrap();
    let kinds: Vec<&str> = files.keys().map(String::as_str).collect();
    assert_eq!(kinds, ["config_file", "lora_file", "metrics_file", "report_file"]);
    let mut names = BTreeSet::from(["outcome.json", "events.out.tfevents.inpaint"].map(str::to_owned));
    for file in files.values() {
        let path = file["url"].as_str().unwrap().strip_prefix("file://").unwrap().replace("%20", " ");
        assert_eq!(fs::metadata(&path).unwrap().len(), file["file_size"], "{file}");
        assert!(path.ends_with(file["file_name"].as_str().unwrap()), "{file}");
        names.insert(file["file_name"].as_str().unwrap().to_owned());
    }
    let found = fs::read_dir(sandbox.path("out")).unwrap();
    assert_eq!(
        found.map(|file| file.unwrap().file_name().into_string().unwrap()).collect::<BTreeSet<_>>(),
        names
    );
}

/// Two factors for each of the eight projections of four blocks.
fn check_lora(bytes: &[u8]) {
    let (_, header) = SafeTensors::read_metadata(bytes).unwrap();
    let metadata = header.metadata().as_ref().unwrap();
    let wanted = [
        ("rank", "8"),
        ("alpha", "8"),
        ("trigger_phrase", "SPARK"),
        ("base_model", "tiny-ltx-2.3"),
        ("steps", "100"),
    ];
    for (key, value) in wanted {
        assert_eq!(metadata.get(key).map(String::as_str), Some(value), "{key}");
    }
    let lora = SafeTensors::deserialize(bytes).unwrap();
    let mut keys = BTreeSet::new();
    for block in 0..4 {
        for attention in ["attn1", "attn2"] {
            for projection in ["to_q", "to_k", "to_v", "to_out.0"] {
                for factor in ["lora_A", "lora_B"] {
                    keys.insert(format!(
                        "diffusion_model.transformer_blocks.{block}.{attention}.{projection}.{factor}.weight"
                    ));
                }
            }
        }
    }
    assert_eq!(keys.len(), 64);
    assert_eq!(lora.names().into_iter().map(str::to_owned).collect::<BTreeSet<_>>(), keys);
    for (name, tensor) in lora.iter() {
        assert_eq!(tensor.dtype(), Dtype::BF16, "{name}");
        let rank = if name.contains("lora_A") { tensor.shape()[0] } else { tensor.shape()[1] };
        assert_eq!((tensor.shape().len(), rank), (2, 8), "{name}");
        let values = tensor.data().chunks(2).map(|bytes| u16::from_le_bytes([bytes[0], bytes[1]]) & 0x7fff);
        let largest = values.max().unwrap();
        assert!((1..0x7f80).contains(&largest), "{name} is all zero or not finite");
    }
}

fn check_config(config: &Value) {
    assert_eq!((&config["trigger_phrase"], &config["training_type"]), (&"SPARK".into(), &"inpaint".into()));
    assert_eq!(config["base_model"], "tiny-ltx-2.3");
    assert_eq!((&config["lora"]["rank"], &config["lora"]["steps"]), (&8.into(), &100.into()));
    assert_eq!(config["lora"]["delta_rms"].as_object().unwrap().len(), 32);
    let data = &config["data"];
    assert_eq!([&data["width"], &data["height"], &data["frames"], &data["examples"]], [64, 64, 9, 4]);
    assert_eq!(config["options"]["seed"], 42);
    assert_eq!(config["request"]["number_of_steps"], 100);
}

/// A line for every step, and the loss on fixed draws, which falls.
fn check_metrics(text: &str) {
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (fixed, steps): (Vec<&Value>, Vec<&Value>) =
        lines.iter().partition(|line| line.get("fixed_loss").is_some());
    assert_eq!(
        steps.iter().map(|line| line["step"].as_u64().unwrap()).collect::<Vec<_>>(),
        Vec::from_iter(1..=100)
    );
    for line in steps {
        assert!(line["loss"].as_f64().unwrap() > 0.0 && line["step_time"].as_f64().unwrap() > 0.0, "{line}");
        assert!((1e-3..=1.0).contains(&line["sigma"].as_f64().unwrap()), "{line}");
        assert_eq!(line["lr"], 2e-4, "{line}");
    }
    let (first, last) = (fixed[0], fixed[fixed.len() - 1]);
    assert_eq!((&first["step"], &last["step"]), (&json!(0), &json!(100)));
    let loss = |line: &Value| line["fixed_loss"].as_f64().unwrap();
    assert!(loss(last) < 0.95 * loss(first), "{first} {last}");
}

#[test]
fn a_seed_gives_the_same_bytes_again_and_another_gives_others() {
    let sandbox = Sandbox::new();
    train(&sandbox, &["--seed", "7"]);
    train(&sandbox, &["--seed", "7"]);
    train(&sandbox, &["--seed", "8", "--out", "deep/er"]);
    assert_eq!(sandbox.entries(), ["deep", "out", "out.1"], "the earlier run is set aside");
    let lora = |folder: &str| sandbox.read(&format!("{folder}/lora.safetensors"));
    assert!(lora("out") == lora("out.1"), "the same seed gives other bytes");
    assert!(lora("out") != lora("deep/er"), "another seed gives the same bytes");
}

#[test]
fn people_read_where_the_files_are_and_what_comes_next() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("out")).unwrap();
    fs::write(sandbox.path("out/notes.txt"), "mine").unwrap();
    let call = sandbox.inpaint(&["train", "--bucket", "32x32x9", "--set", "rank=8"]);
    assert_eq!(call.code, Some(0), "{call:?}");
    for text in
        ["an earlier run is now in out.1", "100 units, $0.24", "out/lora.safetensors", "--text-encoder"]
    {
        assert!(call.stdout.contains(text), "{text}: {}", call.stdout);
    }
    for text in
        ["100 steps of rank 8 at 32x32x9 on tiny-ltx-2.3; 100 units when finished ($0.24)", "training"]
    {
        assert!(call.stderr.contains(text), "{text}: {}", call.stderr);
    }
    assert_eq!(sandbox.read("out.1/notes.txt"), b"mine");
}
