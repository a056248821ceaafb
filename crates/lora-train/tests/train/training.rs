//! Whole runs, and how they end.

use std::ops::ControlFlow;

use lora_train::{TrainError, TrainEvent, TrainPlan, train};
use tensor_batch::{Blame, Fault};

use crate::source::{Source, bits, model, plan, run, source};

#[test]
fn the_loss_falls_and_every_module_learns() {
    let (result, events) = run(&source(2), &plan(1));
    let lora = result.unwrap();
    assert_eq!((lora.steps(), lora.delta_rms().len()), (12, 32));
    let fixed: Vec<f64> = events
        .iter()
        .filter_map(|event| if let TrainEvent::Evaluated(at) = event { Some(at.fixed.mean) } else { None })
        .collect();
    assert!(fixed[fixed.len() - 1] < 0.9 * fixed[0], "{fixed:?}");
}

#[test]
fn a_run_is_a_function_of_its_seed() {
    let trained = |seed| bits(run(&source(2), &plan(seed)).0.unwrap().lora());
    assert_eq!(trained(1), trained(1));
    assert_ne!(trained(1), trained(2));
}

#[test]
fn accumulated_micro_steps_make_one_optimiser_step() {
    let plan = TrainPlan { steps: 2, accumulation: 3, ..plan(1) };
    let (result, events) = run(&source(2), &plan);
    assert_eq!(result.unwrap().steps(), 2);
    let tokens: Vec<usize> = events
        .iter()
        .filter_map(|event| if let TrainEvent::Step(report) = event { Some(report.tokens) } else { None })
        .collect();
    assert_eq!(tokens, [24, 24], "three examples of 8 tokens in each step");
}

#[test]
fn a_loss_that_is_no_number_stops_the_run_and_names_the_example() {
    let poisoned = |read| Source { poisoned: read, ..source(1) };
    let Err(TrainError::NotFinite { step, what, example, .. }) = run(&poisoned(1), &plan(1)).0 else {
        panic!("a NaN was evaluated");
    };
    assert_eq!((step, what, example.as_str()), (0, "fixed loss", "a"));
    // Past the evaluation of 16 draws, in the first step.
    let Err(TrainError::NotFinite { step, what, example, sigma }) = run(&poisoned(17), &plan(1)).0 else {
        panic!("a NaN was trained on");
    };
    assert_eq!((step, what, example.as_str()), (1, "loss", "a"));
    assert!((0.0..=1.0).contains(&sigma));
}

#[test]
fn adapters_that_learned_nothing_are_no_result() {
    let idle = TrainPlan { steps: 2, learning_rate: 0.0, ..plan(1) };
    let error = run(&source(1), &idle).0.unwrap_err();
    let TrainError::Unsound { modules } = &error else { panic!("{error}") };
    assert_eq!((modules.len(), error.kind(), error.fault()), (32, "unsound-lora", Fault::Service));
    assert!(error.to_string().contains("transformer_blocks.3.attn2.to_out.0 is zero"), "{error}");
}

#[test]
fn an_example_that_cannot_be_read_ends_the_run_with_its_own_fault() {
    let broken = Source { broken: Some(1), ..source(2) };
    let error = run(&broken, &plan(1)).0.unwrap_err();
    assert_eq!((error.fault(), error.kind()), (Fault::Request, "broken"));
    assert!(matches!(run(&source(0), &plan(1)).0, Err(TrainError::NoExamples)));
}

#[test]
fn the_caller_stops_the_run_after_a_step() {
    let result = train(&source(2), &model(), &plan(1), &mut |event| match event {
        TrainEvent::Step(report) if report.step == 3 => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    assert!(matches!(result, Err(TrainError::Interrupted { step: 3 })));
}
