//! How long every stage took, over all processes that worked on a run.

use std::{fs, io, path::Path, time::Duration};

use lora_train::write_whole;
use serde::{Deserialize, Serialize};

use crate::Stage;

/// Seconds by stage, in the order in which the stages first came.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Timings {
    /// How many processes worked on the run; more than one if it was resumed.
    pub(crate) processes: u32,
    /// What each stage is called, and how long it took.
    pub(crate) stages: Vec<(String, f64)>,
}

impl Timings {
    /// What earlier processes wrote to `path`. What cannot be read is not known: that costs nobody the run.
    pub(crate) fn read(path: &Path) -> Self {
        let read = fs::read(path).ok().and_then(|json| serde_json::from_slice(&json).ok());
        read.unwrap_or_default()
    }

    /// Keeps them for a later process.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        write_whole(path, &serde_json::to_vec(self)?)
    }

    /// These, with what this process has `spent`.
    pub(crate) fn with(&self, spent: &[(Stage, Duration)]) -> Self {
        let mut sum = Self { processes: self.processes + 1, ..self.clone() };
        for (stage, time) in spent {
            let seconds = time.as_secs_f64();
            match sum.stages.iter_mut().find(|(name, _)| name == stage.name()) {
                Some((_, before)) => *before += seconds,
                None => sum.stages.push((stage.name().to_owned(), seconds)),
            }
        }
        sum
    }

    /// Of all stages.
    pub(crate) fn total(&self) -> f64 {
        self.stages.iter().map(|(_, seconds)| seconds).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_processes_spend_adds_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("timings.json");
        assert_eq!(Timings::read(&path), Timings::default());
        let second = Duration::from_secs(1);
        let first = Timings::read(&path).with(&[(Stage::Fetch, second), (Stage::Train, 3 * second)]);
        first.write(&path).unwrap();
        let both = Timings::read(&path).with(&[
            (Stage::Fetch, second),
            (Stage::Train, second),
            (Stage::Publish, second),
        ]);
        let wanted = [(Stage::Fetch, 2.0), (Stage::Train, 4.0), (Stage::Publish, 1.0)];
        assert_eq!(both.stages, wanted.map(|(stage, seconds)| (stage.name().to_owned(), seconds)));
        assert_eq!((both.processes, both.total()), (2, 7.0));
        fs::write(&path, "{").unwrap();
        assert_eq!(Timings::read(&path), Timings::default());
    }
}
