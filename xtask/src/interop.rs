//! `cargo xtask interop`: a LoRA of ours in the hands of peft and diffusers.

use std::fs;
use std::path::PathBuf;

use crate::command::{Failure, root, run};
use crate::python::{Python, cannot};
use crate::{setup, steps};

/// Trains the demo, lets our model and the others predict with its LoRA, and compares.
pub(crate) fn interop() -> Result<(), Failure> {
    setup::setup()?;
    let folder = steps::target()?.join("interop");
    fs::create_dir_all(&folder).map_err(|error| cannot("make", &folder, &error))?;
    let python = Python::prepare(&folder.join("python"), &scripts().join("requirements.txt"))?;
    for program in ["inpaint", "interop"] {
        run(steps::build(program))?;
    }
    let trained = folder.join("trained");
    if trained.exists() {
        fs::remove_dir_all(&trained).map_err(|error| cannot("remove", &trained, &error))?;
    }
    let mut train = steps::built("inpaint")?;
    train.args(["train", "--bucket", "64x64x9", "--out"]).arg(&trained);
    run(train)?;
    let (lora, case) = (trained.join("lora.safetensors"), folder.join("case.safetensors"));
    let mut ours = steps::built("interop")?;
    ours.args([&checkpoint(), &lora, &case]);
    run(ours)?;
    let mut theirs = python.command(scripts().join("interop.py"));
    theirs.args([&checkpoint(), &lora, &case]);
    run(theirs)
}

fn checkpoint() -> PathBuf {
    root().join("assets/tiny/tiny-ltx-2.3.safetensors")
}

/// Where the scripts and their requirements lie.
pub(crate) fn scripts() -> PathBuf {
    root().join("tests").join("interop")
}
