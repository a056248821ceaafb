use std::{ops::ControlFlow, path::Path};

use burn::tensor::Device;
use ltx_model::{BasePrecision, Checkpoint};
use ndarray::{Array2, Array3, Array4};
use tensor_batch::{FrameRate, LatentExample, LatentMask, Mask, Rank};

use super::*;
use crate::CacheError;

/// One example of two cells.
struct One;

impl LatentSource for One {
    type Error = CacheError;

    fn len(&self) -> usize {
        1
    }

    fn get(&self, _: usize) -> Result<LatentExample, CacheError> {
        let latents = Array4::from_shape_fn((128, 2, 1, 1), |(c, f, ..)| (c as f32 + 7.0 * f as f32).sin());
        let keep = LatentMask::new(Mask::new(Array3::from_elem((2, 1, 1), false))).unwrap();
        let context = Array2::from_elem((4, 128), 0.5);
        Ok(LatentExample::new(Stem::new("one"), latents, keep, context, FrameRate::DEFAULT).unwrap())
    }
}

/// A huge `A` beside a `B` of zeros changes no prediction, so that the loss is a number; the gradient of `B` is not.
#[test]
fn a_gradient_that_is_no_number_stops_the_run_and_leaves_the_last_good_snapshot() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/tiny/tiny-ltx-2.3.safetensors");
    let model = Transformer::load(&Checkpoint::open(&path).unwrap(), &Device::flex(), BasePrecision::Float32)
        .unwrap();
    let plan = TrainPlan { steps: 3, rank: Rank::R8, ..TrainPlan::default() };
    let mut state = TrainState { step: 1, ..TrainState::new(&model, &plan) };
    let dir = tempfile::tempdir().unwrap();
    let (snapshots, fingerprint) = (Snapshots::open(dir.path()).unwrap(), Fingerprint::of(&plan));
    snapshots.save(&state, &fingerprint).unwrap();
    for pair in state.lora.transformer_blocks[1].pairs_mut() {
        pair.lora_a = pair.lora_a.clone() * 1e30;
    }
    let trainer = Trainer::new(&One, &model, &plan, state).unwrap();
    let largest = trainer.largest().unwrap();
    let error = trainer.rehearse(&largest, None).unwrap_err();
    assert!(matches!(error, TrainError::NotFinite { step: 1, what: "rehearsed gradient", .. }), "{error}");

    let keep = Keep { snapshots: &snapshots, fingerprint: &fingerprint, every: 1 };
    let pace = Pace { fixed_loss_every: 0, keep: Some(keep) };
    let error = trainer.run(&pace, &mut |_, _| ControlFlow::Continue(())).unwrap_err();
    let TrainError::NotFinite { step: 2, what: "gradient", example, sigma } = error else {
        panic!("{error}");
    };
    assert_eq!(example.as_str(), "one");
    assert!((0.0..=1.0).contains(&sigma));
    assert_eq!(snapshots.latest().unwrap().snapshot.map(|snapshot| snapshot.step()), Some(1));
}
