//! What a run tells while it runs, and how it is stopped.

use std::{
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use lora_train::{Largest, Rehearsal, TrainEvent};

use crate::{MemoryPlan, PreviewReport, RunError, Warning};

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
    /// Examples are drawn, for a contact sheet or for the report; units are examples.
    Sheet,
    /// Clips become latents; units are clips.
    EncodeClips,
    /// Prompts become contexts; units are distinct prompts.
    EncodePrompts,
    /// Latents teach the adapters; units are steps.
    Train,
    /// A video is inpainted on its own; units are denoising steps.
    Preview,
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
            Self::Sheet => "drawing examples",
            Self::EncodeClips => "encoding clips",
            Self::EncodePrompts => "encoding prompts",
            Self::Train => "training",
            Self::Preview => "inpainting",
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
    /// What the run will hold in memory, told before any model is loaded.
    Planned(MemoryPlan),
    /// The training goes on after this step, which an earlier process did.
    Resumed {
        /// Optimiser steps done.
        step: u64,
    },
    /// The example whose step takes the most memory, and how much that is. The rehearsal comes next.
    Predicted(Largest),
    /// The largest step and a snapshot have been rehearsed. The previews before training come next, if there are to be
    /// any, and then the first step.
    Rehearsed(Rehearsal),
    /// What training tells.
    Trained(TrainEvent),
    /// A denoising step of a preview is done.
    Sampling {
        /// Optimiser steps done.
        step: u64,
        /// The sample, from 1.
        sample: usize,
        /// Denoising steps done.
        done: u64,
        /// All of them.
        total: u64,
    },
    /// A preview was made.
    Previewed(PreviewReport),
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
    /// The stages that are over, with how long they took, and the one that is not.
    spent: Vec<(Stage, Duration)>,
    running: Option<(Stage, Instant)>,
}

impl<'a> Watch<'a> {
    /// `observe` sees every event; `cancel` stops the run.
    pub fn new(observe: &'a mut dyn FnMut(Event), cancel: Cancel) -> Self {
        Self { observe, cancel, spent: Vec::new(), running: None }
    }

    /// Forgets how long earlier stages took: another run begins.
    pub(crate) fn begin(&mut self) {
        self.spent.clear();
    }

    /// How long every stage has taken so far.
    pub(crate) fn spent(&self) -> Vec<(Stage, Duration)> {
        let running = self.running.map(|(stage, start)| (stage, start.elapsed()));
        self.spent.iter().copied().chain(running).collect()
    }

    pub(crate) fn warn(&mut self, warning: &Warning) {
        (self.observe)(Event::Warned(warning.clone()));
    }

    pub(crate) fn planned(&mut self, plan: &MemoryPlan) {
        (self.observe)(Event::Planned(plan.clone()));
    }

    /// Runs a stage of `total` units.
    pub(crate) fn stage<T>(
        &mut self,
        stage: Stage,
        total: usize,
        work: impl FnOnce(&mut StageWatch<'_, 'a>) -> Result<T, RunError>,
    ) -> Result<T, RunError> {
        (self.observe)(Event::Started { stage, total: total as u64 });
        let start = Instant::now();
        self.running = Some((stage, start));
        let result = work(&mut StageWatch { watch: self, stage });
        self.running = None;
        self.spent.push((stage, start.elapsed()));
        let result = result?;
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

    /// How long every stage has taken so far.
    pub(crate) fn spent(&self) -> Vec<(Stage, Duration)> {
        self.watch.spent()
    }

    /// Tells that the training goes on after `step`.
    pub(crate) fn resumed(&mut self, step: usize) {
        (self.watch.observe)(Event::Resumed { step: step as u64 });
    }

    /// Tells what the largest step takes.
    pub(crate) fn predicted(&mut self, largest: &Largest) {
        (self.watch.observe)(Event::Predicted(largest.clone()));
    }

    /// Tells that the rehearsal went well.
    pub(crate) fn rehearsed(&mut self, rehearsal: Rehearsal) {
        (self.watch.observe)(Event::Rehearsed(rehearsal));
    }

    /// Hands on what training tells.
    pub(crate) fn trained(&mut self, event: TrainEvent) -> ControlFlow<()> {
        if let TrainEvent::Step(report) = &event {
            (self.watch.observe)(Event::Progress { stage: self.stage, done: report.step as u64 });
        }
        (self.watch.observe)(Event::Trained(event));
        self.go_on()
    }

    /// Tells of something, and whether to go on.
    pub(crate) fn tell(&mut self, event: Event) -> ControlFlow<()> {
        (self.watch.observe)(event);
        self.go_on()
    }

    /// Whether to go on, for work that is no unit of its own.
    pub(crate) fn go_on(&self) -> ControlFlow<()> {
        if self.watch.cancel.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use lora_train::StepReport;

    use super::*;

    fn observed(cancel: &Cancel, run: impl FnOnce(&mut Watch<'_>)) -> Vec<Event> {
        let mut events = Vec::new();
        let mut observe = |event| events.push(event);
        run(&mut Watch::new(&mut observe, cancel.clone()));
        events
    }

    fn step() -> TrainEvent {
        let time = Duration::from_millis(1);
        TrainEvent::Step(StepReport {
            step: 3,
            loss: 1.0,
            sigma: 0.5,
            learning_rate: 1e-4,
            grad_norm: 1.0,
            tokens: 8,
            time,
        })
    }

    #[test]
    fn a_stage_begins_goes_on_and_ends() {
        let stage = Stage::Survey;
        let events = observed(&Cancel::default(), |watch| {
            let result = watch.stage(stage, 2, |watch| watch.done(1).and_then(|()| watch.done(2)));
            assert!(result.is_ok());
        });
        let progress = |done| Event::Progress { stage, done };
        let wanted =
            [Event::Started { stage, total: 2 }, progress(1), progress(2), Event::Finished { stage }];
        assert_eq!(events, wanted);
    }

    #[test]
    fn a_stage_that_fails_is_not_finished() {
        let stage = Stage::Fetch;
        let events = observed(&Cancel::default(), |watch| {
            let result = watch.stage(stage, 0, |_| Err::<(), _>(RunError::Interrupted));
            assert!(matches!(result, Err(RunError::Interrupted)));
        });
        assert_eq!(events, [Event::Started { stage, total: 0 }]);
    }

    #[test]
    fn what_is_cancelled_stops_at_the_next_unit() {
        let cancel = Cancel::default();
        observed(&cancel, |watch| {
            let result = watch.stage(Stage::Survey, 2, |watch| {
                watch.done(1)?;
                assert_eq!(watch.go_on(), ControlFlow::Continue(()));
                cancel.clone().cancel();
                assert_eq!(watch.go_on(), ControlFlow::Break(()));
                watch.done(2)
            });
            assert!(matches!(result, Err(RunError::Interrupted)));
        });
    }

    #[test]
    fn a_step_is_progress_and_may_be_the_last() {
        let cancel = Cancel::default();
        let stage = Stage::Train;
        let fixed = TrainEvent::Saved { step: 0 };
        let events = observed(&cancel, |watch| {
            let result = watch.stage(stage, 100, |watch| {
                assert_eq!(watch.trained(fixed.clone()), ControlFlow::Continue(()));
                cancel.cancel();
                assert_eq!(watch.trained(step()), ControlFlow::Break(()));
                Ok(())
            });
            assert!(result.is_ok());
        });
        let told = [Event::Trained(fixed), Event::Progress { stage, done: 3 }, Event::Trained(step())];
        assert_eq!(events[1..4], told);
    }

    #[test]
    fn stages_are_ordered_as_they_come() {
        assert!(
            Stage::Fetch < Stage::Survey
                && Stage::Survey < Stage::Validation
                && Stage::Train < Stage::Publish
        );
    }
}
