//! Folders: where a run works, and where its results are put.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use crate::{RunError, Stage};

const WORK: &str = ".inpaint-work-";
const LOCK: &str = "lock";

/// A folder for what does not outlive the run, beside the results so that both are on one disk. Gone when dropped; if
/// its process is killed, the next one that works in the same place removes it.
#[derive(Debug)]
pub(crate) struct Work {
    // Before the lock, so that it is gone before anybody can take it for abandoned.
    folder: tempfile::TempDir,
    _lock: File,
}

impl Work {
    /// A new work folder beside `out`.
    pub(crate) fn beside(out: &Path) -> Result<Self, RunError> {
        let parent = folder_of(out);
        fs::create_dir_all(&parent).map_err(RunError::io(Stage::Fetch, &parent))?;
        Self::within(&parent)
    }

    /// A new work folder in `folder`. Abandoned ones there are removed.
    pub(crate) fn within(folder: &Path) -> Result<Self, RunError> {
        remove_abandoned(folder);
        Self::new(folder).map_err(RunError::io(Stage::Fetch, folder))
    }

    fn new(parent: &Path) -> io::Result<Self> {
        // Between its making and its locking, a lock looks abandoned, and another process may remove the folder.
        for _ in 0..100 {
            let folder = tempfile::Builder::new().prefix(WORK).tempdir_in(parent)?;
            let path = folder.path().join(LOCK);
            match File::create_new(&path) {
                Ok(lock) if lock.try_lock().is_ok() && path.exists() => {
                    return Ok(Self { folder, _lock: lock });
                }
                Err(error) if folder.path().exists() => return Err(error),
                _ => {}
            }
        }
        Err(io::Error::other("the work folder is removed as soon as it is made"))
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Removes work folders whose processes are gone: their locks can be taken. What cannot be removed, such as somebody
/// else's, stays; it is in nobody's way.
fn remove_abandoned(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if !is_folder || !entry.file_name().to_string_lossy().starts_with(WORK) {
            continue;
        }
        let path = entry.path();
        let _ = match File::options().append(true).open(path.join(LOCK)) {
            Ok(lock) if lock.try_lock().is_ok() => fs::remove_dir_all(path),
            Ok(_) => Ok(()),
            // One that is empty was ended before it had a lock, or is being made, which then begins again.
            Err(_) => fs::remove_dir(path),
        };
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
    fn an_abandoned_work_folder_is_removed_and_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        // A killed process leaves its folder and its lock, which nobody holds.
        for name in [".inpaint-work-dead", ".inpaint-work-unlocked", "mine"] {
            fs::create_dir_all(at(name).join("media")).unwrap();
            fs::write(at(name).join("media/clip"), "clip").unwrap();
        }
        for name in [".inpaint-work-dead", "mine"] {
            fs::write(at(name).join(LOCK), "").unwrap();
        }
        fs::create_dir(at(".inpaint-work-empty")).unwrap();
        let running = Work::within(dir.path()).unwrap();
        assert!(!at(".inpaint-work-dead").exists() && !at(".inpaint-work-empty").exists());
        let another = Work::beside(&at("out")).unwrap();
        assert!(running.path().exists(), "one at work is left alone");
        let paths = [running.path().to_owned(), another.path().to_owned()];
        drop((running, another));
        assert!(paths.iter().all(|path| !path.exists()));
        assert!(at(".inpaint-work-unlocked").exists() && at("mine").exists());
    }

    #[test]
    fn many_at_once_leave_each_other_alone() {
        let dir = tempfile::tempdir().unwrap();
        let work = || {
            for _ in 0..50 {
                let work = Work::within(dir.path()).unwrap();
                fs::write(work.path().join("mine"), "").unwrap();
                assert!(work.path().join("mine").exists());
            }
        };
        std::thread::scope(|scope| (0..8).for_each(|_| drop(scope.spawn(work))));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_not_followed() {
        let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(elsewhere.path().join(LOCK), "").unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), dir.path().join(".inpaint-work-link")).unwrap();
        Work::within(dir.path()).unwrap();
        assert!(elsewhere.path().join(LOCK).exists());
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
