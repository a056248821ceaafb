//! An unfinished run: what it keeps in its own folder of the results, so that it can go on.
//!
//! ```text
//! out/state/
//!   lock         held by the process that works here
//!   run.json     what the run is made of; its presence says that there is something to go on with
//!   latents/     what the encoders made, by content
//!   snapshots/   where the training stood
//!   timings.json how long the stages took so far
//! ```

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

use lora_train::{Difference, Fingerprint, write_whole};

use crate::{
    Detail, RunError, Stage,
    out::{self, Work},
};

const STATE: &str = "state";
const LOCK: &str = "lock";
const RUN: &str = "run.json";

/// Whether `out` holds a run that can go on.
pub fn is_unfinished(out: &Path) -> bool {
    out.join(STATE).join(RUN).is_file()
}

/// An unfinished run. Nobody else works on it while this lives.
#[derive(Debug)]
pub(crate) struct Unfinished {
    folder: PathBuf,
    _lock: File,
}

impl Unfinished {
    /// A new run in `out`, from which an earlier one's results are set aside; gives where they went, too.
    pub(crate) fn begin(out: &Path, fingerprint: &Fingerprint) -> Result<(Self, Option<PathBuf>), RunError> {
        // The lock of an earlier run, if there is one: results of a run that is not over stay where they are.
        let earlier = out.join(STATE);
        let locked = earlier.is_dir().then(|| lock(&earlier)).transpose()?;
        if locked.is_some() && !is_unfinished(out) {
            // A process was killed before there was anything to go on with: that is no run to be set aside.
            fs::remove_dir_all(&earlier).map_err(RunError::io(Stage::EncodeClips, &earlier))?;
        }
        let set_aside = out::claim(out)?;
        drop(locked);
        fs::create_dir_all(&earlier).map_err(RunError::io(Stage::EncodeClips, &earlier))?;
        let unfinished = Self { _lock: lock(&earlier)?, folder: earlier };
        let path = unfinished.folder.join(RUN);
        let json = serde_json::to_vec_pretty(fingerprint).map_err(io::Error::from);
        json.and_then(|json| write_whole(&path, &json)).map_err(RunError::io(Stage::EncodeClips, path))?;
        Ok((unfinished, set_aside))
    }

    /// The run in `out` that was not finished.
    pub(crate) fn reopen(out: &Path) -> Result<Self, RunError> {
        if !is_unfinished(out) {
            let what = if out.join(STATE).is_dir() { "was cleared away" } else { "is not there" };
            let msg = format!(
                "there is nothing to resume in {}: the state of an unfinished run {what}",
                out.display()
            );
            return Err(RunError::rejected(vec![
                Detail::new("value_error", "nothing-to-resume", msg).within("body"),
            ]));
        }
        let folder = out.join(STATE);
        Ok(Self { _lock: lock(&folder)?, folder })
    }

    /// Fails if the run is made of anything else than it was, with every difference.
    pub(crate) fn check(&self, now: &Fingerprint) -> Result<(), RunError> {
        let path = self.folder.join(RUN);
        let before = fs::read(&path).and_then(|json| Ok(serde_json::from_slice::<Fingerprint>(&json)?));
        let differences = before.map_err(RunError::io(Stage::Survey, path))?.differences(now);
        if differences.is_empty() {
            return Ok(());
        }
        Err(RunError::rejected(differences.iter().map(changed).collect()))
    }

    /// Where the encoders' work is kept.
    pub(crate) fn latents(&self) -> PathBuf {
        self.folder.join("latents")
    }

    /// Where snapshots are kept.
    pub(crate) fn snapshots(&self) -> PathBuf {
        self.folder.join("snapshots")
    }

    /// Where it is kept how long the stages took.
    pub(crate) fn timings(&self) -> PathBuf {
        self.folder.join("timings.json")
    }

    /// Ends the run: there is nothing to go on with. The state goes where `work` goes, at once and as a whole if it
    /// can, so that no moment leaves half of it in the results.
    pub(crate) fn finish(self, work: &Work) -> Result<(), RunError> {
        if fs::rename(&self.folder, work.path().join(STATE)).is_ok() {
            return Ok(());
        }
        // The results may be on another disk. What says that there is a run goes first: half of a state is none.
        let removed = fs::remove_file(self.folder.join(RUN)).and_then(|()| fs::remove_dir_all(&self.folder));
        removed.map_err(RunError::io(Stage::Publish, self.folder))
    }
}

fn changed(difference: &Difference) -> Detail {
    let msg = format!("the run cannot be resumed: {difference}");
    Detail::new("value_error", "run-changed", msg).with("part", difference.part.clone()).within("body")
}

fn lock(folder: &Path) -> Result<File, RunError> {
    let path = folder.join(LOCK);
    let file = File::options().create(true).append(true).open(&path);
    let locked = file.and_then(|file| match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(io::Error::other("another process works on this run")),
        Err(TryLockError::Error(error)) => Err(error),
    });
    locked.map_err(RunError::io(Stage::Fetch, path))
}

#[cfg(test)]
mod tests {
    use lora_train::TrainPlan;

    use super::*;

    fn fingerprint() -> Fingerprint {
        Fingerprint::of(&TrainPlan::default())
    }

    fn kinds(result: Result<(), RunError>) -> Vec<(&'static str, String)> {
        match result {
            Err(RunError::Rejected { details, .. }) => {
                details.into_iter().map(|detail| (detail.ctx.kind, detail.msg)).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_run_goes_on_as_what_it_was_until_it_is_finished() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        let nothing = |found: Result<Unfinished, _>| kinds(found.map(drop))[0].0;
        assert_eq!(nothing(Unfinished::reopen(&out)), "nothing-to-resume");
        drop(Unfinished::begin(&out, &fingerprint()).unwrap());
        assert!(is_unfinished(&out));
        let run = Unfinished::reopen(&out).unwrap();
        run.check(&fingerprint()).unwrap();
        let other = Fingerprint::of(&TrainPlan { seed: 7, steps: 9, ..TrainPlan::default() });
        let told = kinds(run.check(&other));
        assert!(told.iter().all(|(kind, _)| *kind == "run-changed"));
        assert!(told[0].1.ends_with("steps was 2000 and is 9 now"), "{told:?}");
        assert!(told[1].1.ends_with("seed was 42 and is 7 now"), "{told:?}");
        run.finish(&Work::beside(&out).unwrap()).unwrap();
        assert_eq!(nothing(Unfinished::reopen(&out)), "nothing-to-resume");
        assert_eq!(fs::read_dir(&out).unwrap().count(), 0);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_state_that_was_hardly_begun_is_no_run_to_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        fs::create_dir_all(out.join(STATE)).unwrap();
        fs::write(out.join(STATE).join(LOCK), "").unwrap();
        let (_run, set_aside) = Unfinished::begin(&out, &fingerprint()).unwrap();
        assert_eq!(set_aside, None);
        assert!(is_unfinished(&out));
    }

    #[test]
    fn one_process_at_a_time_works_on_a_run() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        let (running, _) = Unfinished::begin(&out, &fingerprint()).unwrap();
        assert!(matches!(Unfinished::reopen(&out), Err(RunError::Failed { .. })));
        assert!(matches!(Unfinished::begin(&out, &fingerprint()), Err(RunError::Failed { .. })));
        assert!(!dir.path().join("out.1").exists());
        drop(running);
        let (_, set_aside) = Unfinished::begin(&out, &fingerprint()).unwrap();
        assert!(is_unfinished(&set_aside.unwrap()), "it can still go on, where it lies now");
    }
}
