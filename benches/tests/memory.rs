//! The memory of a training step is what was predicted, within 15 %.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;

#[test]
fn the_memory_of_a_step_is_predicted() {
    // Large enough that the process itself is small beside it.
    let folder = tempfile::tempdir().unwrap();
    for what in ["prepare", "memory"] {
        let mut step = Command::new(env!("CARGO_BIN_EXE_step"));
        step.arg(what).arg(folder.path()).args(["3", "512"]).env("RAYON_NUM_THREADS", "2");
        let output = step.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(said.matches("predicted").count(), if what == "memory" { 3 } else { 0 }, "{said}");
    }
}
