//! Blocks on the host: the numbers are those of blocks on the device.

use lora_train::{
    adapters,
    maths::SigmaSampler,
    random::{Draws, Purpose},
    step::{self, Batch},
};
use ltx_model::{BasePrecision, to_host};
use tensor_batch::Rank;

use crate::source::{example, model_beside};

/// The bits of a step's prediction, loss and gradients.
fn step_bits(precision: BasePrecision, hosted: usize, kept_bytes: u64) -> Vec<u32> {
    let model = model_beside(precision, hosted);
    assert_eq!(model.hosted(), hosted);
    let mut draws = Draws::new(1, Purpose::Step, 0);
    let batch = Batch::of(&example("a", 0.0), &model, &SigmaSampler::default(), &mut draws);
    let mut lora = adapters::init(model.config(), Rank::R8, 1, model.device());
    for pair in lora.transformer_blocks.iter_mut().flat_map(|block| block.pairs_mut()) {
        pair.lora_b = pair.lora_b.ones_like() * 0.02;
    }
    let (prediction, _) = step::predict(&model, &lora, &batch);
    let given = step::gradients_within(&model, &lora, &batch, kept_bytes);
    let gradients = given.gradients.into_iter().flatten().flat_map(|gradient| to_host(gradient).0);
    let all = to_host(prediction).0.into_iter().chain(to_host(given.loss).0).chain(gradients);
    all.map(f32::to_bits).collect()
}

#[test]
fn a_step_does_not_depend_on_where_its_blocks_wait() {
    for precision in BasePrecision::ALL {
        for kept_bytes in [0, u64::MAX] {
            let right = step_bits(precision, 0, kept_bytes);
            for hosted in [1, 3, 4] {
                assert!(step_bits(precision, hosted, kept_bytes) == right, "{precision}, {hosted} hosted");
            }
        }
    }
}
