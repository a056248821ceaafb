//! Negative controls: states spoilt in the ways in which a resume could be wrong. The judge must notice each.

use std::{fs, io, path::Path};

use super::{
    Control, CrashError,
    judge::Results,
    process::{End, Worker},
    spoil::{SnapshotFile, with_part},
    worker::{Line, Orders, STEPS},
};

/// The seed that takes the place of the run's in the control of draws.
const OTHER_SEED: u64 = 7;

/// A way to spoil the state in a folder of results, and the seed to go on with.
type Spoil = fn(&Path, u64) -> Result<u64, CrashError>;

/// All of them; the first one spoils nothing and must not be noticed, or the others prove nothing.
const CONTROLS: [(&str, bool, Spoil); 4] = [
    ("sealed again, unchanged", false, unchanged),
    ("moments zeroed", true, moments_zeroed),
    ("step off by one", true, step_off_by_one),
    ("another draw", true, another_draw),
];

/// A run in `out` that was killed in its middle.
pub(super) fn middle(out: &Path, seed: u64) -> Result<(), CrashError> {
    let mut worker = Worker::start(&Orders { out: out.to_owned(), resume: false, seed })?;
    if !worker.wait_for(|line| matches!(line, Line::Saved(step) if *step >= STEPS / 2))? {
        return Err(CrashError::Worker(format!("ended before step {}", STEPS / 2)));
    }
    worker.kill().map(drop)
}

/// Spoils copies of what the run in `middle` left, and lets each go on to its end.
pub(super) fn run(
    middle: &Path,
    folder: &Path,
    seed: u64,
    wanted: &Results,
) -> Result<Vec<Control>, CrashError> {
    let control = |(name, is_spoilt, spoil): (&'static str, bool, Spoil)| {
        let out = folder.join(name.replace([' ', ','], "-"));
        copy(middle, &out)?;
        let seed = spoil(&out, seed)?;
        let mut worker = Worker::start(&Orders { out: out.clone(), resume: true, seed })?;
        match worker.end()? {
            End::Done => {}
            ended => return Err(CrashError::Worker(format!("did not go on from `{name}`: {ended:?}"))),
        }
        let is_noticed = !Results::read(&out)?.is_same_lora(wanted);
        Ok(Control { name, is_spoilt, is_noticed })
    };
    CONTROLS.into_iter().map(control).collect()
}

fn unchanged(out: &Path, seed: u64) -> Result<u64, CrashError> {
    SnapshotFile::newest(out)?.write()?;
    Ok(seed)
}

fn moments_zeroed(out: &Path, seed: u64) -> Result<u64, CrashError> {
    let mut snapshot = SnapshotFile::newest(out)?;
    // `exp_avg.` and `exp_avg_sq.`
    let tensors = snapshot.zero("exp_avg");
    if tensors == 0 {
        return Err(no(out, "the snapshot has no moments"));
    }
    snapshot.write()?;
    Ok(seed)
}

fn step_off_by_one(out: &Path, seed: u64) -> Result<u64, CrashError> {
    let mut snapshot = SnapshotFile::newest(out)?;
    let step = snapshot.metadata("step").and_then(|step| step.parse::<usize>().ok());
    let step = step.ok_or_else(|| no(out, "the snapshot has no step"))? + 1;
    snapshot.set_metadata("step", &step.to_string());
    snapshot.rename(step)?;
    snapshot.write()?;
    Ok(seed)
}

/// As if the draws of the rest were made of something else than before: the run goes on with another seed, and its
/// fingerprints agree with it.
fn another_draw(out: &Path, _: u64) -> Result<u64, CrashError> {
    let seed = OTHER_SEED.to_string();
    let reseeded = |fingerprint: &str| {
        with_part(fingerprint, "seed", &seed).ok_or_else(|| no(out, "a fingerprint has no seed"))
    };
    let mut snapshot = SnapshotFile::newest(out)?;
    let fingerprint = snapshot.metadata("fingerprint").map(reseeded);
    let fingerprint = fingerprint.unwrap_or_else(|| Err(no(out, "the snapshot has no fingerprint")))?;
    snapshot.set_metadata("fingerprint", &fingerprint);
    snapshot.write()?;
    let run = out.join("state/run.json");
    fs::write(&run, reseeded(&fs::read_to_string(&run)?)?)?;
    Ok(OTHER_SEED)
}

fn no(out: &Path, reason: &str) -> CrashError {
    CrashError::Spoil { path: out.to_owned(), reason: reason.to_owned() }
}

/// Copies a folder with all that is in it.
pub(super) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}
