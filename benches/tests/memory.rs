//! The memory of a training step is what was predicted, within 15 %.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{path::Path, process::Command};

/// What `step` says at a size so large that the process itself is small beside it.
fn step(what: &str, folder: &Path, how: &[&str]) -> String {
    let mut step = Command::new(env!("CARGO_BIN_EXE_step"));
    step.arg(what).arg(folder).args(["3", "512"]).args(how).env("RAYON_NUM_THREADS", "2");
    let output = step.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

#[test]
fn the_memory_of_a_step_is_predicted() {
    let folder = tempfile::tempdir().unwrap();
    step("prepare", folder.path(), &[]);
    for how in ["recomputed", "kept", "averaged"] {
        let said = step("memory", folder.path(), &[how]);
        assert_eq!(said.matches("predicted").count(), 1, "{said}");
    }
}
