//! The rehearsal: what could fail for want of memory or disk is tried before the first step, and moves nothing.

use std::time::{Duration, Instant};

use ltx_model::to_host;
use tensor_batch::{LatentSource, Stem};

use super::{Keep, Trainer};
use crate::{
    TrainError,
    memory::{Formats, StepMemory, StepSize},
    optimizer,
    random::Purpose,
    step::{self, StepGradients},
};

/// The example whose step takes the most memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Largest {
    index: usize,
    /// Its name.
    pub example: Stem,
    /// The size of its step.
    pub size: StepSize,
    memory: StepMemory,
}

impl Largest {
    /// The memory that its step takes at its highest, as calculated.
    pub fn memory(&self) -> StepMemory {
        self.memory
    }
}

/// A rehearsal that went well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rehearsal {
    /// How long it took.
    pub time: Duration,
    /// Bytes of a snapshot; 0 if there are to be none.
    pub snapshot_bytes: u64,
}

impl<S: LatentSource> Trainer<'_, S> {
    /// Reads every example once, so that one that cannot be read is found now, and gives the one whose step takes the
    /// most memory.
    ///
    /// # Errors
    /// If an example cannot be read.
    pub fn largest(&self) -> Result<Largest, TrainError<S::Error>> {
        let mut largest: Option<Largest> = None;
        for index in 0..self.source.len() {
            let example = self.source.get(index).map_err(TrainError::Source)?;
            let size = StepSize::of_example(self.model.config(), self.plan, &example);
            let memory = size.memory_in(&Formats::of(self.model), size.kept_bytes_of(self.model));
            let found = Largest { index, example: example.stem().clone(), size, memory };
            if largest.as_ref().is_none_or(|largest| found.memory().total() > largest.memory().total()) {
                largest = Some(found);
            }
        }
        largest.ok_or(TrainError::NoExamples)
    }

    /// Makes the step of `largest` on a copy of the state, and writes a snapshot and removes it again. A run that has no
    /// room for them fails here and not hours later. Nothing is moved: the run goes on as if this had not been.
    ///
    /// # Errors
    /// If the example cannot be read, its loss or a gradient is not finite, or the snapshot cannot be written.
    pub fn rehearse(
        &self,
        largest: &Largest,
        keep: Option<&Keep<'_>>,
    ) -> Result<Rehearsal, TrainError<S::Error>> {
        let start = Instant::now();
        self.rehearse_step(largest)?;
        let written = keep.map(|keep| keep.snapshots.rehearse(&self.state, keep.fingerprint));
        let snapshot_bytes = written.transpose().map_err(TrainError::Snapshot)?.unwrap_or(0);
        Ok(Rehearsal { time: start.elapsed(), snapshot_bytes })
    }

    fn rehearse_step(&self, largest: &Largest) -> Result<(), TrainError<S::Error>> {
        let (example, batch) = self.batch(largest.index, Purpose::Fixed, 0)?;
        let (step, sigma) = (self.state.step, batch.sigma()[0]);
        let not_finite = |what| TrainError::NotFinite { step, what, example: example.clone(), sigma };
        let mut copy = self.state.clone();
        let (mut sum, mut losses) = (None, Vec::new());
        // With the second micro-step, the gradients of the first are held beside it; more would hold no more.
        for _ in 0..self.plan.accumulation.min(2) {
            let StepGradients { loss, gradients } = step::gradients(self.model, &self.state.lora, &batch);
            let gradients = optimizer::side_by_side(gradients);
            sum = Some(optimizer::accumulate(sum, gradients, self.plan.accumulation));
            losses.push(loss);
        }
        let Some(gradients) = sum else { return Err(TrainError::NoExamples) };
        let update = copy.optimizer.prepare(&mut copy.lora);
        let norm = optimizer::global_norm(&gradients);
        if losses.into_iter().any(|loss| !to_host(loss).0[0].is_finite()) {
            return Err(not_finite("rehearsed loss"));
        }
        if !norm.is_finite() {
            return Err(not_finite("rehearsed gradient"));
        }
        let gradients = optimizer::clip(gradients, norm, self.plan.max_grad_norm);
        update.apply(&gradients, self.plan.learning_rate);
        Ok(())
    }
}
