//! Losses that can be read.

use std::ops::ControlFlow;

use lora_train::{Evaluation, Pace, StepReport, TrainError, TrainEvent, TrainPlan, TrainState, Trainer};
use tensor_batch::{Blame, Fault};

use crate::source::{Source, bits, model, plan, run, source};

/// The evaluations of a run, and its steps.
fn told(source: &Source, plan: &TrainPlan, every: usize) -> (Vec<Evaluation>, Vec<StepReport>) {
    let (model, mut evaluations, mut steps) = (model(), Vec::new(), Vec::new());
    let trainer = Trainer::new(source, &model, plan, TrainState::new(&model, plan)).unwrap();
    let pace = Pace { fixed_loss_every: every, ..Pace::of(plan) };
    let result = trainer.run(&pace, &mut |event, state| {
        match event {
            TrainEvent::Evaluated(evaluation) => evaluations.push(evaluation),
            TrainEvent::Step(report) => {
                assert_eq!(report.step, state.step());
                steps.push(report);
            }
            _ => {}
        }
        ControlFlow::Continue(())
    });
    assert!(result.is_ok());
    (evaluations, steps)
}

#[test]
fn a_run_is_evaluated_before_it_at_every_interval_and_after_it() {
    let steps = |every| told(&source(2), &plan(1), every).0.iter().map(|at| at.step).collect::<Vec<_>>();
    assert_eq!(steps(5), [0, 5, 10, 12]);
    assert_eq!(steps(6), [0, 6, 12]);
    assert_eq!(steps(0), [0, 12]);
    assert_eq!(Pace::of(&TrainPlan { steps: 2000, ..plan(1) }).fixed_loss_every, 200);
    assert_eq!(Pace::of(&plan(1)).fixed_loss_every, 2, "a tenth, rounded up");
}

#[test]
fn the_losses_of_steps_are_averaged_since_the_last_evaluation_and_by_quarter() {
    let (evaluations, steps) = told(&source(2), &plan(1), 8);
    assert_eq!(evaluations[0].steps, None);
    for (evaluation, of) in evaluations[1..].iter().zip([0..8, 8..12]) {
        let losses = evaluation.steps.unwrap();
        let mean = |reports: Vec<&StepReport>| {
            let sum: f64 = reports.iter().map(|report| report.loss).sum();
            (!reports.is_empty()).then(|| sum / reports.len() as f64)
        };
        let steps = &steps[of];
        assert!((losses.mean - mean(steps.iter().collect()).unwrap()).abs() < 1e-12);
        for (quarter, found) in losses.by_sigma.into_iter().enumerate() {
            let inside = |report: &&StepReport| ((report.sigma * 4.0) as usize).min(3) == quarter;
            let wanted = mean(steps.iter().filter(inside).collect());
            assert_eq!(found.is_some(), wanted.is_some());
            assert!((found.unwrap_or(0.0) - wanted.unwrap_or(0.0)).abs() < 1e-12);
        }
    }
}

#[test]
fn the_fixed_loss_does_not_change_unless_the_adapters_do() {
    let still = TrainPlan { learning_rate: 0.0, ..plan(1) };
    let (source, model) = (source(2), model());
    let mut trainer = Trainer::new(&source, &model, &still, TrainState::new(&model, &still)).unwrap();
    let before = trainer.evaluate().unwrap();
    trainer.step().unwrap();
    let after = trainer.evaluate().unwrap();
    assert_eq!((before.fixed, before.holdout), (after.fixed, None));
    assert_eq!((before.step, after.step), (0, 1));
}

#[test]
fn how_often_a_run_is_evaluated_does_not_change_what_it_learns() {
    let (source, model, plan) = (source(3), model(), plan(4));
    let trained = |every| {
        let trainer = Trainer::new(&source, &model, &plan, TrainState::new(&model, &plan)).unwrap();
        let pace = Pace { fixed_loss_every: every, ..Pace::of(&plan) };
        bits(trainer.run(&pace, &mut |_, _| ControlFlow::Continue(())).unwrap().lora())
    };
    assert_eq!(trained(0), trained(1));
}

#[test]
fn held_out_examples_have_a_loss_and_are_never_trained_on() {
    let mut held_out = TrainPlan { holdout_examples: 2, ..plan(1) };
    let (evaluations, _) = told(&source(5), &held_out, 0);
    assert!(evaluations.iter().all(|at| at.holdout.is_some_and(|losses| losses.mean > 0.0)));

    // The examples that matter to the result are the three others, each of which has its turn in three steps.
    let model = model();
    let trained = |source: &Source| {
        let state = TrainState::new(&model, &held_out);
        let mut trainer = Trainer::new(source, &model, &held_out, state).unwrap();
        for _ in 0..3 {
            trainer.step().unwrap();
        }
        bits(trainer.state().lora())
    };
    let whole = trained(&source(5));
    let matters = |index: usize| {
        let mut changed = source(5);
        changed.examples[index] = crate::source::example("z", 40.0);
        trained(&changed) != whole
    };
    let count = (0..5).filter(|index| matters(*index)).count();
    assert_eq!(count, 3);

    held_out.holdout_examples = 5;
    let error = run(&source(5), &held_out).0.unwrap_err();
    assert!(matches!(error, TrainError::NoneLeft { examples: 5, held_out: 5 }));
    assert_eq!(error.fault(), Fault::Request);
}
