//! I/O faults: the n-th operation of the disk during a save fails, for every n, and the snapshot before always loads.

use std::{
    collections::BTreeMap,
    fs,
    fs::File,
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use lora_train::{
    Disk, Fingerprint, LatentCache, RealDisk, Snapshots, TrainPlan, TrainState, Trainer, adapters,
};
use ltx_model::{BasePrecision, Checkpoint, Device, Transformer};
use tensor_batch::Rank;

use super::{
    CrashError,
    control::copy,
    worker::{STEPS, assets},
};

/// A disk whose operation number `fails_at`, counted from 1, does not succeed; a write that fails has written half.
#[derive(Debug)]
struct Faulty {
    fails_at: usize,
    done: Arc<AtomicUsize>,
}

impl Faulty {
    fn ask(&self, operation: &str) -> io::Result<()> {
        if self.done.fetch_add(1, Ordering::Relaxed) + 1 == self.fails_at {
            return Err(io::Error::other(format!("injected fault of a {operation}")));
        }
        Ok(())
    }
}

impl Disk for Faulty {
    fn create(&self, path: &Path) -> io::Result<File> {
        self.ask("create").and_then(|()| RealDisk.create(path))
    }

    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        let asked = self.ask("write");
        let written = if asked.is_err() { &bytes[..bytes.len() / 2] } else { bytes };
        RealDisk.write(file, written).and(asked)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        self.ask("sync").and_then(|()| RealDisk.sync(file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.ask("rename").and_then(|()| RealDisk.rename(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.ask("remove").and_then(|()| RealDisk.remove(path))
    }
}

/// Takes the state of the unfinished run in `out` one step further and saves it, each time with another operation
/// failing, until none does. Gives how many were tried, and what was wrong.
pub(super) fn run(out: &Path, folder: &Path) -> Result<(usize, Vec<String>), CrashError> {
    let case = Case::of(out)?;
    let mut faults = Vec::new();
    for n in 1.. {
        let folder = folder.join(n.to_string());
        copy(&out.join(SNAPSHOTS), &folder)?;
        let done = Arc::new(AtomicUsize::new(0));
        let disk = Faulty { fails_at: n, done: done.clone() };
        let snapshots = Snapshots::on(disk, &folder).map_err(product)?;
        let saved = snapshots.save(&case.after, &case.fingerprint);
        faults
            .extend(case.fault(&folder, saved.is_ok())?.map(|fault| format!("disk operation {n}: {fault}")));
        fs::remove_dir_all(&folder)?;
        if done.load(Ordering::Relaxed) < n {
            saved.map_err(product)?;
            return Ok((n - 1, faults));
        }
        if saved.is_ok() {
            faults.push(format!("disk operation {n}: its failure was not told"));
        }
    }
    Ok((0, faults))
}

const SNAPSHOTS: &str = "state/snapshots";

/// A run whose newest snapshot is `before`, and which is to save `after`.
struct Case {
    model: Transformer,
    plan: TrainPlan,
    fingerprint: Fingerprint,
    before: TrainState,
    after: TrainState,
}

impl Case {
    fn of(out: &Path) -> Result<Self, CrashError> {
        let checkpoint = Checkpoint::open(&assets("tiny/tiny-ltx-2.3.safetensors")).map_err(product)?;
        let model =
            Transformer::load(&checkpoint, &Device::flex(), BasePrecision::Float32).map_err(product)?;
        let plan = TrainPlan { rank: Rank::R8, steps: STEPS, ..TrainPlan::default() };
        let latest = Snapshots::open(&out.join(SNAPSHOTS)).and_then(|snapshots| snapshots.latest());
        let snapshot = latest.map_err(product)?.snapshot;
        let snapshot = snapshot.ok_or_else(|| CrashError::Worker("left no snapshot".to_owned()))?;
        let fingerprint = snapshot.fingerprint().clone();
        let before = snapshot.restore(&fingerprint, &plan, &model).map_err(product)?;
        let latents = LatentCache::open(&out.join("state/latents")).map_err(product)?;
        let after = {
            let mut trainer = Trainer::new(&latents, &model, &plan, before.clone()).map_err(product)?;
            trainer.step().map_err(product)?;
            trainer.state().clone()
        };
        Ok(Self { model, plan, fingerprint, before, after })
    }

    /// What is wrong with the snapshots in `folder`: the newest must load whole, and be the new one if its save was said
    /// to have succeeded.
    fn fault(&self, folder: &Path, is_saved: bool) -> Result<Option<String>, CrashError> {
        let latest = Snapshots::open(folder).and_then(|snapshots| snapshots.latest()).map_err(product)?;
        if let Some(damaged) = latest.damaged.first() {
            return Ok(Some(damaged.to_string()));
        }
        let Some(snapshot) = latest.snapshot else { return Ok(Some("no snapshot is left".to_owned())) };
        let found = match snapshot.restore(&self.fingerprint, &self.plan, &self.model) {
            Ok(found) => found,
            Err(error) => return Ok(Some(error.to_string())),
        };
        let found = bytes(&found)?;
        let is_whole = found == bytes(&self.after)? || !is_saved && found == bytes(&self.before)?;
        Ok((!is_whole).then(|| format!("the snapshot of step {} holds something else", snapshot.step())))
    }
}

/// The adapters of a state, by which states are told apart.
fn bytes(state: &TrainState) -> Result<Vec<u8>, CrashError> {
    adapters::to_safetensors(state.lora(), &BTreeMap::new()).map_err(product)
}

fn product(error: impl std::error::Error + Send + Sync + 'static) -> CrashError {
    CrashError::Product(Box::new(error))
}
