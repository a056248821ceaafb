//! Targets that misbehave on purpose, each in one way: what the judge is tested with.

use std::{fs, hint::black_box, process, thread, time::Duration};

use tensor_batch::ShapeMismatch;

use super::{
    judge::{self, Answer, Verdict},
    random::Random,
    target::{Input, Place, Target},
};

type Deed = fn(&Place) -> Verdict;

const CONTROLS: [(&str, Deed); 12] = [
    ("control-good", |_| Ok(Answer::rejected("no-clips"))),
    ("control-panic", panics),
    ("control-thread-panic", panics_elsewhere),
    ("control-abort", |_| process::abort()),
    ("control-exit", |_| process::exit(0)),
    ("control-hang", hangs),
    ("control-memory", eats_memory),
    ("control-service", blames_the_service),
    ("control-blank", |_| judge::fault("no-clips", "").map(|()| Answer::Accepted)),
    ("control-kind", |_| judge::fault("some-kind", "a message").map(|()| Answer::Accepted)),
    ("control-escape", writes_outside),
    (BAD_SEED, |_| Ok(Answer::Accepted)),
];
/// The control that does not accept what it should.
const BAD_SEED: &str = "control-bad-seed";
/// The case, of seed 0, in which a control does its deed.
const DEED_CASE: u64 = 2;

/// A target that accepts every input but one.
pub(super) struct Control {
    name: &'static str,
    deed: Deed,
}

impl Control {
    pub(super) fn named(name: &str) -> Option<Self> {
        CONTROLS.into_iter().find(|(known, _)| *known == name).map(|(name, deed)| Self { name, deed })
    }
}

impl Target for Control {
    fn good(&self) -> Vec<Input> {
        vec![Input::new("txt", "good")]
    }

    fn spoilt(&self, random: &mut Random) -> Input {
        Input::new("txt", random.bits().to_string())
    }

    fn run(&self, input: &Input, at: &Place) -> Verdict {
        let deed = self.spoilt(&mut Random::new(0, self.name, DEED_CASE));
        match input {
            input if *input == deed => (self.deed)(at),
            input if self.name == BAD_SEED && self.good().contains(input) => Ok(Answer::rejected("no-clips")),
            _ => Ok(Answer::Accepted),
        }
    }
}

#[allow(clippy::panic, reason = "this is what it is for")]
fn panics(_: &Place) -> Verdict {
    panic!("a control panics")
}

/// A panic that no caller sees and nobody answers for.
fn panics_elsewhere(at: &Place) -> Verdict {
    let at = at.clone();
    let _ = thread::spawn(move || panics(&at)).join();
    Ok(Answer::Accepted)
}

fn hangs(_: &Place) -> Verdict {
    loop {
        thread::sleep(Duration::from_secs(1));
    }
}

fn eats_memory(_: &Place) -> Verdict {
    let eaten = black_box(vec![1u8; 200 << 20]);
    judge::holds(eaten.len() > 1, String::new).map(|()| Answer::Accepted)
}

fn blames_the_service(_: &Place) -> Verdict {
    judge::error(&ShapeMismatch { what: "control", found: vec![1], wanted: vec![2] })
}

fn writes_outside(at: &Place) -> Verdict {
    fs::write(at.work.join("..").join("stray"), "outside")?;
    Ok(Answer::Accepted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let names: std::collections::HashSet<_> = CONTROLS.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), CONTROLS.len());
    }
}
