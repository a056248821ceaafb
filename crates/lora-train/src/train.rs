//! The loop.

mod rehearsal;
#[cfg(test)]
mod tests;

use std::{
    ops::ControlFlow,
    time::{Duration, Instant},
};

use burn::tensor::Tensor;
use ltx_model::{Transformer, TransformerLora, to_host};
use tensor_batch::{Blame, LatentSource, Stem};

use crate::{
    Fingerprint, Losses, SnapshotError, Snapshots, TrainError, TrainPlan, TrainState, adapters,
    losses::LossSum,
    optimizer,
    random::{Draws, Purpose, example_of},
    step::{self, Batch, StepGradients},
};

pub use rehearsal::{Largest, Rehearsal};

/// How many fixed draws a fixed loss averages.
const FIXED_DRAWS: usize = 16;

/// What happened during training.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum TrainEvent {
    /// An optimiser step is done.
    Step(StepReport),
    /// The run looked at itself.
    Evaluated(Evaluation),
    /// A snapshot was written.
    Saved {
        /// Optimiser steps done.
        step: usize,
    },
}

/// One optimiser step.
#[derive(Debug, Clone, PartialEq)]
pub struct StepReport {
    /// Counted from 1.
    pub step: usize,
    /// Loss of the last micro-step.
    pub loss: f64,
    /// Sigma of the last micro-step.
    pub sigma: f64,
    /// Learning rate of this step.
    pub learning_rate: f64,
    /// Global norm of the gradients before clipping.
    pub grad_norm: f64,
    /// Tokens trained on, kept ones included, over all micro-steps.
    pub tokens: usize,
    /// Wall time of the step.
    pub time: Duration,
}

/// Losses between steps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Evaluation {
    /// Optimiser steps done.
    pub step: usize,
    /// Over the same examples, sigmas and noises as always: comparable between steps.
    pub fixed: Losses,
    /// The same sigmas and noises on examples that are not trained on, if some are kept out.
    pub holdout: Option<Losses>,
    /// Of the steps, every micro-step, since the last evaluation; none before the first step. Noisy.
    pub steps: Option<Losses>,
}

/// Trained adapters: every module is finite and does something.
#[derive(Debug, Clone)]
pub struct TrainedLora {
    lora: TransformerLora,
    steps: usize,
    delta_rms: Vec<(String, f64)>,
}

impl TrainedLora {
    /// The adapters.
    pub fn lora(&self) -> &TransformerLora {
        &self.lora
    }

    /// Optimiser steps done: all that the plan asked for.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// For every module, the root mean square of the change to its weight.
    pub fn delta_rms(&self) -> &[(String, f64)] {
        &self.delta_rms
    }
}

/// How often a run looks at itself, and where it is kept. Neither changes what is trained.
#[derive(Debug, Clone, Copy)]
pub struct Pace<'a> {
    /// Optimiser steps between two evaluations; there is one before the first step and one after the last, too. With 0
    /// there are only these.
    pub fixed_loss_every: usize,
    /// Where snapshots go, if there are to be any.
    pub keep: Option<Keep<'a>>,
}

impl Pace<'_> {
    /// An evaluation every tenth of the run, and no snapshots.
    pub fn of(plan: &TrainPlan) -> Self {
        Self { fixed_loss_every: plan.steps.div_ceil(10), keep: None }
    }
}

/// Where and how often snapshots are written.
#[derive(Debug, Clone, Copy)]
pub struct Keep<'a> {
    /// The folder.
    pub snapshots: &'a Snapshots,
    /// What the run is made of.
    pub fingerprint: &'a Fingerprint,
    /// Optimiser steps between two snapshots; there is one after the last step and one when the run is stopped, too.
    /// With 0 there are only these.
    pub every: usize,
}

/// Sees what happens, with the state that it left; `Break` stops the run.
pub type Observe<'a> = dyn FnMut(TrainEvent, &TrainState) -> ControlFlow<()> + 'a;

/// Trains adapters of `model` on `source` as `plan` says, from the first step to the last; `observe` sees every event
/// and may stop the run after it. [`Trainer`] does the same in pieces.
///
/// # Errors
/// If an example cannot be read, the caller stops the run, or numbers stop being finite.
pub fn train<S: LatentSource>(
    source: &S,
    model: &Transformer,
    plan: &TrainPlan,
    observe: &mut dyn FnMut(TrainEvent) -> ControlFlow<()>,
) -> Result<TrainedLora, TrainError<S::Error>> {
    let trainer = Trainer::new(source, model, plan, TrainState::new(model, plan))?;
    trainer.run(&Pace::of(plan), &mut |event, _| observe(event))
}

/// A run in progress.
#[derive(Debug)]
pub struct Trainer<'a, S> {
    source: &'a S,
    model: &'a Transformer,
    plan: &'a TrainPlan,
    /// Indices of the examples that are trained on.
    training: Vec<usize>,
    /// Indices of those that are not.
    held_out: Vec<usize>,
    state: TrainState,
    /// What was trained on last.
    last: Option<(Stem, f32)>,
}

impl<'a, S: LatentSource> Trainer<'a, S> {
    /// A run that goes on from `state`: [`TrainState::new`], or what a snapshot restored.
    ///
    /// # Errors
    /// If there is nothing to train on, or the state is not one of this model and plan.
    pub fn new(
        source: &'a S,
        model: &'a Transformer,
        plan: &'a TrainPlan,
        state: TrainState,
    ) -> Result<Self, TrainError<S::Error>> {
        let (examples, held_out) = (source.len(), plan.holdout_examples);
        if examples == 0 {
            return Err(TrainError::NoExamples);
        }
        if held_out >= examples {
            return Err(TrainError::NoneLeft { examples, held_out });
        }
        if !state.fits(model, plan) {
            return Err(TrainError::Unfit);
        }
        let (training, held_out) = split(plan.seed, examples, held_out);
        Ok(Self { source, model, plan, training, held_out, state, last: None })
    }

    /// Where the run stands.
    pub fn state(&self) -> &TrainState {
        &self.state
    }

    /// Whether all steps of the plan are done.
    pub fn is_done(&self) -> bool {
        self.state.step >= self.plan.steps
    }

    /// Trains to the end of the plan. Tells `observe` of every step, evaluation and snapshot; when it breaks, the run
    /// is saved where it stands, if it is to be kept at all.
    ///
    /// # Errors
    /// If an example cannot be read, `observe` stops the run, numbers stop being finite, or a snapshot cannot be
    /// written.
    pub fn run(
        mut self,
        pace: &Pace<'_>,
        observe: &mut Observe<'_>,
    ) -> Result<TrainedLora, TrainError<S::Error>> {
        let mut flow = self.evaluate_if_due(pace, observe)?;
        while flow.is_continue() && !self.is_done() {
            let report = self.step()?;
            flow = observe(TrainEvent::Step(report), &self.state);
            if flow.is_continue() {
                flow = self.evaluate_if_due(pace, observe)?;
            }
            let stops = flow.is_break() || self.is_done();
            if let Some(keep) = pace.keep.filter(|keep| stops || is_due(self.state.step, keep.every)) {
                self.save(&keep)?;
                let saved = observe(TrainEvent::Saved { step: self.state.step }, &self.state);
                flow = if flow.is_break() { flow } else { saved };
            }
        }
        match flow {
            ControlFlow::Break(()) => Err(TrainError::Interrupted { step: self.state.step }),
            ControlFlow::Continue(()) => self.finish(),
        }
    }

    /// Does the next optimiser step.
    ///
    /// # Errors
    /// If an example cannot be read, or numbers stop being finite; the state is then that before the step.
    pub fn step(&mut self) -> Result<StepReport, TrainError<S::Error>> {
        let (start, plan, step) = (Instant::now(), self.plan, self.state.step + 1);
        let MicroSteps { gradients, drawn } = self.micro_steps(step)?;
        let state = &mut self.state;
        let update = state.optimizer.prepare(&mut state.lora);
        // Here the device is waited for, and has been given all that it can do before.
        let grad_norm = optimizer::global_norm(&gradients);
        let mut losses = state.losses;
        let read = read(step, drawn, grad_norm, &mut losses)?;
        let learning_rate = plan.scheduler.learning_rate(plan.learning_rate, step - 1, plan.steps);
        update.apply(&optimizer::clip(gradients, grad_norm, plan.max_grad_norm), learning_rate);
        (state.step, state.losses) = (step, losses);
        let sigma = f64::from(read.sigma);
        self.last = Some((read.stem, read.sigma));
        let (loss, tokens, time) = (read.loss, read.tokens, start.elapsed());
        Ok(StepReport { step, loss, sigma, learning_rate, grad_norm, tokens, time })
    }

    /// The averaged gradients of one optimiser step, counted from 1. The device may be at work on them still.
    fn micro_steps(&self, step: usize) -> Result<MicroSteps, TrainError<S::Error>> {
        let plan = self.plan;
        let (mut sum, mut drawn) = (None, Vec::with_capacity(plan.accumulation));
        for micro in 0..plan.accumulation {
            let index = ((step - 1) * plan.accumulation + micro) as u64;
            let example = self.training[example_of(plan.seed, index, self.training.len())];
            let (stem, batch) = self.batch(example, Purpose::Step, index)?;
            let StepGradients { loss, gradients } = step::gradients(self.model, &self.state.lora, &batch);
            let gradients = optimizer::side_by_side(gradients);
            sum = Some(optimizer::accumulate(sum, gradients, plan.accumulation));
            drawn.push(Drawn { stem, sigma: batch.sigma()[0], tokens: batch.kept().len(), loss });
        }
        let gradients = sum.ok_or(TrainError::NoExamples)?;
        Ok(MicroSteps { gradients, drawn })
    }

    /// Evaluates the losses over the fixed draws.
    ///
    /// # Errors
    /// If an example cannot be read, or a loss is not finite.
    pub fn evaluate(&mut self) -> Result<Evaluation, TrainError<S::Error>> {
        let fixed = self.fixed_loss(&self.training)?.ok_or(TrainError::NoExamples)?;
        let holdout = self.fixed_loss(&self.held_out)?;
        let steps = std::mem::take(&mut self.state.losses).losses();
        Ok(Evaluation { step: self.state.step, fixed, holdout, steps })
    }

    fn evaluate_if_due(
        &mut self,
        pace: &Pace<'_>,
        observe: &mut Observe<'_>,
    ) -> Result<ControlFlow<()>, TrainError<S::Error>> {
        // A run that goes on from a snapshot has evaluated this step already if no losses are left over.
        let due = is_due(self.state.step, pace.fixed_loss_every) || self.is_done();
        if self.state.step > 0 && (!due || self.state.losses.is_empty()) {
            return Ok(ControlFlow::Continue(()));
        }
        let evaluation = self.evaluate()?;
        Ok(observe(TrainEvent::Evaluated(evaluation), &self.state))
    }

    /// The losses of some examples with the fixed sigmas and noises; none of no examples.
    fn fixed_loss(&self, examples: &[usize]) -> Result<Option<Losses>, TrainError<S::Error>> {
        let mut sum = LossSum::default();
        for (draw, index) in examples.iter().cycle().take(FIXED_DRAWS).enumerate() {
            let (example, batch) = self.batch(*index, Purpose::Fixed, draw as u64)?;
            let (_, loss) = step::predict(self.model, &self.state.lora, &batch);
            let (loss, sigma) = (f64::from(to_host(loss).0[0]), batch.sigma()[0]);
            if !loss.is_finite() {
                let step = self.state.step;
                return Err(TrainError::NotFinite { step, what: "fixed loss", example, sigma });
            }
            sum.add(sigma, loss);
        }
        Ok(sum.losses())
    }

    /// An example, noised as the draws say.
    fn batch(
        &self,
        index: usize,
        purpose: Purpose,
        draw: u64,
    ) -> Result<(Stem, Batch), TrainError<S::Error>> {
        let example = self.source.get(index).map_err(TrainError::Source)?;
        let mut draws = Draws::new(self.plan.seed, purpose, draw);
        Ok((example.stem().clone(), Batch::of(&example, self.model, &self.plan.sampler, &mut draws)))
    }

    fn save(&self, keep: &Keep<'_>) -> Result<(), TrainError<S::Error>> {
        keep.snapshots.save(&self.state, keep.fingerprint).map_err(|error| match (error, &self.last) {
            (SnapshotError::NotFinite { step, .. }, Some((example, sigma))) => {
                TrainError::NotFinite { step, what: "adapter", example: example.clone(), sigma: *sigma }
            }
            (error, _) => TrainError::Snapshot(error),
        })
    }

    /// The adapters, if they are sound.
    ///
    /// # Errors
    /// Every module that is not finite, or does nothing.
    pub fn finish(self) -> Result<TrainedLora, TrainError<S::Error>> {
        let TrainState { lora, step, .. } = self.state;
        let delta_rms = adapters::delta_rms(&lora).map_err(|modules| TrainError::Unsound { modules })?;
        Ok(TrainedLora { lora, steps: step, delta_rms })
    }
}

struct MicroSteps {
    gradients: Tensor<2>,
    drawn: Vec<Drawn<Tensor<1>>>,
}

/// What a micro-step was made of, and its loss.
struct Drawn<Loss> {
    stem: Stem,
    sigma: f32,
    /// Kept ones included.
    tokens: usize,
    loss: Loss,
}

/// Reads the losses of the micro-steps of `step` and adds them to `losses`; what is left is the last micro-step, with the
/// tokens of all.
fn read<E: Blame + 'static>(
    step: usize,
    drawn: Vec<Drawn<Tensor<1>>>,
    grad_norm: f64,
    losses: &mut LossSum,
) -> Result<Drawn<f64>, TrainError<E>> {
    let (mut last, mut all_tokens) = (None, 0);
    for Drawn { stem, sigma, tokens, loss } in drawn {
        let loss = f64::from(to_host(loss).0[0]);
        if !loss.is_finite() {
            return Err(TrainError::NotFinite { step, what: "loss", example: stem, sigma });
        }
        losses.add(sigma, loss);
        all_tokens += tokens;
        last = Some(Drawn { stem, sigma, tokens: all_tokens, loss });
    }
    let last = last.ok_or(TrainError::NoExamples)?;
    if !grad_norm.is_finite() {
        return Err(TrainError::NotFinite { step, what: "gradient", example: last.stem, sigma: last.sigma });
    }
    Ok(last)
}

/// Whether something is to be done after `step` that is done every so many steps, 0 for never.
fn is_due(step: usize, every: usize) -> bool {
    every > 0 && step > 0 && step.is_multiple_of(every)
}

/// The examples to train on, in their order, and those that are kept out.
fn split(seed: u64, examples: usize, held_out: usize) -> (Vec<usize>, Vec<usize>) {
    let mut training = Draws::new(seed, Purpose::HoldOut, 0).permutation(examples);
    let mut held_out = training.split_off(examples - held_out);
    training.sort_unstable();
    held_out.sort_unstable();
    (training, held_out)
}
