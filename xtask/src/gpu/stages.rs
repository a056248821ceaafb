//! Every stage at tiny size, on this machine.

use std::path::Path;
use std::process::Command;

use crate::command::{Failure, run};

/// Runs all stages of a packed folder without a GPU.
pub(super) fn run_all_tiny(folder: &Path, python: &Path, results: &Path) -> Result<(), Failure> {
    let mut command = Command::new("bash");
    command.arg(folder.join("stages.sh")).arg("--out").arg(results).args(["--tiny", "all"]);
    command.env("PYTHON", python);
    run(command)
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;
    use std::process::Output;

    use super::*;
    use crate::command::root;

    /// A packed folder whose programs are shell scripts.
    struct Packed {
        folder: tempfile::TempDir,
    }

    /// Tells how it was called; some calls fail, and some do not end by themselves.
    const GPU: &str = r#"#!/bin/sh
        echo "{\"what\":\"call\",\"args\":\"$*\"}"
        case "$*" in
          *broken*) exit 3 ;;
          *endless*) exec sleep 60 ;;
        esac
    "#;
    const PYTHON: &str = r#"#!/bin/sh
        shift
        echo "{\"what\":\"call\",\"side\":\"pytorch\",\"args\":\"$*\"}"
    "#;

    impl Packed {
        fn new() -> Self {
            let packed = Self { folder: tempfile::tempdir().unwrap() };
            fs::create_dir(packed.at("files")).unwrap();
            packed.program("files/gpu", GPU);
            packed.program("python", PYTHON);
            fs::copy(root().join("benches/gpu/stages.sh"), packed.at("stages.sh")).unwrap();
            packed
        }

        fn at(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        fn program(&self, name: &str, text: &str) {
            fs::write(self.at(name), text).unwrap();
            fs::set_permissions(self.at(name), fs::Permissions::from_mode(0o755)).unwrap();
        }

        fn run(&self, args: &[&str]) -> Output {
            let mut command = Command::new("bash");
            command.arg(self.at("stages.sh")).arg("--out").arg(self.at("out")).args(args);
            command.env("PYTHON", self.at("python")).output().unwrap()
        }

        fn written(&self, stage: &str) -> String {
            fs::read_to_string(self.at("out").join(format!("{stage}.jsonl"))).unwrap()
        }
    }

    #[test]
    fn every_stage_writes_its_lines_when_it_is_done() {
        let packed = Packed::new();
        assert!(packed.run(&["--tiny", "--layers", "2", "all"]).status.success());
        for stage in ["device", "matmul", "attention", "golden", "check", "offload", "step"] {
            let written = packed.written(stage);
            let lines: Vec<serde_json::Value> =
                written.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            assert_eq!(lines.last().unwrap()["what"], "stage", "{written}");
        }
        let step = packed.written("step");
        for preset in ["tiny-1x1", "tiny-16x9"] {
            let ours = format!(
                "step --preset {preset} --rank 32 --steps 3 --layers 2 --kept 0 --kept auto --size tiny"
            );
            assert!(step.contains(&ours), "{step}");
            assert!(step.contains(&format!("--presets {preset} --modes eager compile")), "{step}");
        }
        let offload =
            "step --preset tiny-1x1 --rank 32 --steps 3 --offload 1 --layers 2 --kept 0 --size tiny";
        assert!(packed.written("offload").contains(offload));
        assert!(packed.written("golden").contains("golden --from "));
        assert!(!packed.at("out/.part").exists());
    }

    #[test]
    fn a_failed_program_is_told_and_the_other_side_goes_on() {
        let packed = Packed::new();
        let output = packed.run(&["step:broken"]);
        assert_eq!(output.status.code(), Some(1));
        let step = packed.written("step");
        assert!(
            step.contains(r#"{"what":"failure","stage":"step:broken","program":"gpu","status":3}"#),
            "{step}"
        );
        assert!(step.contains("--presets broken"), "{step}");
    }

    #[test]
    fn a_program_without_end_is_ended_with_its_stage() {
        let packed = Packed::new();
        assert_eq!(packed.run(&["--limit", "1", "step:endless"]).status.code(), Some(1));
        assert!(packed.written("step").contains(r#""program":"gpu","status":124}"#));
        assert_eq!(packed.run(&["nonsense"]).status.code(), Some(2));
    }
}
