//! Where a run stands between two steps.

use burn::tensor::Tensor;
use ltx_model::{Transformer, TransformerLora, to_host};

use crate::{TrainPlan, adapters, losses::LossSum, optimizer::Optimizer};

/// Where a run stands after an optimiser step: with the plan, the data and the model, all that decides how it goes
/// on. There is no generator and no position in the data, because every draw is a function of the step.
///
/// Its tensors are shared with the run that it comes from, so a clone costs nothing.
#[derive(Debug, Clone)]
pub struct TrainState {
    pub(crate) step: usize,
    pub(crate) lora: TransformerLora,
    pub(crate) optimizer: Optimizer,
    /// The losses of the steps that have not been reported yet.
    pub(crate) losses: LossSum,
}

impl TrainState {
    /// The state before the first step.
    pub fn new(model: &Transformer, plan: &TrainPlan) -> Self {
        let lora = adapters::init(model.config(), plan.rank, plan.seed, model.device());
        let optimizer = Optimizer::new(plan.adamw(), &lora);
        Self { step: 0, lora, optimizer, losses: LossSum::default() }
    }

    /// Optimiser steps done.
    pub fn step(&self) -> usize {
        self.step
    }

    /// The adapters, float32.
    pub fn lora(&self) -> &TransformerLora {
        &self.lora
    }

    /// The moments, and how many updates they have seen.
    pub fn optimizer(&self) -> &Optimizer {
        &self.optimizer
    }

    /// Every tensor with its name: `lora.`, `exp_avg.` (first moment) or `exp_avg_sq.` (second moment), then the
    /// adapter's own name.
    pub(crate) fn tensors(&self) -> Vec<(String, &Tensor<2>)> {
        let moments = || self.optimizer.moments().iter().flatten();
        let adapters = self.lora.modules().flat_map(|(_, pair)| [&pair.lora_a, &pair.lora_b]);
        let all =
            adapters.chain(moments().map(|moments| &moments.m)).chain(moments().map(|moments| &moments.s));
        self.names().into_iter().zip(all).collect()
    }

    /// The same, to change them.
    pub(crate) fn tensors_mut(&mut self) -> Vec<(String, &mut Tensor<2>)> {
        let names = self.names();
        let (mut first, mut second) = (Vec::new(), Vec::new());
        for moments in self.optimizer.moments_mut().iter_mut().flatten() {
            first.push(&mut moments.m);
            second.push(&mut moments.s);
        }
        let pairs = self.lora.transformer_blocks.iter_mut().flat_map(|block| block.pairs_mut());
        let adapters = pairs.flat_map(|pair| [&mut pair.lora_a, &mut pair.lora_b]);
        names.into_iter().zip(adapters.chain(first).chain(second)).collect()
    }

    fn names(&self) -> Vec<String> {
        let of = |kind: &'static str| {
            let name = move |module: &str, factor| format!("{kind}.{module}.{factor}.weight");
            let modules = self.lora.modules().map(|(module, _)| module);
            modules.flat_map(move |module| ["lora_A", "lora_B"].map(|factor| name(&module, factor)))
        };
        ["lora", "exp_avg", "exp_avg_sq"].into_iter().flat_map(of).collect()
    }

    /// The name of a tensor that holds a value that is no finite number.
    pub(crate) fn not_finite(&self) -> Option<String> {
        let tensors = self.tensors();
        let sums: Vec<Tensor<1>> = tensors.iter().map(|(_, tensor)| (*tensor).clone().sum()).collect();
        // One read from the device, not one a tensor.
        let sums = to_host(Tensor::cat(sums, 0)).0;
        let first = sums.iter().position(|sum| !sum.is_finite())?;
        tensors.into_iter().nth(first).map(|(name, _)| name)
    }

    /// Whether these are adapters of `model` as `plan` wants them.
    pub(crate) fn fits(&self, model: &Transformer, plan: &TrainPlan) -> bool {
        let shapes = |lora: &TransformerLora| -> Vec<[[usize; 2]; 2]> {
            lora.modules().map(|(_, pair)| [pair.lora_a.dims(), pair.lora_b.dims()]).collect()
        };
        shapes(&self.lora) == shapes(&adapters::zeros(model.config(), plan.rank, model.device()))
    }
}
