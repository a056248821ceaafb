//! The files of the tree: size, white space, first lines, inherited lints.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{Failure, output};

const LARGEST_FILE: u64 = 4_000_000;
const LARGEST_TREE: u64 = 40_000_000;
/// Weights that have no smaller form.
const LARGE_FILES: [&str; 2] =
    ["tests/golden/transformer/tiny-transformer.safetensors", "assets/tiny/tiny-ltx-2.3.safetensors"];
/// What the tree without git would list by mistake: built things and results of runs.
const NOT_SOURCE: [&str; 4] = ["target", "out", ".git", ".lab"];

/// A dependency's crate that ours replaces by a smaller one: no member of the workspace, and in none of its layers.
const REPLACED: [&str; 1] = ["crates/ltx-model/cubecl-llvm"];

/// One file of the tree.
pub(crate) struct File {
    /// Path from the root, with `/`.
    pub(crate) path: String,
    pub(crate) bytes: u64,
    /// The content of Rust, Markdown and TOML files.
    pub(crate) text: Option<String>,
}

/// The files of the tree: what git tracks or would track; without git, all that is no result of a build.
pub(crate) fn list(root: &Path) -> Result<Vec<File>, Failure> {
    let paths = git_files(root).unwrap_or_else(|_| walk(root));
    let mut files = Vec::new();
    for path in paths {
        let full = root.join(&path);
        let Ok(meta) = fs::symlink_metadata(&full) else { continue };
        let text = is_text(&path).then(|| fs::read_to_string(&full)).transpose();
        let text = text.map_err(|error| Failure::new(format!("cannot read {path}: {error}")))?;
        files.push(File { path, bytes: meta.len(), text });
    }
    Ok(files)
}

fn git_files(root: &Path) -> Result<Vec<String>, Failure> {
    let mut command = Command::new("git");
    command.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).current_dir(root);
    Ok(output(command)?.split_terminator('\0').map(str::to_owned).collect())
}

fn walk(root: &Path) -> Vec<String> {
    let mut files = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(root.join(&folder)) else { continue };
        for entry in entries.flatten() {
            let path = folder.join(entry.file_name());
            let folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            match folder {
                true if is_source(&path) => folders.push(path),
                true => {}
                false => files.push(path.to_string_lossy().replace('\\', "/")),
            }
        }
    }
    files.sort();
    files
}

fn is_source(folder: &Path) -> bool {
    let name = folder.to_string_lossy();
    !NOT_SOURCE.iter().any(|not| name == *not || name.starts_with(&format!("{not}.")))
}

fn is_text(path: &str) -> bool {
    [".rs", ".md", ".toml"].iter().any(|end| path.ends_with(end))
}

/// What is wrong with the files.
pub(crate) fn faults(files: &[File]) -> Vec<String> {
    let mut faults = sizes(files);
    faults.extend(files.iter().filter_map(white_space));
    for manifest in files.iter().filter(|file| crate_folder(file).is_some()) {
        faults.extend(crate_faults(manifest, files));
    }
    faults
}

fn sizes(files: &[File]) -> Vec<String> {
    let too_large = |file: &&File| file.bytes > LARGEST_FILE && !LARGE_FILES.contains(&file.path.as_str());
    let told =
        |file: &File| format!("{} has {} bytes, at most {LARGEST_FILE} are allowed", file.path, file.bytes);
    let mut faults: Vec<String> = files.iter().filter(too_large).map(told).collect();
    let whole: u64 = files.iter().map(|file| file.bytes).sum();
    if whole > LARGEST_TREE {
        faults.push(format!("the tree has {whole} bytes, at most {LARGEST_TREE} are allowed"));
    }
    faults
}

fn white_space(file: &File) -> Option<String> {
    let line = file.text.as_deref()?.lines().position(|line| line.ends_with([' ', '\t']))?;
    Some(format!("{}:{}: white space at the end of the line", file.path, line + 1))
}

/// The folder of a crate of the workspace, if `file` is its manifest.
pub(crate) fn crate_folder(file: &File) -> Option<&str> {
    file.path.strip_suffix("/Cargo.toml").filter(|folder| !REPLACED.contains(folder))
}

fn crate_faults(manifest: &File, files: &[File]) -> Vec<String> {
    let folder = crate_folder(manifest).unwrap_or_default();
    let mut faults = Vec::new();
    if !inherits_lints(manifest.text.as_deref().unwrap_or_default()) {
        faults.push(format!("{}: wants `[lints]` with `workspace = true`", manifest.path));
    }
    let roots = ["src/lib.rs", "src/main.rs"].map(|root| format!("{folder}/{root}"));
    let roots: Vec<&File> = files.iter().filter(|file| roots.contains(&file.path)).collect();
    if roots.is_empty() {
        faults.push(format!("{folder} has neither src/lib.rs nor src/main.rs"));
    }
    let silent =
        roots.iter().filter(|root| !root.text.as_deref().is_some_and(|text| text.starts_with("//!")));
    faults.extend(silent.map(|root| format!("{} wants to begin with `//!`: what the crate is", root.path)));
    faults
}

fn inherits_lints(manifest: &str) -> bool {
    let mut lines = manifest.lines().map(str::trim).skip_while(|line| *line != "[lints]").skip(1);
    lines.find(|line| !line.is_empty() && !line.starts_with('#')) == Some("workspace = true")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.to_owned(), bytes: text.len() as u64, text: Some(text.to_owned()) }
    }

    fn sized(path: &str, bytes: u64) -> File {
        File { path: path.to_owned(), bytes, text: None }
    }

    const MANIFEST: &str = "[package]\nname = \"a\"\n\n[lints]\nworkspace = true\n";

    #[test]
    fn a_tidy_tree_is_clean() {
        let files = [
            file("crates/a/Cargo.toml", MANIFEST),
            file("crates/a/src/lib.rs", "//! What it is.\n"),
            sized(LARGE_FILES[0], LARGEST_FILE + 1),
        ];
        assert_eq!(faults(&files), Vec::<String>::new());
    }

    #[test]
    fn a_large_file_and_a_large_tree_are_faults() {
        assert_eq!(faults(&[sized("clip.mp4", LARGEST_FILE + 1)]).len(), 1);
        let many: Vec<File> = (0..11).map(|i| sized(&format!("{i}.bin"), LARGEST_FILE)).collect();
        assert_eq!(faults(&many), ["the tree has 44000000 bytes, at most 40000000 are allowed"]);
    }

    #[test]
    fn white_space_at_the_end_of_a_line_is_named_with_its_line() {
        let faults = faults(&[file("docs/a.md", "one\ntwo \n"), file("b.rs", "fn f() {\t\n}\n")]);
        assert_eq!(faults[0], "docs/a.md:2: white space at the end of the line");
        assert!(faults[1].starts_with("b.rs:1:"));
    }

    #[test]
    fn a_crate_without_inherited_lints_is_a_fault() {
        let library = || file("crates/a/src/lib.rs", "//! It.\n");
        for manifest in ["[package]\n", "[lints]\nworkspace = false\n", "[lints.rust]\nworkspace = true\n"] {
            let faults = faults(&[file("crates/a/Cargo.toml", manifest), library()]);
            assert_eq!(faults, ["crates/a/Cargo.toml: wants `[lints]` with `workspace = true`"]);
        }
    }

    #[test]
    fn a_crate_that_does_not_say_what_it_is_is_a_fault() {
        let manifest = || file("xtask/Cargo.toml", MANIFEST);
        let silent = faults(&[manifest(), file("xtask/src/main.rs", "fn main() {}\n")]);
        assert_eq!(silent, ["xtask/src/main.rs wants to begin with `//!`: what the crate is"]);
        assert_eq!(faults(&[manifest()]), ["xtask has neither src/lib.rs nor src/main.rs"]);
    }

    #[test]
    fn the_root_manifest_is_no_crate() {
        assert_eq!(faults(&[file("Cargo.toml", "[workspace]\n")]), Vec::<String>::new());
    }

    #[test]
    fn a_replaced_crate_of_a_dependency_is_no_member() {
        let manifest = |folder: &str| file(&format!("{folder}/Cargo.toml"), "[package]\n");
        assert_eq!(faults(&[manifest(REPLACED[0])]), Vec::<String>::new());
        assert_eq!(faults(&[manifest("crates/ltx-model/other")]).len(), 2);
    }

    #[test]
    fn built_things_are_no_source() {
        for folder in ["target", "out", "out.1", ".git"] {
            assert!(!is_source(Path::new(folder)), "{folder}");
        }
        assert!(is_source(Path::new("crates/a/out")) && is_source(Path::new("output")));
    }
}
