//! Folders: where a run works, and where its results are put.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{RunError, Stage};

/// A folder for what does not outlive the run, beside the results so that both are on one disk. Gone when dropped.
#[derive(Debug)]
pub(crate) struct Work(tempfile::TempDir);

impl Work {
    /// A new work folder beside `out`.
    pub(crate) fn beside(out: &Path) -> Result<Self, RunError> {
        let parent = folder_of(out);
        fs::create_dir_all(&parent).map_err(RunError::io(Stage::Fetch, &parent))?;
        Self::within(&parent)
    }

    /// A new work folder in `folder`.
    pub(crate) fn within(folder: &Path) -> Result<Self, RunError> {
        let made = tempfile::Builder::new().prefix(".inpaint-work-").tempdir_in(folder);
        made.map(Self).map_err(RunError::io(Stage::Fetch, folder))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

/// The folder that `path` is or would be in.
pub(crate) fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// Makes `out` anew. What an earlier run left there is set aside as `out.1`, `out.2`, ...: nothing is overwritten.
/// Returns where it went.
pub(crate) fn claim(out: &Path) -> Result<Option<PathBuf>, RunError> {
    let set_aside = set_aside(out).map_err(RunError::io(Stage::Publish, out))?;
    fs::create_dir_all(out).map_err(RunError::io(Stage::Publish, out))?;
    Ok(set_aside)
}

fn set_aside(out: &Path) -> io::Result<Option<PathBuf>> {
    match fs::read_dir(out).map(|mut entries| entries.next().is_none()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
        Ok(true) => return Ok(None),
        Ok(false) => {}
    }
    for number in 1u32.. {
        let mut name = out.as_os_str().to_owned();
        name.push(format!(".{number}"));
        let aside = PathBuf::from(name);
        if !aside.try_exists()? {
            fs::rename(out, &aside)?;
            return Ok(Some(aside));
        }
    }
    Err(io::Error::other("there are too many earlier runs"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn earlier_runs_are_set_aside_and_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        assert_eq!(claim(&out).unwrap(), None);
        assert_eq!(claim(&out).unwrap(), None, "an empty folder holds nothing");
        for run in 1..4 {
            fs::write(out.join("run"), run.to_string()).unwrap();
            let aside = claim(&out).unwrap().unwrap();
            assert_eq!(aside, dir.path().join(format!("out.{run}")));
            assert_eq!(fs::read_to_string(aside.join("run")).unwrap(), run.to_string());
        }
    }

    #[test]
    fn a_file_in_the_way_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        fs::write(&out, "mine").unwrap();
        assert!(claim(&out).is_err());
        assert_eq!(fs::read_to_string(&out).unwrap(), "mine");
    }
}
