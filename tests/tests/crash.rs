//! Crash runs from outside, with few kills: a killed training ends as if it had not been, and what would not is noticed.
#![allow(clippy::unwrap_used, clippy::panic, reason = "the helpers of a test fail by panicking, as tests do")]

use std::process::{Command, Output};

use serde_json::Value;

fn crash(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_crash")).args(args).output().unwrap()
}

#[test]
fn killed_runs_end_with_the_same_bytes_and_spoilt_ones_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let output = crash(&["--kills", "8", "--json", "--folder", folder.path().to_str().unwrap()]);
    let said = String::from_utf8(output.stderr).unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{said}"));
    assert_eq!((output.status.code(), said.as_str()), (Some(0), ""), "{report}");
    assert_eq!((&report["kills"], &report["identical"]), (&8.into(), &report["runs"]), "{report}");
    assert!(report["runs"].as_u64().unwrap() > 0 && report["findings"].as_array().unwrap().is_empty());
    let noticed = &report["controls_noticed"];
    assert_eq!(noticed["sealed again, unchanged"], false, "{report}");
    for spoilt in ["moments zeroed", "step off by one", "another draw"] {
        assert_eq!(noticed[spoilt], true, "{spoilt}: {report}");
    }
    // 192 tensors, header and seal; create, sync, rename, sync; and the oldest snapshot is removed.
    assert_eq!(report["disk_faults"], 192 + 2 + 4 + 1);
    assert_eq!(folder.path().read_dir().unwrap().count(), 0, "nothing is kept where nothing was wrong");
}

#[test]
fn a_wrong_command_line_is_refused() {
    for args in [&["--kill", "1"][..], &["--kills"], &["--kills", "-1"], &["--seed", "x"]] {
        assert_eq!(crash(args).status.code(), Some(2), "{args:?}");
    }
}
