//! Latents become adapters, in a run that goes on from where it was ended.

use std::{ops::ControlFlow, path::Path};

use lora_train::{
    Fingerprint, Keep, LatentCache, Pace, Snapshots, TrainError, TrainEvent, TrainPlan, TrainState,
    TrainedLora, Trainer,
    maths::{self, SigmaSampler},
};
use ltx_model::{Checkpoint, Transformer};

use crate::{
    Cuts, FitReport, PreviewReport, RunError, Scheduler, Settings, Stage, TimestepSampler, TrainOptions,
    TrainRequest, Warning, Watch,
    answer::chain,
    clips::FittedClips,
    event::StageWatch,
    identity::Identity,
    metrics::{METRICS, Metrics},
    page::{Page, Stand},
    preview::{Painter, Previews, Told},
    preview_loras,
    unfinished::Unfinished,
};

/// What training takes besides the latents.
pub(crate) struct Training<'a> {
    pub(crate) base: &'a Checkpoint,
    pub(crate) page: &'a Page<'a>,
    /// How previews are cut so that they fit into memory.
    pub(crate) cuts: Cuts,
    pub(crate) request: &'a TrainRequest,
    /// What previews are made of.
    pub(crate) samples: &'a FittedClips,
    pub(crate) identity: &'a Identity,
    pub(crate) plan: &'a TrainPlan,
    pub(crate) options: &'a TrainOptions,
    pub(crate) settings: &'a Settings,
    pub(crate) fingerprint: &'a Fingerprint,
    pub(crate) unfinished: &'a Unfinished,
}

impl Training<'_> {
    /// Trains from the newest snapshot, or from the beginning, to the end of the plan.
    pub(crate) fn run(
        &self,
        latents: &LatentCache,
        report: &mut FitReport,
        watch: &mut Watch<'_>,
    ) -> Result<TrainedLora, RunError> {
        watch.stage(Stage::Train, self.plan.steps, |watch| {
            let device = &self.settings.device;
            let Settings { base_precision, offload, .. } = *self.settings;
            let model = Transformer::load_beside(self.base, device, base_precision, offload)
                .map_err(|e| RunError::of(Stage::Train, e))?;
            let snapshots =
                Snapshots::open(&self.unfinished.snapshots()).map_err(|e| RunError::of(Stage::Train, e))?;
            let state = self.state(&snapshots, &model, report, watch)?;
            let keep = Keep {
                snapshots: &snapshots,
                fingerprint: self.fingerprint,
                every: self.options.snapshot_every() as usize,
            };
            let pace = self.pace(keep);
            let path = self.settings.out.join(METRICS);
            let mut metrics =
                Metrics::open(&self.settings.out, state.step()).map_err(RunError::io(Stage::Train, &path))?;
            // Why the run was ended from here, if it was.
            let mut ended = None;
            self.report(&state, report, watch);
            let previews = self.previews(&model, latents);
            let before = state.clone();
            let trainer =
                Trainer::new(latents, &model, self.plan, state).map_err(|e| RunError::of(Stage::Train, e))?;
            self.rehearse(&trainer, &keep, watch)?;
            let preview = |state: &TrainState,
                           metrics: &mut Metrics,
                           ended: &mut Option<RunError>,
                           report: &mut FitReport,
                           watch: &mut StageWatch<'_, '_>| {
                let mut told = Telling { metrics, path: &path, report, rehearsing: state.step() == 0, ended };
                previews.as_ref().map_or(ControlFlow::Continue(()), |previews| {
                    previews.make_if_due(state.step() as u64, state.lora(), &mut told, watch)
                })
            };
            // Before the first step, which ends the rehearsal; or what a process that was ended had not come to.
            let flow = preview(&before, &mut metrics, &mut ended, report, watch);
            drop(before);
            if flow.is_break() {
                return Err(ended.unwrap_or(RunError::Interrupted));
            }
            let result = trainer.run(&pace, &mut |event, state| {
                if let Err(error) = metrics.write(&event) {
                    ended = Some(RunError::io(Stage::Train, &path)(error));
                    return ControlFlow::Break(());
                }
                let (is_step, is_kept) =
                    (matches!(event, TrainEvent::Step(_)), matches!(event, TrainEvent::Saved { .. }));
                let mut flow = watch.trained(event);
                if is_kept {
                    self.report(state, report, watch);
                }
                if is_step && flow.is_continue() {
                    self.keep_lora(state, report, watch);
                    flow = preview(state, &mut metrics, &mut ended, report, watch);
                }
                flow
            });
            match (result, ended) {
                (_, Some(error)) => Err(error),
                (Err(TrainError::Interrupted { .. }), None) => Err(RunError::Interrupted),
                (result, None) => result.map_err(|e| RunError::of(Stage::Train, e)),
            }
        })
    }

    /// Goes once through all that may fail for want of memory or disk, so that a run that does not fit fails in its
    /// first minute. No state is moved: the run ends with the same bytes. A run with previews makes its first ones right
    /// after this, before any step: they are a rehearsal of their own.
    fn rehearse(
        &self,
        trainer: &Trainer<'_, LatentCache>,
        keep: &Keep<'_>,
        watch: &mut StageWatch<'_, '_>,
    ) -> Result<(), RunError> {
        if trainer.is_done() {
            return Ok(());
        }
        let largest = trainer.largest().map_err(|e| RunError::of(Stage::Train, e))?;
        watch.predicted(&largest);
        let rehearsal = trainer.rehearse(&largest, Some(keep)).map_err(|e| RunError::of(Stage::Train, e))?;
        let there = keep.snapshots.count().map_err(|e| RunError::of(Stage::Train, e))?;
        // One is written before the oldest goes.
        let more = (Snapshots::KEPT + 1).saturating_sub(there) as u64;
        let room =
            self.settings.limits.disk.need(&self.unfinished.snapshots(), more * rehearsal.snapshot_bytes);
        room.map_err(|e| RunError::of(Stage::Train, e))?;
        watch.rehearsed(rehearsal);
        if watch.go_on().is_break() { Err(RunError::Interrupted) } else { Ok(()) }
    }

    /// Keeps the LoRA of this step, if it is to be kept. That it cannot be written costs nobody the run.
    fn keep_lora(&self, state: &TrainState, report: &mut FitReport, watch: &mut StageWatch<'_, '_>) {
        let Settings { base_model, out, .. } = self.settings;
        if let Err(error) = preview_loras::keep(state, self.request, self.options, base_model, out) {
            let message =
                format!("the LoRA after step {} was not kept: {}", state.step(), chain(error.as_ref()));
            let warning = Warning::new("loras", "lora-not-kept", message);
            watch.warn(&warning);
            report.warnings.push(warning);
        }
    }

    /// Writes the report anew. That it cannot be written is told once and costs nobody the run.
    fn report(&self, state: &TrainState, report: &mut FitReport, watch: &mut StageWatch<'_, '_>) {
        let timings = self.page.earlier.with(&watch.spent());
        if let Err(error) = self.page.write(&Stand::now(state, report, timings)) {
            let warning = Warning::new(
                "report",
                "report-not-written",
                format!("the report cannot be written: {error}"),
            );
            if report.warnings.iter().all(|told| told.kind != warning.kind) {
                watch.warn(&warning);
                report.warnings.push(warning);
            }
        }
    }

    /// What makes previews, if there are samples to make them of.
    fn previews<'p>(&'p self, model: &'p Transformer, latents: &'p LatentCache) -> Option<Previews<'p>> {
        Some(Previews {
            painter: Painter::new(self.base, &self.settings.device, self.request, self.options, self.cuts),
            model,
            samples: self.samples,
            entries: &self.identity.samples,
            negative: self.identity.negative?,
            latents,
            options: self.options,
            steps: self.request.number_of_steps(),
            out: &self.settings.out,
            limits: &self.settings.limits,
        })
    }

    /// Where the run stands.
    fn state(
        &self,
        snapshots: &Snapshots,
        model: &Transformer,
        report: &mut FitReport,
        watch: &mut StageWatch<'_, '_>,
    ) -> Result<TrainState, RunError> {
        let latest = snapshots.latest().map_err(|e| RunError::of(Stage::Train, e))?;
        for damaged in &latest.damaged {
            let warning = Warning::new("state", "snapshot-damaged", damaged.to_string());
            watch.warn(&warning);
            report.warnings.push(warning);
        }
        let Some(snapshot) = latest.snapshot else { return Ok(TrainState::new(model, self.plan)) };
        let state = snapshot.restore(self.fingerprint, self.plan, model);
        let state = state.map_err(|e| RunError::of(Stage::Train, e))?;
        watch.resumed(state.step());
        Ok(state)
    }

    fn pace<'k>(&self, keep: Keep<'k>) -> Pace<'k> {
        let pace = Pace { keep: Some(keep), ..Pace::of(self.plan) };
        match self.options.fixed_loss_every() {
            Some(every) => Pace { fixed_loss_every: every as usize, ..pace },
            None => pace,
        }
    }
}

/// Where previews are told: in the metrics, and what went wrong in the report.
struct Telling<'a> {
    metrics: &'a mut Metrics,
    /// Of the metrics.
    path: &'a Path,
    report: &'a mut FitReport,
    /// Whether nothing is trained yet, so that a failure costs nothing and comes again.
    rehearsing: bool,
    ended: &'a mut Option<RunError>,
}

impl Told for Telling<'_> {
    fn has(&self, step: u64, sample: usize) -> bool {
        self.metrics.has_preview(step, sample)
    }

    fn made(&mut self, report: &PreviewReport) -> ControlFlow<()> {
        match self.metrics.write_preview(report) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                *self.ended = Some(RunError::io(Stage::Train, self.path)(error));
                ControlFlow::Break(())
            }
        }
    }

    fn warned(&mut self, warning: &Warning) {
        self.report.warnings.push(warning.clone());
    }

    fn failed(&mut self, warning: &Warning) -> ControlFlow<()> {
        if self.rehearsing {
            let source = Box::new(NotBegun(warning.message.clone()));
            *self.ended = Some(RunError::Failed { stage: Stage::Preview, source });
            return ControlFlow::Break(());
        }
        self.warned(warning);
        ControlFlow::Continue(())
    }
}

/// A preview that failed before the first step: hours later it would, too.
#[derive(Debug, thiserror::Error)]
#[error("{0}; the training was not begun: it can do without `validation`")]
struct NotBegun(String);

/// The request and its options in the trainer's own terms.
pub(crate) fn plan(request: &TrainRequest, options: &TrainOptions) -> TrainPlan {
    TrainPlan {
        steps: request.number_of_steps() as usize,
        rank: request.rank(),
        learning_rate: request.learning_rate(),
        scheduler: match options.scheduler() {
            Scheduler::Constant => maths::Scheduler::Constant,
            Scheduler::Linear => maths::Scheduler::LINEAR,
            Scheduler::Cosine => maths::Scheduler::COSINE,
            Scheduler::CosineWithRestarts => maths::Scheduler::COSINE_WITH_RESTARTS,
            Scheduler::Polynomial => maths::Scheduler::POLYNOMIAL,
            Scheduler::Step => maths::Scheduler::STEP,
        },
        accumulation: options.accumulation() as usize,
        max_grad_norm: options.max_grad_norm().unwrap_or(0.0),
        weight_decay: options.weight_decay(),
        sampler: match options.timestep_sampler() {
            TimestepSampler::ShiftedLogitNormal => SigmaSampler::default(),
            TimestepSampler::Uniform => SigmaSampler::Uniform { min: 0.0, max: 1.0 },
        },
        seed: options.seed(),
        holdout_examples: options.holdout_examples() as usize,
    }
}
