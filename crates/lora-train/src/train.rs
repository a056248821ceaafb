//! The loop.

use std::{
    ops::ControlFlow,
    time::{Duration, Instant},
};

use burn::tensor::Tensor;
use ltx_model::{Transformer, TransformerLora, to_host};
use tensor_batch::{Blame, Fault, LatentSource, Stem};

use crate::{
    TrainPlan, adapters,
    adapters::UnsoundModule,
    optimizer::{self, Optimizer},
    random::{Draws, Purpose, example_of},
    step::{self, Batch},
};

/// How many fixed draws the fixed loss averages.
const FIXED_DRAWS: usize = 16;

/// What happened during training.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum TrainEvent {
    /// An optimiser step is done.
    Step(StepReport),
    /// The loss over the same draws as always: comparable between steps.
    FixedLoss {
        /// Optimiser steps done.
        step: usize,
        /// Mean loss.
        loss: f64,
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
    /// Wall time of the step.
    pub time: Duration,
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

/// Why training ended without a LoRA.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError<E: Blame + 'static> {
    /// There is nothing to train on.
    #[error("no examples to train on")]
    NoExamples,
    /// An example could not be read.
    #[error("cannot read a training example")]
    Source(#[source] E),
    /// The caller asked to stop.
    #[error("stopped after step {step}")]
    Interrupted {
        /// Optimiser steps done.
        step: usize,
    },
    /// A loss or gradient is no number.
    #[error("step {step}: {what} is not finite (example `{example}`, sigma {sigma})")]
    NotFinite {
        /// The optimiser step, counted from 1.
        step: usize,
        /// `loss` or `gradient`.
        what: &'static str,
        /// The example of the last micro-step.
        example: Stem,
        /// Its sigma.
        sigma: f32,
    },
    /// Adapters that are not finite, or do nothing.
    #[error("the trained adapters are unsound: {}", list(modules))]
    Unsound {
        /// Every such module.
        modules: Vec<UnsoundModule>,
    },
}

fn list(modules: &[UnsoundModule]) -> String {
    modules.iter().map(|m| format!("{} is {}", m.module, m.what)).collect::<Vec<_>>().join(", ")
}

impl<E: Blame + 'static> Blame for TrainError<E> {
    fn fault(&self) -> Fault {
        match self {
            Self::Source(error) => error.fault(),
            Self::NoExamples | Self::Interrupted { .. } | Self::NotFinite { .. } | Self::Unsound { .. } => {
                Fault::Service
            }
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::NoExamples => "no-usable-clips",
            Self::Source(error) => error.kind(),
            Self::Interrupted { .. } => "interrupted",
            Self::NotFinite { .. } => "not-finite",
            Self::Unsound { .. } => "unsound-lora",
        }
    }
}

/// Trains adapters of `model` on `source` as `plan` says; `observe` sees every event and may stop the run after it.
///
/// # Errors
/// If an example cannot be read, the caller stops the run, or numbers stop being finite.
pub fn train<S: LatentSource>(
    source: &S,
    model: &Transformer,
    plan: &TrainPlan,
    observe: &mut dyn FnMut(TrainEvent) -> ControlFlow<()>,
) -> Result<TrainedLora, TrainError<S::Error>> {
    if source.is_empty() {
        return Err(TrainError::NoExamples);
    }
    let mut lora = adapters::init(model.config(), plan.rank, plan.seed, model.device());
    let mut optimizer = Optimizer::new(plan.adamw(), &lora);
    show_fixed_loss(source, model, plan, &lora, 0, observe)?;
    for step in 1..=plan.steps {
        let start = Instant::now();
        let micro = micro_steps(source, model, plan, &lora, step)?;
        let learning_rate = plan.scheduler.learning_rate(plan.learning_rate, step - 1, plan.steps);
        let gradients = optimizer::clip(micro.gradients, micro.grad_norm, plan.max_grad_norm);
        optimizer.update(&mut lora, &gradients, learning_rate);
        let report = StepReport {
            step,
            loss: micro.loss,
            sigma: f64::from(micro.sigma),
            learning_rate,
            grad_norm: micro.grad_norm,
            time: start.elapsed(),
        };
        if observe(TrainEvent::Step(report)).is_break() {
            return Err(TrainError::Interrupted { step });
        }
    }
    show_fixed_loss(source, model, plan, &lora, plan.steps, observe)?;
    let delta_rms = adapters::delta_rms(&lora).map_err(|modules| TrainError::Unsound { modules })?;
    Ok(TrainedLora { lora, steps: plan.steps, delta_rms })
}

struct MicroSteps {
    gradients: Vec<[Tensor<2>; 2]>,
    grad_norm: f64,
    loss: f64,
    sigma: f32,
}

/// The averaged gradients of one optimiser step, counted from 1.
fn micro_steps<S: LatentSource>(
    source: &S,
    model: &Transformer,
    plan: &TrainPlan,
    lora: &TransformerLora,
    step: usize,
) -> Result<MicroSteps, TrainError<S::Error>> {
    let mut sum = None;
    let mut last = None;
    for micro in 0..plan.accumulation {
        let index = ((step - 1) * plan.accumulation + micro) as u64;
        let example = source.get(example_of(plan.seed, index, source.len())).map_err(TrainError::Source)?;
        let batch =
            Batch::of(&example, model, &plan.sampler, &mut Draws::new(plan.seed, Purpose::Step, index));
        let result = step::gradients(model, lora, &batch);
        let (loss, sigma, example) = (f64::from(result.loss[0]), batch.sigma[0], example.stem().clone());
        if !loss.is_finite() {
            return Err(TrainError::NotFinite { step, what: "loss", example, sigma });
        }
        sum = Some(optimizer::accumulate(sum, result.gradients, plan.accumulation));
        last = Some((loss, sigma, example));
    }
    let (Some(gradients), Some((loss, sigma, example))) = (sum, last) else {
        return Err(TrainError::NoExamples);
    };
    let grad_norm = optimizer::global_norm(&gradients);
    if !grad_norm.is_finite() {
        return Err(TrainError::NotFinite { step, what: "gradient", example, sigma });
    }
    Ok(MicroSteps { gradients, grad_norm, loss, sigma })
}

fn show_fixed_loss<S: LatentSource>(
    source: &S,
    model: &Transformer,
    plan: &TrainPlan,
    lora: &TransformerLora,
    step: usize,
    observe: &mut dyn FnMut(TrainEvent) -> ControlFlow<()>,
) -> Result<(), TrainError<S::Error>> {
    let loss = fixed_loss(source, model, plan, lora).map_err(TrainError::Source)?;
    match observe(TrainEvent::FixedLoss { step, loss }) {
        ControlFlow::Break(()) if step < plan.steps => Err(TrainError::Interrupted { step }),
        _ => Ok(()),
    }
}

/// The mean loss over a fixed set of examples, sigmas and noises: unlike the loss of a step, comparable.
///
/// # Errors
/// If an example cannot be read.
pub fn fixed_loss<S: LatentSource>(
    source: &S,
    model: &Transformer,
    plan: &TrainPlan,
    lora: &TransformerLora,
) -> Result<f64, S::Error> {
    let mut sum = 0.0;
    for draw in 0..FIXED_DRAWS {
        let example = source.get(draw % source.len())?;
        let mut draws = Draws::new(plan.seed, Purpose::Fixed, draw as u64);
        let batch = Batch::of(&example, model, &plan.sampler, &mut draws);
        let (_, loss) = step::predict(model, lora, &batch);
        sum += f64::from(to_host(loss).0[0]);
    }
    Ok(sum / FIXED_DRAWS as f64)
}
