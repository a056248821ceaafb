//! Arguments, and what people read.

use std::fs;

use crate::sandbox::{Sandbox, assert_rejected, bad_inputs, kinds};

fn good() -> String {
    bad_inputs("two-good-pairs.zip").to_str().unwrap().to_owned()
}

#[test]
fn a_size_that_no_model_has_is_refused() {
    for bucket in ["48x64x9", "64x64x10", "64x64", "64x64x1", "0x64x9"] {
        let args = ["check", &good(), "--bucket", bucket];
        let call = Sandbox::new().inpaint(&args);
        assert_eq!((call.code, call.stdout.as_str()), (Some(2), ""), "{bucket}");
        assert!(call.stderr.contains(bucket), "{bucket}: {}", call.stderr);
        let found = Sandbox::new().json(&args);
        assert_rejected(&found);
    }
}

#[test]
fn a_wrong_command_line_is_a_rejection() {
    for args in [vec!["train", "--device", "tpu"], vec!["check", "a", "b"], vec!["train", "--steps", "100"]] {
        assert_rejected(&Sandbox::new().json(&args));
    }
    let call = Sandbox::new().inpaint(&["train", "--device", "cuda:0"]);
    assert_eq!(call.code, Some(2));
    assert!(call.stderr.contains("without CUDA"), "{}", call.stderr);
}

#[cfg(unix)]
#[test]
fn arguments_that_are_no_text_are_refused() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

    let sandbox = Sandbox::new();
    let args = [OsStr::new("check"), OsStr::from_bytes(b"\xff.zip"), OsStr::new("--json")];
    let call = sandbox.finish(sandbox.start(&args));
    assert_eq!(call.code, Some(2), "{call:?}");
    assert_eq!(call.answer()["outcome"], "reject");
}

#[test]
fn a_request_file_is_overridden_by_settings_and_the_dataset() {
    let sandbox = Sandbox::new();
    let request = r#"{"training_data_url": "nowhere.zip", "number_of_steps": 300, "trigger_phrase": "ONE"}"#;
    fs::write(sandbox.path("request.json"), request).unwrap();
    let args = ["check", &good(), "--request", "request.json", "--set", "trigger_phrase=TWO"];
    let (code, answer) = sandbox.json(&[&args[..], &["--bucket", "32x32x9"]].concat());
    assert_eq!((code, &answer["estimated_units"]), (0, &300.into()), "{answer}");
    assert!(answer["examples"][0]["caption"].as_str().unwrap().starts_with("TWO "), "{answer}");
}

#[test]
fn a_request_file_that_cannot_be_read_is_a_rejection() {
    let sandbox = Sandbox::new();
    for (content, kind) in
        [(None, "unreadable-request"), (Some("rank: 8"), "unreadable-request"), (Some("[8]"), "wrong-type")]
    {
        if let Some(content) = content {
            fs::write(sandbox.path("request.json"), content).unwrap();
        }
        for command in ["check", "train"] {
            let found = sandbox.json(&[command, "--request", "request.json"]);
            assert_rejected(&found);
            assert_eq!(kinds(&found.1), [kind], "{content:?}: {}", found.1);
        }
        let call = sandbox.inpaint(&["check", "--request", "request.json"]);
        assert_eq!((call.code, call.stdout.as_str()), (Some(2), ""), "{call:?}");
    }
}

#[test]
fn people_get_a_table_and_the_price() {
    let call = Sandbox::new().inpaint(&["check", &good(), "--bucket", "32x32x9"]);
    assert_eq!(call.code, Some(0), "{call:?}");
    let lines: Vec<&str> = call.stdout.lines().collect();
    assert_eq!(lines.len(), 4, "{}", call.stdout);
    assert!(lines[1].starts_with("good01 ") && lines[2].starts_with("good02 "), "{}", call.stdout);
    assert!(lines[3].starts_with("2 examples in 32x32x9, 0 dropped"), "{}", lines[3]);
    assert!(
        lines[3].ends_with("2000 steps (1000 passes over each) would cost 2000 units ($4.80)"),
        "{}",
        lines[3]
    );
}

#[test]
fn people_read_every_fault_on_stderr() {
    let call = Sandbox::new().inpaint(&["check", "a.zip", "--set", "rank=7", "--set", "stg_scale=9"]);
    assert_eq!((call.code, call.stdout.as_str()), (Some(2), ""), "{call:?}");
    for text in ["rank: must be one of 8, 16", "stg_scale: must be at most 3", "nothing was billed"] {
        assert!(call.stderr.contains(text), "{text}: {}", call.stderr);
    }
}
