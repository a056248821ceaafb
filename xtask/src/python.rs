//! Python environments of the chores that compare with other people's programs.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{Failure, run};
use crate::probe;

/// A Python environment with the packages of one requirements file.
pub(crate) struct Python {
    folder: PathBuf,
}

impl Python {
    /// The environment in `folder`, made once for each state of the requirements.
    pub(crate) fn prepare(folder: &Path, requirements: &Path) -> Result<Self, Failure> {
        let environment = Self { folder: folder.to_owned() };
        let wanted = fs::read_to_string(requirements).map_err(|e| cannot("read", requirements, &e))?;
        let stamp = folder.join("requirements.txt");
        if fs::read_to_string(&stamp).is_ok_and(|made| made == wanted) {
            return Ok(environment);
        }
        let mut venv = Command::new(any_python()?);
        venv.args(["-m", "venv", "--clear"]).arg(folder);
        run(venv)?;
        let mut pip = environment.command("-m");
        pip.args(["pip", "install", "--quiet", "--requirement"]).arg(requirements);
        run(pip)?;
        fs::write(&stamp, wanted).map_err(|error| cannot("write", &stamp, &error))?;
        Ok(environment)
    }

    /// Its interpreter.
    pub(crate) fn interpreter(&self) -> PathBuf {
        self.folder.join("bin").join("python")
    }

    /// Its interpreter with a first argument, ready for more.
    pub(crate) fn command(&self, script: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(self.interpreter());
        command.arg(script);
        command
    }
}

/// A Python to begin with.
pub(crate) fn any_python() -> Result<&'static str, Failure> {
    let found = ["python3.11", "python3"].into_iter().find(|name| probe::runs(name, &["--version"]));
    found.ok_or_else(|| Failure::new("the other side of this comparison is Python's: python3 is needed"))
}

/// Why something cannot be done with a file.
pub(crate) fn cannot(what: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("cannot {what} {}: {error}", path.display()))
}
