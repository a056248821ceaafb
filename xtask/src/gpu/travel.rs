//! The folder that travels: one archive of programs, and the script of the stages.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::bench::scripts;
use crate::command::{Failure, root, run};
use crate::probe;
use crate::python::cannot;
use crate::steps::default_golden;

/// Pure Python that a machine with PyTorch may lack. What they need beside it comes with PyTorch and transformers.
const PACKAGES: [&str; 3] = ["diffusers==0.42.0", "importlib_metadata==8.7.0", "peft==0.21.2"];
/// Golden numbers that fit: all of the transformer's but the longest, and of the VAE one clip there and one back.
const GOLDEN: [&str; 2] = ["transformer", "vae"];
const TOO_LONG: &str = "trajectory.safetensors";
const OF_VAE: [&str; 4] =
    ["index.json", "tiny-vae.safetensors", "encode-9x64x96.safetensors", "decode-2x2x3.safetensors"];
const SCRIPTS: [&str; 3] = ["step.py", "gpu_step.py", "gpu_ceiling.py"];
/// The whole folder, packed.
const LARGEST: u64 = 25_000_000;
/// A library whose name stands in every program that is linked to FFmpeg.
const FFMPEG: &[u8] = b"libavcodec.so";

/// What is packed.
pub(super) struct Luggage {
    /// Our side.
    pub(super) binary: PathBuf,
    /// A Python whose pip fetches what is missing of the other side.
    pub(super) python: PathBuf,
    /// Whether our side may be linked to FFmpeg, which a machine with a GPU need not have.
    pub(super) may_need_ffmpeg: bool,
}

impl Luggage {
    /// Packs anew into `folder`, and says what it weighs.
    pub(super) fn pack(&self, folder: &Path) -> Result<(), Failure> {
        let files = folder.join("packing");
        empty(folder)?;
        make(&files)?;
        self.binary(&files.join("gpu"))?;
        make(&files.join("pytorch"))?;
        for script in SCRIPTS {
            copy(&scripts().join(script), &files.join("pytorch").join(script))?;
        }
        golden(&files.join("golden"))?;
        run(self.pip(&files.join("site")))?;
        let archive = folder.join("files.tar.xz");
        run(tar(&files, &archive))?;
        fs::remove_dir_all(&files).map_err(|error| cannot("remove", &files, &error))?;
        let stages = folder.join("stages.sh");
        copy(&root().join("benches").join("gpu").join("stages.sh"), &stages)?;
        weigh(folder, size(&archive)? + size(&stages)?)
    }

    /// Our side without its symbols.
    fn binary(&self, to: &Path) -> Result<(), Failure> {
        copy(&self.binary, to)?;
        if probe::runs("strip", &["--version"]) {
            let mut strip = Command::new("strip");
            strip.arg(to);
            run(strip)?;
        }
        let bytes = fs::read(to).map_err(|error| cannot("read", to, &error))?;
        if !self.may_need_ffmpeg && bytes.windows(FFMPEG.len()).any(|part| part == FFMPEG) {
            return Err(Failure::new(format!("{} is linked to FFmpeg", self.binary.display())));
        }
        println!("our program: {} bytes, stripped", bytes.len());
        Ok(())
    }

    /// The packages, unpacked: they compress better together, and need no pip where they go.
    fn pip(&self, to: &Path) -> Command {
        let mut pip = Command::new(&self.python);
        pip.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "--no-compile",
        ]);
        pip.args(["--only-binary=:all:", "--python-version", "3.12", "--target"]).arg(to).args(PACKAGES);
        pip
    }
}

/// Copies the golden numbers that travel.
fn golden(to: &Path) -> Result<(), Failure> {
    for name in GOLDEN {
        let (from, to) = (default_golden().join(name), to.join(name));
        make(&to)?;
        let entries = fs::read_dir(&from).map_err(|error| cannot("read", &from, &error))?;
        for file in entries.flatten().map(|entry| entry.file_name()) {
            let travels =
                if name == "vae" { OF_VAE.iter().any(|wanted| file == *wanted) } else { file != TOO_LONG };
            if travels {
                copy(&from.join(&file), &to.join(&file))?;
            }
        }
    }
    Ok(())
}

fn tar(files: &Path, archive: &Path) -> Command {
    let mut tar = Command::new("tar");
    // Sorted and without owners and times, so that the same files make the same archive.
    tar.args(["--sort=name", "--owner=0", "--group=0", "--mtime=@0", "--create", "--xz", "--file"])
        .arg(archive);
    tar.arg("--directory").arg(files).arg(".").env("XZ_OPT", "-6");
    tar
}

fn weigh(folder: &Path, bytes: u64) -> Result<(), Failure> {
    println!("{}: {bytes} bytes in all", folder.display());
    if bytes <= LARGEST {
        return Ok(());
    }
    Err(Failure::new(format!("{} has {bytes} bytes, at most {LARGEST} should travel", folder.display())))
}

fn empty(folder: &Path) -> Result<(), Failure> {
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(|error| cannot("empty", folder, &error))?;
    }
    make(folder)
}

fn make(folder: &Path) -> Result<(), Failure> {
    fs::create_dir_all(folder).map_err(|error| cannot("make", folder, &error))
}

fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    fs::copy(from, to).map(drop).map_err(|error| cannot("copy", from, &error))
}

fn size(file: &Path) -> Result<u64, Failure> {
    fs::metadata(file).map(|meta| meta.len()).map_err(|error| cannot("read", file, &error))
}
