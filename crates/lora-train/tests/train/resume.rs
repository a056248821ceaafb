//! A run that goes on is the run that was never interrupted.

use std::{fs, ops::ControlFlow, path::Path};

use lora_train::{
    Fingerprint, Keep, Pace, SnapshotError, Snapshots, TrainError, TrainEvent, TrainPlan, TrainState,
    Trainer, maths::Scheduler,
};
use ltx_model::{Transformer, to_host};
use tensor_batch::{Blame, Fault, Rank};

use crate::source::{Broken, Source, Trained, bits, model, plan, source};

fn fingerprint(plan: &TrainPlan) -> Fingerprint {
    Fingerprint::of(plan).with("data", "two examples")
}

/// The state of the newest snapshot, or a new one.
fn state(dir: &Path, model: &Transformer, plan: &TrainPlan) -> TrainState {
    match Snapshots::open(dir).unwrap().latest().unwrap().snapshot {
        Some(snapshot) => snapshot.restore(&fingerprint(plan), plan, model).unwrap(),
        None => TrainState::new(model, plan),
    }
}

/// Goes on with the run in `dir`, with a snapshot every 2 steps, and stops it after a step. Gives what it told, in
/// words, too.
fn go_on(dir: &Path, source: &Source, plan: &TrainPlan, stop_after: usize) -> (Trained, Vec<String>) {
    let (model, snapshots, fingerprint) = (model(), Snapshots::open(dir).unwrap(), fingerprint(plan));
    let keep = Keep { snapshots: &snapshots, fingerprint: &fingerprint, every: 2 };
    let pace = Pace { fixed_loss_every: 3, keep: Some(keep) };
    let mut told = Vec::new();
    let trainer = Trainer::new(source, &model, plan, state(dir, &model, plan)).unwrap();
    let result = trainer.run(&pace, &mut |event, _| {
        let stops = matches!(&event, TrainEvent::Step(report) if report.step == stop_after);
        told.push(match event {
            TrainEvent::Step(report) => {
                format!("step {} {} {}", report.step, report.loss, report.learning_rate)
            }
            other => format!("{other:?}"),
        });
        if stops { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    (result, told)
}

/// Every bit of adapters and moments.
fn state_bits(state: &TrainState) -> Vec<u32> {
    let moments = state.optimizer().moments().iter().flatten();
    let moments = moments.flat_map(|moments| [to_host(moments.m.clone()).0, to_host(moments.s.clone()).0]);
    bits(state.lora()).into_iter().chain(moments.flatten().map(f32::to_bits)).collect()
}

#[test]
fn a_resumed_run_ends_with_the_same_bits_under_every_scheduler() {
    let schedulers = [
        Scheduler::Constant,
        Scheduler::LINEAR,
        Scheduler::COSINE,
        Scheduler::COSINE_WITH_RESTARTS,
        Scheduler::POLYNOMIAL,
        Scheduler::STEP,
    ];
    let (source, model) = (source(3), model());
    for (case, scheduler) in schedulers.into_iter().enumerate() {
        let plan = TrainPlan { steps: 6, scheduler, accumulation: 1 + case % 2, ..plan(case as u64) };
        let mut whole = Trainer::new(&source, &model, &plan, TrainState::new(&model, &plan)).unwrap();
        let reports: Vec<_> = (0..6).map(|_| whole.step().unwrap()).collect();

        let dir = tempfile::tempdir().unwrap();
        let at = 1 + case % 5;
        assert!(matches!(
            go_on(dir.path(), &source, &plan, at).0,
            Err(TrainError::Interrupted { step }) if step == at
        ));
        let mut resumed = Trainer::new(&source, &model, &plan, state(dir.path(), &model, &plan)).unwrap();
        assert_eq!(resumed.state().step(), at);
        for wanted in &reports[at..] {
            let report = resumed.step().unwrap();
            assert_eq!((report.loss, report.learning_rate), (wanted.loss, wanted.learning_rate));
        }
        assert_eq!(state_bits(resumed.state()), state_bits(whole.state()), "{scheduler:?} from step {at}");
        assert_eq!(resumed.state().optimizer().updates(), 6);
    }
}

#[test]
fn wherever_a_run_is_stopped_it_tells_the_same_in_the_end() {
    let (source, plan) = (source(2), TrainPlan { steps: 7, ..plan(3) });
    let in_words = |told: Vec<String>| -> Vec<String> {
        told.into_iter().filter(|line| !line.starts_with("Saved")).collect()
    };
    let dir = tempfile::tempdir().unwrap();
    let (whole, told) = go_on(dir.path(), &source, &plan, 0);
    let (whole, told) = (bits(whole.unwrap().lora()), in_words(told));
    for stop in 1..=7 {
        let dir = tempfile::tempdir().unwrap();
        let mut both = go_on(dir.path(), &source, &plan, stop).1;
        let (result, rest) = go_on(dir.path(), &source, &plan, 0);
        both.extend(rest);
        assert_eq!(bits(result.unwrap().lora()), whole, "stopped after step {stop}");
        assert_eq!(in_words(both), told, "stopped after step {stop}");
    }
}

#[test]
fn the_newest_two_are_kept_and_a_damaged_one_falls_back() {
    let (source, plan) = (source(2), TrainPlan { steps: 7, ..plan(3) });
    let dir = tempfile::tempdir().unwrap();
    let whole = bits(go_on(dir.path(), &source, &plan, 0).0.unwrap().lora());
    let path = |step: usize| dir.path().join(format!("snapshot-{step:06}.safetensors"));
    let names = || {
        let mut names: Vec<_> =
            fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        names.sort();
        names
    };
    assert_eq!(names(), [path(6), path(7)]);

    let bytes = fs::read(path(7)).unwrap();
    fs::write(path(7), &bytes[..bytes.len() - 100]).unwrap();
    let latest = Snapshots::open(dir.path()).unwrap().latest().unwrap();
    assert_eq!(latest.snapshot.map(|snapshot| snapshot.step()), Some(6));
    assert_eq!((latest.damaged.len(), latest.damaged[0].step), (1, 7));
    assert!(latest.damaged[0].path.exists() && !path(7).exists());
    assert_eq!(bits(go_on(dir.path(), &source, &plan, 0).0.unwrap().lora()), whole);

    for step in [6, 7] {
        let mut bytes = fs::read(path(step)).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(path(step), bytes).unwrap();
    }
    let latest = Snapshots::open(dir.path()).unwrap().latest().unwrap();
    assert!(latest.snapshot.is_none());
    assert_eq!(latest.damaged.iter().map(|damaged| damaged.step).collect::<Vec<_>>(), [7, 6]);
}

#[test]
fn a_snapshot_under_another_name_is_not_believed() {
    let (source, plan) = (source(2), TrainPlan { steps: 3, ..plan(3) });
    let dir = tempfile::tempdir().unwrap();
    go_on(dir.path(), &source, &plan, 0).0.unwrap();
    let path = |step: usize| dir.path().join(format!("snapshot-{step:06}.safetensors"));
    fs::copy(path(2), path(9)).unwrap();
    let latest = Snapshots::open(dir.path()).unwrap().latest().unwrap();
    assert_eq!(latest.snapshot.map(|snapshot| snapshot.step()), Some(3));
    assert_eq!(latest.damaged[0].step, 9);
}

#[test]
fn another_run_is_refused_with_every_difference_named() {
    let (source, model, plan) = (source(2), model(), TrainPlan { steps: 2, ..plan(3) });
    let dir = tempfile::tempdir().unwrap();
    go_on(dir.path(), &source, &plan, 0).0.unwrap();
    let snapshot = Snapshots::open(dir.path()).unwrap().latest().unwrap().snapshot.unwrap();
    let other = TrainPlan { learning_rate: 1e-3, rank: Rank::R16, ..plan.clone() };
    let now = Fingerprint::of(&other).with("data", "three examples");
    let error = snapshot.restore(&now, &other, &model).unwrap_err();
    assert_eq!(error.fault(), Fault::Request);
    let SnapshotError::Changed { differences } = &error else { panic!("{error}") };
    let parts: Vec<&str> = differences.iter().map(|difference| difference.part.as_str()).collect();
    assert_eq!(parts, ["rank", "learning_rate", "data"]);
    assert!(error.to_string().contains("data was two examples and is three examples now"), "{error}");

    // A fingerprint that lies does not get tensors of other shapes in, and neither does a state of another run.
    let error = snapshot.restore(&fingerprint(&plan), &other, &model).unwrap_err();
    assert!(matches!(error, SnapshotError::Unfit { .. }), "{error}");
    let error =
        Trainer::new(&source, &model, &other, TrainState::new(&model, &plan)).map(|_| ()).unwrap_err();
    assert!(matches!(error, TrainError::Unfit));
}

#[test]
fn numbers_that_stop_being_finite_leave_the_last_good_snapshot() {
    let plan = TrainPlan { steps: 7, ..plan(3) };
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let healthy = source(2);
    let whole = bits(go_on(other.path(), &healthy, &plan, 0).0.unwrap().lora());
    // 16 reads before the first step and 16 after the third: read 16 + 3 + 16 + 2 is that of step 5.
    let sick = Source { poisoned: 37, ..source(2) };
    let error: TrainError<Broken> = go_on(dir.path(), &sick, &plan, 0).0.unwrap_err();
    assert!(matches!(error, TrainError::NotFinite { step: 5, what: "loss", .. }), "{error}");
    let latest = Snapshots::open(dir.path()).unwrap().latest().unwrap();
    assert_eq!(latest.snapshot.map(|snapshot| snapshot.step()), Some(4));
    assert_eq!(bits(go_on(dir.path(), &healthy, &plan, 0).0.unwrap().lora()), whole);
}

#[test]
fn adapters_that_are_not_finite_are_not_saved() {
    // The first update with such a rate is past the largest float; loss and gradient of that step are still fine.
    let plan = TrainPlan { steps: 2, learning_rate: 1e38, weight_decay: 100.0, ..plan(3) };
    let dir = tempfile::tempdir().unwrap();
    let snapshots = Snapshots::open(dir.path()).unwrap();
    let (source, model, fingerprint) = (source(2), model(), fingerprint(&plan));
    let keep = Keep { snapshots: &snapshots, fingerprint: &fingerprint, every: 1 };
    let pace = Pace { fixed_loss_every: 0, keep: Some(keep) };
    let trainer = Trainer::new(&source, &model, &plan, TrainState::new(&model, &plan)).unwrap();
    let error = trainer.run(&pace, &mut |_, _| ControlFlow::Continue(())).unwrap_err();
    assert!(matches!(error, TrainError::NotFinite { step: 1, what: "adapter", .. }), "{error}");
    assert!(snapshots.latest().unwrap().snapshot.is_none());
}
