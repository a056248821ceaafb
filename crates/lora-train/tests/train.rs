//! Training on an in-memory source, with the tiny model.
#![allow(clippy::unwrap_used, reason = "a helper of a test fails by panicking")]

use std::{fmt, ops::ControlFlow, path::Path};

use lora_train::{TrainError, TrainEvent, TrainPlan, TrainedLora, train};
use ltx_model::{Checkpoint, Device, Transformer, to_host};
use ndarray::{Array2, Array3, Array4};
use tensor_batch::{Blame, Fault, FrameRate, LatentExample, LatentMask, LatentSource, Mask, Rank, Stem};

/// Examples in memory; reading number `broken` fails.
struct Source {
    examples: Vec<LatentExample>,
    broken: Option<usize>,
}

#[derive(Debug, PartialEq)]
struct Broken(usize);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "example {} is broken", self.0)
    }
}

impl std::error::Error for Broken {}

impl Blame for Broken {
    fn fault(&self) -> Fault {
        Fault::Request
    }

    fn kind(&self) -> &'static str {
        "broken"
    }
}

impl LatentSource for Source {
    type Error = Broken;

    fn len(&self) -> usize {
        self.examples.len()
    }

    fn get(&self, index: usize) -> Result<LatentExample, Broken> {
        if self.broken == Some(index) { Err(Broken(index)) } else { Ok(self.examples[index].clone()) }
    }
}

/// Two examples of 8 cells each, the second half of them generated.
fn source(value: f32) -> Source {
    let example = |name: &str, shift: f32| {
        let latents = Array4::from_shape_fn((128, 2, 2, 2), |(c, f, h, w)| {
            value * ((c + 3 * f + 5 * h + 7 * w) as f32 * 0.37 + shift).sin()
        });
        let keep = Array3::from_shape_fn((2, 2, 2), |(f, _, _)| f == 0);
        let keep = LatentMask::new(Mask::new(keep)).unwrap();
        let context = Array2::from_shape_fn((16, 128), |(l, d)| ((l * d) as f32 * 0.11 + shift).cos());
        LatentExample::new(Stem::new(name), latents, keep, context, FrameRate::DEFAULT).unwrap()
    };
    Source { examples: vec![example("a", 0.0), example("b", 1.0)], broken: None }
}

fn model() -> Transformer {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/tiny/tiny-ltx-2.3.safetensors");
    Transformer::load(&Checkpoint::open(&path).unwrap(), &Device::flex()).unwrap()
}

fn plan(seed: u64) -> TrainPlan {
    TrainPlan { steps: 12, rank: Rank::R8, learning_rate: 3e-3, seed, ..TrainPlan::default() }
}

fn run(source: &Source, plan: &TrainPlan) -> (Result<TrainedLora, TrainError<Broken>>, Vec<TrainEvent>) {
    let mut events = Vec::new();
    let result = train(source, &model(), plan, &mut |event| {
        events.push(event);
        ControlFlow::Continue(())
    });
    (result, events)
}

fn factors(lora: &TrainedLora) -> Vec<f32> {
    let modules = lora.lora().modules();
    modules
        .flat_map(|(_, pair)| [to_host(pair.lora_a.clone()).0, to_host(pair.lora_b.clone()).0].concat())
        .collect()
}

#[test]
fn the_loss_falls_and_every_module_learns() {
    let (result, events) = run(&source(1.0), &plan(1));
    let lora = result.unwrap();
    assert_eq!((lora.steps(), lora.delta_rms().len()), (12, 32));
    let fixed: Vec<f64> = events
        .iter()
        .filter_map(|event| if let TrainEvent::FixedLoss { loss, .. } = event { Some(*loss) } else { None })
        .collect();
    assert_eq!(fixed.len(), 2);
    assert!(fixed[1] < 0.9 * fixed[0], "{fixed:?}");
    assert_eq!(events.len(), 14);
}

#[test]
fn a_run_is_a_function_of_its_seed() {
    let trained = |seed| factors(&run(&source(1.0), &plan(seed)).0.unwrap());
    assert_eq!(trained(1), trained(1));
    assert_ne!(trained(1), trained(2));
}

#[test]
fn accumulated_micro_steps_make_one_optimiser_step() {
    let plan = TrainPlan { steps: 2, accumulation: 3, ..plan(1) };
    let (result, events) = run(&source(1.0), &plan);
    assert_eq!((result.unwrap().steps(), events.len()), (2, 4));
}

#[test]
fn a_loss_that_is_no_number_stops_the_run_and_names_the_example() {
    let mut source = source(f32::NAN);
    source.examples.truncate(1);
    let Err(TrainError::NotFinite { step, what, example, .. }) = run(&source, &plan(1)).0 else {
        panic!("a NaN was trained on");
    };
    assert_eq!((step, what, example.as_str()), (1, "loss", "a"));
}

#[test]
fn an_example_that_cannot_be_read_ends_the_run_with_its_own_fault() {
    let broken = Source { broken: Some(1), ..source(1.0) };
    let error = run(&broken, &plan(1)).0.unwrap_err();
    assert_eq!((error.fault(), error.kind()), (Fault::Request, "broken"));
    let empty = Source { examples: Vec::new(), broken: None };
    assert!(matches!(run(&empty, &plan(1)).0, Err(TrainError::NoExamples)));
}

#[test]
fn the_caller_stops_the_run_after_a_step() {
    let result = train(&source(1.0), &model(), &plan(1), &mut |event| match event {
        TrainEvent::Step(report) if report.step == 3 => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    assert!(matches!(result, Err(TrainError::Interrupted { step: 3 })));
}
