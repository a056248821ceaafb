//! The one writer of files that outlive the process.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// What a whole write asks of the file system, call by call. Every method does the real thing; a test of what
/// happens when one of them fails implements its own.
pub trait Disk: std::fmt::Debug {
    /// Makes an empty file, in place of one that is there.
    ///
    /// # Errors
    /// Those of the file system, as for every method here.
    fn create(&self, path: &Path) -> io::Result<File> {
        File::create(path)
    }

    /// Appends `bytes`.
    ///
    /// # Errors
    /// Some of the bytes may then have been written.
    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    /// Waits until a file, or the names in a folder, will outlive a loss of power.
    ///
    /// # Errors
    /// Those of the file system.
    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_all()
    }

    /// Puts `from` in the place of `to` in one go.
    ///
    /// # Errors
    /// Those of the file system.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    /// Removes a file.
    ///
    /// # Errors
    /// Those of the file system.
    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }
}

/// The file system as it is.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

impl Disk for RealDisk {}

/// Writes `path` whole or not at all: a temporary file beside it, written, synced, renamed, and the folder synced.
///
/// # Errors
/// Every error of these five. Unless it is the last that failed, `path` is as it was; it is whole in any case.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace(&RealDisk, path, |file| RealDisk.write(file, bytes))
}

/// The same for content that `write` produces piece by piece.
///
/// # Errors
/// As [`write_whole`], and what `write` returns.
pub fn write_whole_with(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    replace(&RealDisk, path, write)
}

/// The same on any disk.
pub(crate) fn replace(
    disk: &dyn Disk,
    path: &Path,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    let part = part_of(path);
    let written = disk.create(&part).and_then(|mut file| {
        write(&mut file)?;
        disk.sync(&file)?;
        disk.rename(&part, path)
    });
    if written.is_err() {
        // It is of no use to anyone; that it cannot be removed either adds nothing to the error.
        let _ = fs::remove_file(&part);
        return written;
    }
    disk.sync(&File::open(folder_of(path))?)
}

/// What a process that was killed left of its writes in `folder`.
pub(crate) fn leftovers(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let is_part = |path: &PathBuf| path.extension().is_some_and(|extension| extension == PART);
    let entries = fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path()));
    entries.filter(|path| path.as_ref().map_or(true, is_part)).collect()
}

const PART: &str = "part";

/// The temporary file of `path`: always the same, so that killed writes do not pile up.
fn part_of(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{PART}"))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;

    /// A disk on which operation `fails_at`, counted from 1 over all of them, does not succeed; a write that fails
    /// has written half.
    #[derive(Debug, Default)]
    pub(crate) struct Faulty {
        pub(crate) fails_at: usize,
        pub(crate) done: Cell<usize>,
        pub(crate) log: RefCell<Vec<&'static str>>,
    }

    impl Faulty {
        pub(crate) fn at(n: usize) -> Self {
            Self { fails_at: n, ..Self::default() }
        }

        fn ask(&self, operation: &'static str) -> io::Result<()> {
            self.log.borrow_mut().push(operation);
            self.done.set(self.done.get() + 1);
            if self.done.get() == self.fails_at {
                return Err(io::Error::other(format!("injected fault of a {operation}")));
            }
            Ok(())
        }
    }

    impl Disk for Faulty {
        fn create(&self, path: &Path) -> io::Result<File> {
            self.ask("create")?;
            RealDisk.create(path)
        }

        fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
            let result = self.ask("write");
            let bytes = if result.is_err() { &bytes[..bytes.len() / 2] } else { bytes };
            RealDisk.write(file, bytes)?;
            result
        }

        fn sync(&self, file: &File) -> io::Result<()> {
            self.ask("sync")?;
            RealDisk.sync(file)
        }

        fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
            self.ask("rename")?;
            RealDisk.rename(from, to)
        }

        fn remove(&self, path: &Path) -> io::Result<()> {
            self.ask("remove")?;
            RealDisk.remove(path)
        }
    }

    fn write(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
        replace(disk, path, |file| disk.write(file, bytes))
    }

    #[test]
    fn content_is_on_disk_before_its_name_is() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Faulty::default();
        write(&disk, &dir.path().join("a"), b"new").unwrap();
        assert_eq!(disk.log.take(), ["create", "write", "sync", "rename", "sync"]);
    }

    #[test]
    fn whichever_operation_fails_the_file_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        for n in 1..=5 {
            write_whole(&path, b"old").unwrap();
            assert!(write(&Faulty::at(n), &path, b"new").is_err());
            let wanted: &[u8] = if n == 5 { b"new" } else { b"old" };
            assert_eq!(fs::read(&path).unwrap(), wanted, "operation {n}");
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left");
        }
        write(&Faulty::at(6), &path, b"new").unwrap();
    }

    #[test]
    fn a_write_that_was_killed_is_found_and_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        fs::write(part_of(&path), b"half").unwrap();
        fs::write(dir.path().join("b"), b"whole").unwrap();
        assert_eq!(leftovers(dir.path()).unwrap(), [part_of(&path)]);
        write_whole(&path, b"all").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"all");
        assert!(leftovers(dir.path()).unwrap().is_empty());
    }
}
