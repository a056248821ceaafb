//! What is rehearsed before the first step, and that it moves nothing.

use std::{fs, fs::File, io, ops::ControlFlow};

use lora_train::{
    Disk, Fingerprint, Keep, Pace, SnapshotError, Snapshots, TrainError, TrainPlan, TrainState, Trainer,
};
use ndarray::{Array2, Array3, Array4};
use tensor_batch::{Blame, FrameRate, LatentExample, LatentMask, Mask, Stem};

use crate::source::{Source, bits, model, plan, source};

/// Three examples; the second has twelve cells, the others eight.
fn uneven() -> Source {
    let mut source = source(3);
    let latents = Array4::from_shape_fn((128, 3, 2, 2), |(c, f, h, w)| ((c + f + h + w) as f32).sin());
    let keep = LatentMask::new(Mask::new(Array3::from_elem((3, 2, 2), false))).unwrap();
    let context = Array2::from_elem((16, 128), 0.5);
    source.examples[1] =
        LatentExample::new(Stem::new("large"), latents, keep, context, FrameRate::DEFAULT).unwrap();
    source
}

/// The bits of a run of `plan`, rehearsed first or not, that keeps snapshots in a folder.
fn trained(plan: &TrainPlan, is_rehearsed: bool) -> Vec<u32> {
    let (source, model, dir) = (uneven(), model(), tempfile::tempdir().unwrap());
    let (snapshots, fingerprint) = (Snapshots::open(dir.path()).unwrap(), Fingerprint::of(plan));
    let keep = Keep { snapshots: &snapshots, fingerprint: &fingerprint, every: 2 };
    let trainer = Trainer::new(&source, &model, plan, TrainState::new(&model, plan)).unwrap();
    if is_rehearsed {
        let largest = trainer.largest().unwrap();
        assert_eq!((largest.example.as_str(), largest.size.tokens), ("large", 12));
        let rehearsal = trainer.rehearse(&largest, Some(&keep)).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "the rehearsed snapshot is gone");
        snapshots.save(trainer.state(), &fingerprint).unwrap();
        let snapshot = fs::read_dir(dir.path()).unwrap().next().unwrap().unwrap();
        assert_eq!(snapshot.metadata().unwrap().len(), rehearsal.snapshot_bytes);
        assert_eq!(snapshots.count().unwrap(), 1);
    }
    let pace = Pace { keep: Some(keep), ..Pace::of(plan) };
    bits(trainer.run(&pace, &mut |_, _| ControlFlow::Continue(())).unwrap().lora())
}

#[test]
fn a_rehearsed_run_ends_with_the_bits_of_one_that_was_not() {
    for accumulation in [1, 3] {
        let plan = TrainPlan { steps: 4, accumulation, ..plan(5) };
        assert_eq!(trained(&plan, true), trained(&plan, false));
    }
}

/// A disk that takes nothing.
#[derive(Debug)]
struct Full;

impl Disk for Full {
    fn write(&self, _: &mut File, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::StorageFull.into())
    }
}

#[test]
fn a_run_that_has_no_room_for_a_snapshot_fails_before_its_first_step() {
    let (source, model, plan, dir) = (uneven(), model(), plan(5), tempfile::tempdir().unwrap());
    let snapshots = Snapshots::on(Full, dir.path()).unwrap();
    let keep = Keep { snapshots: &snapshots, fingerprint: &Fingerprint::of(&plan), every: 2 };
    let trainer = Trainer::new(&source, &model, &plan, TrainState::new(&model, &plan)).unwrap();
    let largest = trainer.largest().unwrap();
    let error = trainer.rehearse(&largest, Some(&keep)).unwrap_err();
    assert!(matches!(&error, TrainError::Snapshot(SnapshotError::Io { .. })), "{error}");
    assert_eq!(error.kind(), "snapshot-io");
    assert_eq!(trainer.rehearse(&largest, None).unwrap().snapshot_bytes, 0);
}

#[test]
fn examples_that_cannot_be_read_or_give_no_numbers_are_found_before_the_first_step() {
    let (model, plan) = (model(), plan(5));
    let largest = |source: &Source| {
        let trainer = Trainer::new(source, &model, &plan, TrainState::new(&model, &plan)).unwrap();
        trainer.largest().and_then(|largest| trainer.rehearse(&largest, None))
    };
    let error = largest(&Source { broken: Some(2), ..uneven() }).unwrap_err();
    assert_eq!(error.kind(), "broken");
    // Three reads find the largest; the fourth is the rehearsed one's.
    let error = largest(&Source { poisoned: 4, ..uneven() }).unwrap_err();
    let TrainError::NotFinite { step: 0, what: "rehearsed loss", example, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(example.as_str(), "large");
}
