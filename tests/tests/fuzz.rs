//! Mutation runs from outside: a small share of each target finds nothing, and what misbehaves is noticed.
#![allow(clippy::unwrap_used, clippy::panic, reason = "the helpers of a test fail by panicking, as tests do")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

fn fuzz(args: &[&str], keep: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_fuzz")).args(args).arg("--keep").arg(keep).output().unwrap()
}

/// The one row of a run, and what was said of findings.
fn row(args: &[&str], keep: &Path) -> (Value, String, Option<i32>) {
    let output = fuzz(&[args, &["--json"]].concat(), keep);
    let said = String::from_utf8(output.stderr).unwrap();
    let rows: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{said}"));
    assert_eq!(rows.len(), 1);
    (rows[0].clone(), said, output.status.code())
}

/// Runs so many cases of a target. All must be answered, some well and some not; so many kinds of faults are met.
fn clean(target: &str, cases: u64, kinds: usize) {
    let keep = tempfile::tempdir().unwrap();
    let (row, said, code) =
        row(&["--target", target, "--cases", &cases.to_string(), "--seed", "7"], keep.path());
    assert_eq!((code, said.as_str()), (Some(0), ""), "{row}");
    let count = |name: &str| row[name].as_u64().unwrap();
    assert_eq!(count("cases"), cases);
    assert_eq!(count("accepted") + count("rejected"), cases);
    assert!(count("accepted") > cases / 20 && count("rejected") > cases / 20, "{row}");
    assert!(row["kinds"].as_object().unwrap().len() >= kinds, "{row}");
    assert!(fs::read_dir(keep.path()).unwrap().next().is_none());
}

#[test]
fn spoilt_archives_are_answered() {
    clean("archive", 400, 10);
}

#[test]
fn spoilt_images_are_answered() {
    clean("image", 300, 2);
}

#[test]
fn spoilt_videos_are_answered() {
    clean("video", 200, 2);
}

#[test]
fn spoilt_requests_are_answered() {
    clean("request", 400, 6);
}

#[test]
fn spoilt_jobs_are_answered() {
    clean("job", 100, 4);
}

/// Runs a target that misbehaves in its third case. That is noticed, counted in that column and in no other, the
/// input is kept, and the run goes on after it.
fn noticed(control: &str, column: &str, text: &str) {
    let keep = tempfile::tempdir().unwrap();
    let mut args = vec!["--target", control, "--cases", "5", "--memory", "100"];
    if column == "hangs" {
        args.extend(["--hang", "3"]);
    }
    let (row, said, code) = row(&args, keep.path());
    assert_eq!(code, Some(1), "{control}: {row}");
    for name in ["panics", "crashes", "hangs", "untyped", "broken", "memory"] {
        assert_eq!(row[name], u64::from(name == column), "{control}: {name} of {row}");
    }
    assert_eq!(row["cases"], 5, "{control}");
    assert!(said.contains(text), "{control}: {said}");
    assert!(said.contains(&format!("--target {control} --seed 0 --case 2, kept as ")), "{said}");
    assert!(keep.path().join(format!("{control}-0-2.txt")).exists(), "{control}");
}

#[test]
fn a_target_that_behaves_is_no_finding() {
    let keep = tempfile::tempdir().unwrap();
    let (row, said, code) = row(&["--target", "control-good", "--cases", "5"], keep.path());
    assert_eq!((code, said.as_str()), (Some(0), ""));
    assert_eq!(
        (row["cases"].as_u64(), row["accepted"].as_u64(), row["rejected"].as_u64()),
        (Some(5), Some(4), Some(1))
    );
}

#[test]
fn a_panic_is_noticed_in_whatever_thread() {
    noticed("control-panic", "panics", "a control panics");
    noticed("control-thread-panic", "panics", "a control panics");
}

#[test]
fn a_process_that_dies_is_noticed() {
    noticed("control-abort", "crashes", "SIGABRT");
    noticed("control-exit", "crashes", "exit status: 0");
}

#[test]
fn a_case_that_does_not_end_is_noticed() {
    noticed("control-hang", "hangs", "no result within 3 s");
}

#[cfg(target_os = "linux")]
#[test]
fn memory_is_noticed() {
    noticed("control-memory", "memory", "MB over the baseline");
}

#[test]
fn an_error_that_is_no_answer_is_noticed() {
    noticed("control-service", "untyped", "the service is blamed (shape-mismatch)");
    noticed("control-blank", "untyped", "`no-clips` has no message");
    noticed("control-kind", "untyped", "the kind `some-kind` is unknown");
}

#[test]
fn a_file_outside_the_work_folder_is_noticed() {
    noticed("control-escape", "broken", "stray");
}

#[test]
fn good_inputs_that_are_refused_end_the_run() {
    let keep = tempfile::tempdir().unwrap();
    let output = fuzz(&["--target", "control-bad-seed", "--cases", "5"], keep.path());
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("good input 0 was not accepted: no-clips"), "{said}");
}

/// Makes one case again and gives its input.
fn case(target: &str, number: u64) -> Vec<u8> {
    let keep: TempDir = tempfile::tempdir().unwrap();
    let (row, ..) = row(&["--target", target, "--case", &number.to_string(), "--seed", "7"], keep.path());
    assert_eq!(row["cases"], 1);
    fs::read(keep.path().join(format!("{target}-7-{number}.zip"))).unwrap()
}

#[test]
fn one_case_can_be_run_again_and_keeps_its_input() {
    assert_eq!(case("archive", 12), case("archive", 12));
    assert_ne!(case("archive", 12), case("archive", 13));
}

#[test]
fn a_wrong_command_line_is_refused() {
    let keep = tempfile::tempdir().unwrap();
    for args in [&["--minute", "1"][..], &["--minutes"], &["--cases", "-1"], &["--minutes", "NaN"]] {
        assert_eq!(fuzz(args, keep.path()).status.code(), Some(2), "{args:?}");
    }
    let output = fuzz(&["--target", "archives", "--cases", "1"], keep.path());
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("there is no target `archives`"));
}
