//! Why training ended without a LoRA.

use tensor_batch::{Blame, Fault, Stem};

use crate::{SnapshotError, adapters::UnsoundModule};

/// Why training ended without a LoRA.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError<E: Blame + 'static> {
    /// There is nothing to train on.
    #[error("no examples to train on")]
    NoExamples,
    /// All examples are kept out of training.
    #[error("no example is left to train on: {held_out} are to be held out, and there are {examples}")]
    NoneLeft {
        /// How many there are.
        examples: usize,
        /// How many were to be held out.
        held_out: usize,
    },
    /// The state to go on from belongs to another model or rank.
    #[error("the state is not one of this model and rank")]
    Unfit,
    /// An example could not be read.
    #[error("cannot read a training example")]
    Source(#[source] E),
    /// A snapshot could not be written.
    #[error("cannot keep the run")]
    Snapshot(#[source] SnapshotError),
    /// The caller asked to stop.
    #[error("stopped after step {step}")]
    Interrupted {
        /// Optimiser steps done.
        step: usize,
    },
    /// A loss, a gradient or an adapter is no number.
    #[error("step {step}: {what} is not finite (example `{example}`, sigma {sigma})")]
    NotFinite {
        /// The optimiser step, counted from 1; 0 before the first.
        step: usize,
        /// `loss`, `gradient`, `adapter`, `fixed loss`, or what was rehearsed before the first step.
        what: &'static str,
        /// The example, with accumulation the last one.
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
            Self::Snapshot(error) => error.fault(),
            Self::NoneLeft { .. } => Fault::Request,
            Self::NoExamples
            | Self::Unfit
            | Self::Interrupted { .. }
            | Self::NotFinite { .. }
            | Self::Unsound { .. } => Fault::Service,
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::NoExamples => "no-usable-clips",
            Self::NoneLeft { .. } => "none-left-to-train-on",
            Self::Unfit => "state-unfit",
            Self::Source(error) => error.kind(),
            Self::Snapshot(error) => error.kind(),
            Self::Interrupted { .. } => "interrupted",
            Self::NotFinite { .. } => "not-finite",
            Self::Unsound { .. } => "unsound-lora",
        }
    }
}
