//! What a run tells while it runs, and how it is stopped.

use std::{
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use lora_train::TrainEvent;

use crate::{RunError, Warning};

/// The stages of a run, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// The archive comes here; units are bytes.
    Fetch,
    /// Examples come out of the archive; one unit.
    Unpack,
    /// Every clip is decoded once and laid over its mask; units are examples.
    Survey,
    /// Validation samples are fetched and checked; units are samples.
    Validation,
    /// Clips become latents; units are clips.
    EncodeClips,
    /// Prompts become contexts; units are distinct prompts.
    EncodePrompts,
    /// Latents teach the adapters; units are steps.
    Train,
    /// Files are written; one unit.
    Publish,
}

impl Stage {
    /// What the stage does, in two or three words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fetch => "fetching data",
            Self::Unpack => "unpacking",
            Self::Survey => "checking clips",
            Self::Validation => "checking samples",
            Self::EncodeClips => "encoding clips",
            Self::EncodePrompts => "encoding prompts",
            Self::Train => "training",
            Self::Publish => "writing files",
        }
    }
}

/// What happens during a run.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A stage begins; `total` units are to be done, 0 if that is not known.
    Started {
        /// The stage.
        stage: Stage,
        /// Its units.
        total: u64,
    },
    /// So many units of a stage are done.
    Progress {
        /// The stage.
        stage: Stage,
        /// Units done.
        done: u64,
    },
    /// A stage is over.
    Finished {
        /// The stage.
        stage: Stage,
    },
    /// Something that is no fault and that the user should know.
    Warned(Warning),
    /// What training tells.
    Trained(TrainEvent),
}

/// Stops a run from another thread, at the next clip, prompt or step.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Asks the run to stop.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the run was asked to stop.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Who sees the events of a run, and who may stop it.
pub struct Watch<'a> {
    observe: &'a mut dyn FnMut(Event),
    cancel: Cancel,
}

impl<'a> Watch<'a> {
    /// `observe` sees every event; `cancel` stops the run.
    pub fn new(observe: &'a mut dyn FnMut(Event), cancel: Cancel) -> Self {
        Self { observe, cancel }
    }

    pub(crate) fn warn(&mut self, warning: &Warning) {
        (self.observe)(Event::Warned(warning.clone()));
    }

    /// Runs a stage of `total` units.
    pub(crate) fn stage<T>(
        &mut self,
        stage: Stage,
        total: usize,
        work: impl FnOnce(&mut StageWatch<'_, 'a>) -> Result<T, RunError>,
    ) -> Result<T, RunError> {
        (self.observe)(Event::Started { stage, total: total as u64 });
        let result = work(&mut StageWatch { watch: self, stage })?;
        (self.observe)(Event::Finished { stage });
        Ok(result)
    }
}

/// The same, inside a stage.
pub(crate) struct StageWatch<'w, 'a> {
    watch: &'w mut Watch<'a>,
    stage: Stage,
}

impl StageWatch<'_, '_> {
    /// Tells that `done` units are done; fails if the run was asked to stop.
    pub(crate) fn done(&mut self, done: usize) -> Result<(), RunError> {
        (self.watch.observe)(Event::Progress { stage: self.stage, done: done as u64 });
        if self.watch.cancel.is_cancelled() { Err(RunError::Interrupted) } else { Ok(()) }
    }

    pub(crate) fn warn(&mut self, warning: &Warning) {
        self.watch.warn(warning);
    }

    /// Hands on what training tells.
    pub(crate) fn trained(&mut self, event: TrainEvent) -> ControlFlow<()> {
        if let TrainEvent::Step(report) = &event {
            (self.watch.observe)(Event::Progress { stage: self.stage, done: report.step as u64 });
        }
        (self.watch.observe)(Event::Trained(event));
        self.go_on()
    }

    /// Whether to go on, for work that is no unit of its own.
    pub(crate) fn go_on(&self) -> ControlFlow<()> {
        if self.watch.cancel.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}
