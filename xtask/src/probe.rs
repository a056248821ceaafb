//! Looking at the machine. Nothing here changes it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use crate::setup::{FFMPEG, Machine, Manager, Power};

/// Where libclang lies when neither the user nor `llvm-config` says so; folders below these are searched too.
const LIBRARY_FOLDERS: [&str; 7] = [
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/opt/homebrew/opt/llvm/lib",
    "/usr/local/opt/llvm/lib",
    "/Library/Developer/CommandLineTools/usr/lib",
    "/Applications/Xcode.app/Contents/Developer/Toolchains/XcodeDefault.xctoolchain/usr/lib",
];

/// What this machine has.
pub(crate) fn machine() -> Machine {
    Machine {
        compiler: ["cc", "clang", "gcc"].iter().any(|name| runs(name, &["--version"])),
        pkg_config: runs("pkg-config", &["--version"]),
        libclang: has_libclang(),
        ffmpeg: FFMPEG.into_iter().filter(|name| runs("pkg-config", &["--exists", name])).collect(),
        manager: Manager::ALL.into_iter().find(|manager| runs(manager.program(), &["--version"])),
        power: power(),
    }
}

/// Whether a program can be started and ends well.
pub(crate) fn runs(program: &str, args: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn power() -> Power {
    if first_line("id", &["-u"]).as_deref() == Some("0") {
        Power::Root
    } else if runs("sudo", &["-n", "true"]) {
        Power::Sudo
    } else {
        Power::None
    }
}

fn first_line(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output().ok()?;
    String::from_utf8_lossy(&output.stdout).lines().next().map(str::to_owned)
}

/// bindgen loads libclang and needs the headers that come with clang.
fn has_libclang() -> bool {
    let folders = library_folders();
    let library = folders.iter().flat_map(|folder| children(folder)).any(|path| is_libclang(&path));
    let headers = || folders.iter().any(|folder| !children(&folder.join("clang")).is_empty());
    library && (runs("clang", &["--version"]) || headers())
}

fn library_folders() -> Vec<PathBuf> {
    let told = env::var_os("LIBCLANG_PATH").map(PathBuf::from);
    let asked = first_line("llvm-config", &["--libdir"]).map(PathBuf::from);
    let mut folders: Vec<PathBuf> = told.into_iter().chain(asked).collect();
    for folder in LIBRARY_FOLDERS.map(PathBuf::from) {
        let below = children(&folder);
        folders.extend(below.iter().map(|child| child.join("lib")));
        folders.extend(below);
        folders.push(folder);
    }
    folders
}

fn children(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries.flatten().map(|entry| entry.path()).collect()
}

/// `libclang.so`, `libclang.so.1`, `libclang-14.so`, `libclang.dylib`, but not `libclang-cpp.so`.
fn is_libclang(path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return false };
    let Some(rest) = name.strip_prefix("libclang") else { return false };
    let versioned = rest.strip_prefix('-').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    (rest.starts_with('.') || versioned) && (rest.contains(".so") || rest.ends_with(".dylib"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libclang_is_told_from_its_neighbours() {
        let names = ["libclang.so", "libclang.so.1", "libclang-14.so.14.0.6", "libclang.dylib"];
        assert!(names.iter().all(|name| is_libclang(Path::new(name))));
        let others = ["libclang-cpp.so.14", "libclang.a", "libclangBasic.so", "clang", "libclang_rt.so"];
        assert!(!others.iter().any(|name| is_libclang(Path::new(name))));
    }

    #[test]
    fn a_missing_program_does_not_run() {
        assert!(!runs("a-program-that-nobody-has", &[]));
    }
}
