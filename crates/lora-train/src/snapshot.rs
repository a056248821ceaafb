//! Snapshots: a run on disk, so that it can go on after whatever ended it.
//!
//! One sealed `.safetensors` file each, `snapshot-<step>.safetensors`: the adapters in float32 (`lora.*`), both
//! moments (`exp_avg.*`, `exp_avg_sq.*`), and in the metadata the step, the optimiser's updates, the losses not yet
//! reported, and the run's [`Fingerprint`]. The newest [`Snapshots::KEPT`] are kept.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use burn::tensor::{Tensor, TensorData};
use ltx_model::{Transformer, to_host};
use safetensors::Dtype;
use tensor_batch::{Blame, Fault};

use crate::{
    Difference, Fingerprint, TrainPlan, TrainState, adapters,
    files::{Disk, RealDisk, leftovers},
    losses::LossSum,
    optimizer::Optimizer,
    sealed::{self, Entry, Sealed, bytes_of},
};

const FORMAT: &str = "inpainting LoRA snapshot 1";

/// Why a snapshot was not written, or a run cannot go on from one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// A file or folder cannot be read or written.
    #[error("cannot access {}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The state is of no use, so it was not written.
    #[error("the state after step {step} was not saved: {tensor} is not finite")]
    NotFinite {
        /// Optimiser steps done.
        step: usize,
        /// The tensor.
        tensor: String,
    },
    /// The snapshot is of another run.
    #[error("the snapshot is of another run: {}", list(differences))]
    Changed {
        /// What differs, at least one thing.
        differences: Vec<Difference>,
    },
    /// The snapshot's tensors are not those that the model takes.
    #[error("{} does not fit the model: {reason}", path.display())]
    Unfit {
        /// The snapshot.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

fn list(differences: &[Difference]) -> String {
    differences.iter().map(Difference::to_string).collect::<Vec<_>>().join("; ")
}

impl SnapshotError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { path: path.to_owned(), source }
    }
}

impl Blame for SnapshotError {
    fn fault(&self) -> Fault {
        match self {
            Self::Changed { .. } => Fault::Request,
            Self::Io { .. } | Self::NotFinite { .. } | Self::Unfit { .. } => Fault::Service,
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Io { .. } => "snapshot-io",
            Self::NotFinite { .. } => "not-finite",
            Self::Changed { .. } => "run-changed",
            Self::Unfit { .. } => "snapshot-unfit",
        }
    }
}

/// A folder of snapshots of one run.
#[derive(Debug)]
pub struct Snapshots {
    folder: PathBuf,
    disk: Box<dyn Disk>,
}

/// What [`Snapshots::latest`] found.
#[derive(Debug)]
pub struct Latest {
    /// The newest undamaged snapshot, if there is one.
    pub snapshot: Option<Snapshot>,
    /// Newer ones that are damaged, the newest first. Something to warn of.
    pub damaged: Vec<DamagedSnapshot>,
}

/// A snapshot that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the snapshot of step {step} is damaged ({reason}); it is now {}", path.display())]
pub struct DamagedSnapshot {
    /// Optimiser steps done, as its name says.
    pub step: usize,
    /// Where it was put aside.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

impl Snapshots {
    /// How many snapshots are kept: when the newest turns out damaged, there is the one before.
    pub const KEPT: usize = 2;

    /// The snapshots in `folder`, which is made if it is missing.
    ///
    /// # Errors
    /// If the folder cannot be made or read.
    pub fn open(folder: &Path) -> Result<Self, SnapshotError> {
        Self::on(RealDisk, folder)
    }

    /// The same on any disk.
    ///
    /// # Errors
    /// If the folder cannot be made or read.
    pub fn on(disk: impl Disk + 'static, folder: &Path) -> Result<Self, SnapshotError> {
        let clean = || {
            fs::create_dir_all(folder)?;
            leftovers(folder)?.iter().try_for_each(fs::remove_file)
        };
        clean().map_err(SnapshotError::io(folder))?;
        Ok(Self { folder: folder.to_owned(), disk: Box::new(disk) })
    }

    /// Writes a snapshot, whole or not at all, and then removes all but the newest ones.
    ///
    /// # Errors
    /// If the state is not finite, or a file cannot be written or removed. Snapshots before this one are then as
    /// they were.
    pub fn save(&self, state: &TrainState, fingerprint: &Fingerprint) -> Result<(), SnapshotError> {
        if let Some(tensor) = state.not_finite() {
            return Err(SnapshotError::NotFinite { step: state.step, tensor });
        }
        self.write(&self.path(state.step), state, fingerprint)?;
        self.remove_old(state.step)
    }

    /// Writes a snapshot under another name and removes it again; gives its bytes. Snapshots stay as they were.
    ///
    /// # Errors
    /// If the file cannot be written or removed.
    pub fn rehearse(&self, state: &TrainState, fingerprint: &Fingerprint) -> Result<u64, SnapshotError> {
        // Named as a write that is not done, so that one that is killed here is cleared away.
        let path = self.folder.join("rehearsal.part");
        self.write(&path, state, fingerprint)?;
        let length = fs::metadata(&path).map(|file| file.len());
        let length = length.map_err(SnapshotError::io(&path))?;
        self.disk.remove(&path).map_err(SnapshotError::io(&path))?;
        Ok(length)
    }

    /// How many snapshots there are, damaged ones too.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn count(&self) -> Result<usize, SnapshotError> {
        self.steps().map(|steps| steps.len())
    }

    fn write(&self, path: &Path, state: &TrainState, fingerprint: &Fingerprint) -> Result<(), SnapshotError> {
        let entries: Vec<Entry<'_>> = state.tensors().into_iter().map(entry).collect();
        let written = metadata(state, fingerprint)
            .and_then(|metadata| sealed::write(self.disk.as_ref(), path, &metadata, &entries));
        written.map_err(SnapshotError::io(path))
    }

    /// The newest snapshot that is whole. Damaged ones are put aside under another name.
    ///
    /// # Errors
    /// If the folder cannot be read, or a damaged snapshot cannot be put aside.
    pub fn latest(&self) -> Result<Latest, SnapshotError> {
        let mut damaged = Vec::new();
        let steps = self.steps()?;
        for step in steps.into_iter().rev() {
            match Snapshot::read(&self.path(step), step) {
                Ok(snapshot) => return Ok(Latest { snapshot: Some(snapshot), damaged }),
                Err(reason) => damaged.push(self.put_aside(step, reason)?),
            }
        }
        Ok(Latest { snapshot: None, damaged })
    }

    fn put_aside(&self, step: usize, reason: String) -> Result<DamagedSnapshot, SnapshotError> {
        let from = self.path(step);
        let path = from.with_extension("damaged");
        self.disk.rename(&from, &path).map_err(SnapshotError::io(&from))?;
        Ok(DamagedSnapshot { step, path, reason })
    }

    /// Removes all but the newest up to `step`: any after it are of a run that this one has replaced.
    fn remove_old(&self, step: usize) -> Result<(), SnapshotError> {
        let (mut old, replaced): (Vec<_>, Vec<_>) = self.steps()?.into_iter().partition(|at| *at <= step);
        old.truncate(old.len().saturating_sub(Self::KEPT));
        for step in old.into_iter().chain(replaced) {
            let path = self.path(step);
            self.disk.remove(&path).map_err(SnapshotError::io(&path))?;
        }
        Ok(())
    }

    /// The steps that there is a file of, in order.
    fn steps(&self) -> Result<Vec<usize>, SnapshotError> {
        let entries = fs::read_dir(&self.folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let names = entries.map_err(SnapshotError::io(&self.folder))?;
        let step = |entry: &fs::DirEntry| {
            let name = entry.file_name();
            name.to_str()?.strip_prefix("snapshot-")?.strip_suffix(".safetensors")?.parse().ok()
        };
        let mut steps: Vec<usize> = names.iter().filter_map(step).collect();
        steps.sort_unstable();
        Ok(steps)
    }

    fn path(&self, step: usize) -> PathBuf {
        self.folder.join(format!("snapshot-{step:06}.safetensors"))
    }
}

fn entry((name, tensor): (String, &Tensor<2>)) -> Entry<'_> {
    let bytes = || bytes_of(&to_host(tensor.clone()).0);
    Entry { name, dtype: Dtype::F32, shape: tensor.dims().into(), bytes: Box::new(bytes) }
}

fn metadata(state: &TrainState, fingerprint: &Fingerprint) -> io::Result<BTreeMap<String, String>> {
    let entries = [
        ("format", FORMAT.to_owned()),
        ("step", state.step.to_string()),
        ("updates", state.optimizer.updates().to_string()),
        ("losses", serde_json::to_string(&state.losses)?),
        ("fingerprint", serde_json::to_string(fingerprint)?),
    ];
    Ok(entries.map(|(key, value)| (key.to_owned(), value)).into())
}

/// A snapshot in memory, undamaged.
#[derive(Debug)]
pub struct Snapshot {
    file: Sealed,
    step: usize,
    updates: i32,
    losses: LossSum,
    fingerprint: Fingerprint,
}

impl Snapshot {
    /// Reads the snapshot that is named after `step`.
    fn read(path: &Path, step: usize) -> Result<Self, String> {
        let file = Sealed::read(path).map_err(|e| e.to_string())?;
        let format = file.metadata("format")?;
        if format != FORMAT {
            return Err(format!("its format is `{format}`, not `{FORMAT}`"));
        }
        if file.parsed::<usize>("step")? != step {
            return Err(format!("it is of step {}", file.metadata("step")?));
        }
        Ok(Self {
            step,
            updates: file.parsed("updates")?,
            losses: serde_json::from_str(file.metadata("losses")?).map_err(|e| e.to_string())?,
            fingerprint: serde_json::from_str(file.metadata("fingerprint")?).map_err(|e| e.to_string())?,
            file,
        })
    }

    /// Optimiser steps done.
    pub fn step(&self) -> usize {
        self.step
    }

    /// What the run was made of.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// The state, on the model's device, for a run whose fingerprint is the same.
    ///
    /// # Errors
    /// If the fingerprint differs, which names every difference, or the tensors are not those of `model`.
    pub fn restore(
        &self,
        fingerprint: &Fingerprint,
        plan: &TrainPlan,
        model: &Transformer,
    ) -> Result<TrainState, SnapshotError> {
        let differences = self.fingerprint.differences(fingerprint);
        if !differences.is_empty() {
            return Err(SnapshotError::Changed { differences });
        }
        let lora = adapters::zeros(model.config(), plan.rank, model.device());
        let mut optimizer = Optimizer::new(plan.adamw(), &lora);
        optimizer.updates = self.updates;
        let mut state = TrainState { step: self.step, lora, optimizer, losses: self.losses };
        for (name, tensor) in state.tensors_mut() {
            self.fill(&name, tensor)
                .map_err(|reason| SnapshotError::Unfit { path: self.file.path().to_owned(), reason })?;
        }
        Ok(state)
    }

    /// Puts the values of `name` in the place of a tensor of the same shape.
    fn fill(&self, name: &str, tensor: &mut Tensor<2>) -> Result<(), String> {
        let (values, shape) = self.file.floats(name)?;
        if shape != tensor.dims() {
            return Err(format!("`{name}` is {shape:?}, not {:?}", tensor.dims()));
        }
        *tensor = Tensor::from_data(TensorData::new(values, shape), &tensor.device());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::tests::Faulty;

    fn model() -> Transformer {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/tiny/tiny-ltx-2.3.safetensors");
        let checkpoint = ltx_model::Checkpoint::open(&path).unwrap();
        Transformer::load(&checkpoint, &ltx_model::Device::flex(), ltx_model::BasePrecision::Float32).unwrap()
    }

    /// A state after `step` steps whose every value is `value`.
    fn state(model: &Transformer, plan: &TrainPlan, step: usize, value: f64) -> TrainState {
        let mut state = TrainState { step, ..TrainState::new(model, plan) };
        for (_, tensor) in state.tensors_mut() {
            *tensor = tensor.zeros_like() + value;
        }
        state
    }

    fn value(state: &TrainState) -> f32 {
        let tensors = state.tensors();
        let values: Vec<f32> = tensors.iter().flat_map(|(_, tensor)| to_host((*tensor).clone()).0).collect();
        assert!(values.iter().all(|value| *value == values[0]), "a mixture of two snapshots");
        values[0]
    }

    #[test]
    fn whichever_write_sync_or_rename_fails_a_whole_snapshot_loads() {
        let plan = TrainPlan { rank: tensor_batch::Rank::R8, ..TrainPlan::default() };
        let (model, fingerprint) = (model(), Fingerprint::of(&plan));
        let before = tempfile::tempdir().unwrap();
        let snapshots = Snapshots::open(before.path()).unwrap();
        for (step, value) in [(10, 1.0), (20, 2.0)] {
            snapshots.save(&state(&model, &plan, step, value), &fingerprint).unwrap();
        }
        let new = state(&model, &plan, 30, 3.0);
        let mut faults = 0;
        loop {
            let dir = tempfile::tempdir().unwrap();
            for step in [10, 20] {
                fs::copy(snapshots.path(step), dir.path().join(snapshots.path(step).file_name().unwrap()))
                    .unwrap();
            }
            let n = faults + 1;
            let saved = Snapshots::on(Faulty::at(n), dir.path()).unwrap().save(&new, &fingerprint);
            let latest = Snapshots::open(dir.path()).unwrap().latest().unwrap();
            assert!(latest.damaged.is_empty(), "operation {n}: {:?}", latest.damaged);
            let found = latest.snapshot.unwrap().restore(&fingerprint, &plan, &model).unwrap();
            assert!(matches!((found.step(), value(&found)), (20, 2.0) | (30, 3.0)), "operation {n}");
            if saved.is_ok() {
                assert_eq!(found.step(), 30);
                break;
            }
            faults = n;
        }
        // 32 modules of 2 factors with 2 moments each; header and seal; create, sync, rename, sync, remove.
        assert_eq!(faults, 32 * 2 * 3 + 2 + 5);
    }
}
