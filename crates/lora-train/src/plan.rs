//! What a run does.

use tensor_batch::Rank;

use crate::maths::{AdamW, Scheduler, SigmaSampler};

/// Everything that decides a run, besides the data and the model.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainPlan {
    /// Optimiser steps.
    pub steps: usize,
    /// Rank of every adapter; alpha equals it.
    pub rank: Rank,
    /// Learning rate, before the scheduler.
    pub learning_rate: f64,
    /// How the rate changes over the run.
    pub scheduler: Scheduler,
    /// Micro-steps whose gradients are averaged into one optimiser step, at least 1.
    pub accumulation: usize,
    /// Largest global norm of the gradients; 0 does not clip.
    pub max_grad_norm: f64,
    /// Decoupled weight decay of `A` and `B`.
    pub weight_decay: f64,
    /// How sigma is drawn.
    pub sampler: SigmaSampler,
    /// Every draw is a function of it.
    pub seed: u64,
    /// Examples that are kept out of training, drawn by the seed; their loss tells learning from memorising.
    pub holdout_examples: usize,
}

impl Default for TrainPlan {
    /// The service's defaults. The rate stays constant: a run of any length then ends at the rate that was asked
    /// for, and the hosted trainers that users come from state no decay; the reference's own default is linear.
    fn default() -> Self {
        Self {
            steps: 2000,
            rank: Rank::R32,
            learning_rate: 2e-4,
            scheduler: Scheduler::Constant,
            accumulation: 1,
            max_grad_norm: 1.0,
            weight_decay: 0.01,
            sampler: SigmaSampler::default(),
            seed: 42,
            holdout_examples: 0,
        }
    }
}

impl TrainPlan {
    /// The optimiser's numbers.
    pub fn adamw(&self) -> AdamW {
        AdamW { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: self.weight_decay }
    }

    /// Every number with its name: what a run that goes on must agree in.
    pub(crate) fn parts(&self) -> [(&'static str, String); 10] {
        // Field by field, so that one that is added cannot be forgotten.
        let Self {
            steps,
            rank,
            learning_rate,
            scheduler,
            accumulation,
            max_grad_norm,
            weight_decay,
            sampler,
            seed,
            holdout_examples,
        } = self;
        [
            ("steps", steps.to_string()),
            ("rank", rank.to_string()),
            ("learning_rate", learning_rate.to_string()),
            ("scheduler", format!("{scheduler:?}")),
            ("accumulation", accumulation.to_string()),
            ("max_grad_norm", max_grad_norm.to_string()),
            ("weight_decay", weight_decay.to_string()),
            ("timestep_sampler", format!("{sampler:?}")),
            ("seed", seed.to_string()),
            ("holdout_examples", holdout_examples.to_string()),
        ]
    }
}
