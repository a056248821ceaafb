//! `--resume`: a run that was ended goes on as if it had not been.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    interruption::{interrupt, wait_for_steps},
    sandbox::{Sandbox, assert_rejected, kinds},
};

/// A run of 100 steps into `out`, with a snapshot every 10.
const RUN: [&str; 9] = [
    "train",
    "--bucket",
    "32x32x9",
    "--set",
    "number_of_steps=100",
    "--set",
    "rank=8",
    "--set",
    "snapshot_every=10",
];

fn with<'a>(args: &[&'a str]) -> Vec<&'a str> {
    [&RUN, args].concat()
}

fn lora(sandbox: &Sandbox, folder: &str) -> Vec<u8> {
    sandbox.read(&format!("{folder}/lora.safetensors"))
}

fn finish(sandbox: &Sandbox, args: &[&str]) -> Value {
    let (code, answer) = sandbox.json(&with(args));
    assert_eq!((code, &answer["outcome"]), (0, &"accept".into()), "{answer}");
    answer
}

/// The snapshots of the run in `out`, the oldest first.
fn snapshots(sandbox: &Sandbox) -> Vec<std::path::PathBuf> {
    let files = fs::read_dir(sandbox.path("out/state/snapshots")).into_iter().flatten();
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "safetensors"));
    files.sort();
    files
}

/// Starts a run, or goes on with it, and kills it after some steps of its own.
fn kill_after_steps(sandbox: &Sandbox, args: &[&str]) {
    let timings = || fs::read(sandbox.path("out/state/timings.json")).ok();
    let before = timings();
    let mut child = sandbox.start(&with(args));
    let deadline = Instant::now() + Duration::from_secs(120);
    while timings() == before {
        assert!(Instant::now() < deadline, "its training does not begin");
        thread::sleep(Duration::from_millis(5));
    }
    wait_for_steps(sandbox, &mut child);
    sandbox.kill(child);
}

#[test]
fn an_interrupted_and_a_killed_run_end_with_the_bytes_of_an_undisturbed_one() {
    let sandbox = Sandbox::new();
    finish(&sandbox, &["--out", "whole"]);
    let mut child = sandbox.start(&RUN);
    wait_for_steps(&sandbox, &mut child);
    interrupt(&child);
    let call = sandbox.finish(child);
    assert_eq!(call.code, Some(130), "{call:?}");
    let report = String::from_utf8(sandbox.read("out/report.html")).unwrap();
    assert!(
        report.contains("in progress: step ") && report.contains("32 modules are finite"),
        "it can be looked at"
    );
    assert!(call.stderr.contains("--resume"), "it says how to go on: {call:?}");
    kill_after_steps(&sandbox, &["--resume"]);
    let answer = finish(&sandbox, &["--resume"]);
    assert_eq!(answer["billable_units"], 100);
    assert!(lora(&sandbox, "out") == lora(&sandbox, "whole"), "other bytes");
    assert_eq!(sandbox.entries(), ["out", "whole"]);
    assert!(!sandbox.path("out/state").exists(), "nothing is kept of a finished run");
    check_metrics(&sandbox);
    let again = sandbox.json(&with(&["--resume"]));
    assert_rejected(&again);
    assert_eq!(kinds(&again.1), ["nothing-to-resume"]);
}

/// Every step once, in order, with the same numbers as in the undisturbed run.
fn check_metrics(sandbox: &Sandbox) {
    let lines = |folder: &str| -> Vec<Value> {
        let text = String::from_utf8(sandbox.read(&format!("{folder}/metrics.jsonl"))).unwrap();
        let mut lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        for line in &mut lines {
            for timed in ["step_time", "tokens_per_second", "memory", "peak_memory"] {
                line.as_object_mut().unwrap().remove(timed);
            }
        }
        lines
    };
    assert_eq!(lines("out"), lines("whole"));
    // The report is whole, too: from the first evaluation to the last, over all three processes.
    let report = String::from_utf8(sandbox.read("out/report.html")).unwrap();
    for text in [
        "fixed draws, step 0:",
        "fixed draws, step 100:",
        "finished: 100 steps",
        "3 processes worked on this run",
    ] {
        assert!(report.contains(text), "{text}");
    }
}

#[test]
fn a_damaged_snapshot_falls_back_to_the_one_before() {
    let sandbox = Sandbox::new();
    finish(&sandbox, &["--out", "whole"]);
    let child = sandbox.start(&RUN);
    let deadline = Instant::now() + Duration::from_secs(120);
    while snapshots(&sandbox).len() < 2 {
        assert!(Instant::now() < deadline, "there are no two snapshots");
        thread::sleep(Duration::from_millis(5));
    }
    sandbox.kill(child);
    let newest = &snapshots(&sandbox).pop().unwrap();
    let mut bytes = fs::read(newest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(newest, bytes).unwrap();
    let answer = finish(&sandbox, &["--resume"]);
    let warnings = answer["warnings"].as_array().unwrap();
    assert!(warnings.iter().any(|warning| warning["kind"] == "snapshot-damaged"), "{answer}");
    assert!(lora(&sandbox, "out") == lora(&sandbox, "whole"), "other bytes");
}

#[test]
fn a_changed_run_is_refused_with_the_difference_and_can_still_go_on() {
    let sandbox = Sandbox::new();
    kill_after_steps(&sandbox, &[]);
    let other = sandbox.json(&with(&["--resume", "--seed", "7", "--set", "trigger_phrase=FOX"]));
    assert_rejected(&other);
    assert!(kinds(&other.1).iter().all(|kind| *kind == "run-changed"), "{}", other.1);
    let text = other.1["detail"].to_string();
    for named in ["seed was 42 and is 7 now", "trigger_phrase was", "example `bunny-wave` was"] {
        assert!(text.contains(named), "{named}: {text}");
    }
    finish(&sandbox, &["--resume", "--set", "snapshot_every=0"]);
}

#[test]
fn without_resume_an_unfinished_run_is_set_aside_and_goes_on_there() {
    let sandbox = Sandbox::new();
    kill_after_steps(&sandbox, &[]);
    finish(&sandbox, &[]);
    finish(&sandbox, &["--out", "out.1", "--resume"]);
    assert!(lora(&sandbox, "out") == lora(&sandbox, "out.1"), "other bytes");
}
