//! A folder of its own for a test, and calls of the command in it.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;
use zip::{ZipWriter, write::SimpleFileOptions};

/// The folder; its name has a space, which paths and URLs must survive.
pub(crate) struct Sandbox(TempDir);

impl Sandbox {
    pub(crate) fn new() -> Self {
        Self(tempfile::Builder::new().prefix("inpaint test ").tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A file's content.
    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// The names of everything in the folder.
    pub(crate) fn entries(&self) -> Vec<String> {
        let name = |entry: Result<fs::DirEntry, _>| entry.unwrap().file_name().into_string().unwrap();
        let mut names: Vec<String> = fs::read_dir(self.0.path()).unwrap().map(name).collect();
        names.sort();
        names
    }

    /// An archive of files of the sample clips, each under the name given for it.
    pub(crate) fn archive(&self, name: &str, files: &[(&str, &str)]) {
        let files: Vec<_> =
            files.iter().map(|(name, clip)| (*name, fs::read(clips(clip)).unwrap())).collect();
        self.archive_of(name, &files);
    }

    /// An archive of names and contents.
    pub(crate) fn archive_of(&self, name: &str, files: &[(&str, Vec<u8>)]) {
        let mut zip = ZipWriter::new(File::create_new(self.path(name)).unwrap());
        for (name, content) in files {
            zip.start_file(*name, SimpleFileOptions::default()).unwrap();
            zip.write_all(content).unwrap();
        }
        zip.finish().unwrap();
    }

    /// Starts the command in the folder, where temporary files go too.
    pub(crate) fn start(&self, args: &[impl AsRef<OsStr>]) -> Child {
        self.start_with(args, &[])
    }

    /// The same with more in its environment.
    pub(crate) fn start_with(&self, args: &[impl AsRef<OsStr>], environment: &[(&str, &str)]) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_inpaint"));
        command.args(args).current_dir(self.0.path()).env("TMPDIR", self.0.path());
        for name in ["INPAINT_ASSETS", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
            command.env_remove(name);
        }
        command.envs(environment.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Waits for the end of a call. However it ended, nothing is left of the folder that it worked in.
    pub(crate) fn finish(&self, child: Child) -> Call {
        let output = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let call =
            Call { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) };
        let left = self.work_folders();
        assert!(left.is_empty(), "left behind: {left:?}");
        assert!(!call.stderr.contains("panicked"), "{}", call.stderr);
        call
    }

    /// Kills a call at once; the folder that it worked in is left to the next call.
    pub(crate) fn kill(&self, mut child: Child) {
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(self.work_folders().len() <= 1);
    }

    fn work_folders(&self) -> Vec<String> {
        self.entries().into_iter().filter(|name| name.starts_with(".inpaint-work-")).collect()
    }

    /// Runs the command to its end.
    pub(crate) fn inpaint(&self, args: &[&str]) -> Call {
        self.finish(self.start(args))
    }

    /// Runs the command with `--json`; gives the exit code and the answer.
    pub(crate) fn json(&self, args: &[&str]) -> (i32, Value) {
        let call = self.inpaint(&[args, &["--json"]].concat());
        (call.code.unwrap(), call.answer())
    }
}

/// A call that has ended.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Call {
    /// The one JSON object on stdout, where nothing else is.
    pub(crate) fn answer(&self) -> Value {
        let answer: Value = serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {self:?}"));
        for list in ["examples", "dropped", "warnings", "detail"] {
            assert!(answer[list].is_array(), "{list} in {answer}");
        }
        assert!(answer["outcome"].is_string() && answer["billable_units"].is_u64(), "{answer}");
        answer
    }
}

fn workspace(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// A sample clip, or a mask.
pub(crate) fn clips(name: &str) -> PathBuf {
    workspace("tests/clips").join(name)
}

/// A sample archive.
pub(crate) fn bad_inputs(name: &str) -> PathBuf {
    workspace("tests/bad-inputs").join(name)
}

/// What comes with the program.
pub(crate) fn assets(name: &str) -> String {
    workspace("assets").join(name).to_str().unwrap().to_owned()
}

/// `key` of every element of a list in an answer.
pub(crate) fn each<'a>(answer: &'a Value, list: &str, key: &str) -> Vec<&'a str> {
    let elements = answer[list].as_array().unwrap_or_else(|| panic!("{list} in {answer}"));
    elements.iter().map(|one| one[key].as_str().unwrap()).collect()
}

/// The kinds of the faults of a rejection.
pub(crate) fn kinds(answer: &Value) -> Vec<&str> {
    answer["detail"].as_array().unwrap().iter().map(|fault| fault["ctx"]["kind"].as_str().unwrap()).collect()
}

/// The places of the faults of a rejection, as in `validation.0.prompt`; `""` is the request as a whole.
pub(crate) fn places(answer: &Value) -> Vec<String> {
    let place = |fault: &Value| {
        let parts = fault["loc"].as_array().unwrap().iter();
        let names: Vec<String> =
            parts.map(|part| part.as_str().map_or_else(|| part.to_string(), str::to_owned)).collect();
        let (body, inside) = names.split_first().unwrap();
        assert_eq!(body, "body");
        inside.join(".")
    };
    answer["detail"].as_array().unwrap().iter().map(place).collect()
}

/// Asserts that an answer is a rejection that costs nothing.
pub(crate) fn assert_rejected((code, answer): &(i32, Value)) {
    assert_eq!((*code, &answer["outcome"]), (2, &"reject".into()), "{answer}");
    assert_eq!(answer["billable_units"], 0);
    assert!(answer.get("files").is_none());
    let faults = answer["detail"].as_array().unwrap();
    assert!(!faults.is_empty(), "{answer}");
    for fault in faults {
        assert!(fault["msg"].is_string() && fault["type"].is_string(), "{fault}");
    }
}
