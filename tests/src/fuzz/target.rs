//! What is run: a part of the product, its inputs, and how they are spoilt.

use std::{io, path::PathBuf};

use serde_json::Value;

use super::{
    archive::ArchiveTarget, control::Control, image::ImageTarget, job::JobTarget, judge::Verdict,
    random::Random, request::RequestTarget, video::VideoTarget,
};

/// One input.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Input {
    /// The extension of its file.
    pub(crate) extension: &'static str,
    pub(crate) bytes: Vec<u8>,
    /// What is asked for along with it; null where there is nothing to ask.
    pub(crate) with: Value,
}

impl Input {
    pub(crate) fn new(extension: &'static str, bytes: impl Into<Vec<u8>>) -> Self {
        Self { extension, bytes: bytes.into(), with: Value::Null }
    }
}

/// Where a case runs.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// The input's file.
    pub(crate) file: PathBuf,
    /// An empty folder, the only one that may be written to.
    pub(crate) work: PathBuf,
}

/// A part of the product that is given inputs.
pub(crate) trait Target {
    /// Inputs as they should be. They must be accepted, and what they take of memory is the baseline.
    fn good(&self) -> Vec<Input>;

    /// A spoilt input, which may still be a good one.
    fn spoilt(&self, random: &mut Random) -> Input;

    /// Runs an input. Panics are caught by the caller.
    fn run(&self, input: &Input, at: &Place) -> Verdict;
}

/// The names of all targets, and the share of time that each gets, in percent.
pub(crate) const TARGETS: [(&str, u64); 5] =
    [("archive", 15), ("image", 20), ("video", 40), ("request", 5), ("job", 20)];

/// The target of that name; none if there is no such target.
pub(crate) fn load(name: &str) -> io::Result<Option<Box<dyn Target>>> {
    Ok(Some(match name {
        "archive" => Box::new(ArchiveTarget),
        "image" => Box::new(ImageTarget),
        "video" => Box::new(VideoTarget::load()?),
        "request" => Box::new(RequestTarget),
        "job" => Box::new(JobTarget::load()?),
        other => match Control::named(other) {
            Some(control) => Box::new(control),
            None => return Ok(None),
        },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_time_add_up_and_every_target_can_be_loaded() {
        assert_eq!(TARGETS.iter().map(|(_, percent)| percent).sum::<u64>(), 100);
        assert!(TARGETS.iter().all(|(name, _)| load(name).unwrap().is_some()));
        assert!(load("archives").unwrap().is_none());
    }

    #[test]
    fn a_case_is_made_the_same_again_and_cases_differ() {
        for (name, _) in TARGETS {
            let target = load(name).unwrap().unwrap();
            let spoilt = |case| target.spoilt(&mut Random::new(11, name, case));
            assert!(spoilt(4) == spoilt(4), "{name}");
            assert!((0..20).any(|case| spoilt(case) != spoilt(4)), "{name}");
        }
    }
}
