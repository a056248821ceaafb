//! What a run is made of, so that one that goes on can be told from another one.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use crate::TrainPlan;

/// Named parts of a run, in order: the plan's own, and whatever else decides the run (the request, each example, the
/// base model) as the caller names it. A value is text: a number, or a digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint(Vec<(String, String)>);

impl Fingerprint {
    /// The parts of a plan.
    pub fn of(plan: &TrainPlan) -> Self {
        Self(plan.parts().map(|(name, value)| (name.to_owned(), value)).into())
    }

    /// Adds a part. Each should have a name of its own, which people are shown.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl fmt::Display) -> Self {
        self.0.push((name.into(), value.to_string()));
        self
    }

    /// Whether there is a part of this name.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(part, _)| part == name)
    }

    /// How `now` differs; empty if it does not.
    pub fn differences(&self, now: &Self) -> Vec<Difference> {
        let (before, after) = (self.by_name(), now.by_name());
        let gone_or_changed = self.0.iter().map(|(name, _)| name);
        let new = now.0.iter().map(|(name, _)| name).filter(|name| !before.contains_key(name.as_str()));
        let difference = |name: &String| Difference {
            part: name.clone(),
            before: before.get(name.as_str()).map(|value| (*value).to_owned()),
            now: after.get(name.as_str()).map(|value| (*value).to_owned()),
        };
        let mut differences: Vec<_> = gone_or_changed.chain(new).map(difference).collect();
        differences.retain(|difference| difference.before != difference.now);
        if differences.is_empty() && self != now {
            let names =
                |parts: &Self| parts.0.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
            let part = "the order of the parts".to_owned();
            differences.push(Difference { part, before: Some(names(self)), now: Some(names(now)) });
        }
        differences
    }

    fn by_name(&self) -> BTreeMap<&str, &str> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }
}

/// A part that is not what it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Its name.
    pub part: String,
    /// What it was, if it was there.
    pub before: Option<String>,
    /// What it is, if it is there.
    pub now: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = &self.part;
        match (&self.before, &self.now) {
            (Some(before), Some(now)) => write!(f, "{part} was {before} and is {now} now"),
            (Some(_), None) => write!(f, "{part} is gone"),
            (None, _) => write!(f, "{part} is new"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(before: &Fingerprint, now: &Fingerprint) -> Vec<String> {
        before.differences(now).iter().map(Difference::to_string).collect()
    }

    #[test]
    fn every_difference_is_named() {
        let fingerprint = || Fingerprint::of(&TrainPlan::default());
        let before = fingerprint().with("clip a", "1").with("clip b", "2");
        assert!(said(&before, &before.clone()).is_empty());
        let now = fingerprint().with("clip b", "3").with("clip c", "2");
        assert_eq!(said(&before, &now), ["clip a is gone", "clip b was 2 and is 3 now", "clip c is new"]);
        let now = fingerprint().with("clip b", "2").with("clip a", "1");
        assert!(said(&before, &now)[0].starts_with("the order of the parts"));
    }

    #[test]
    fn every_number_of_the_plan_counts() {
        let plan = TrainPlan::default;
        let other = [
            TrainPlan { steps: 1, ..plan() },
            TrainPlan { rank: tensor_batch::Rank::R8, ..plan() },
            TrainPlan { learning_rate: 2.000_000_000_000_1e-4, ..plan() },
            TrainPlan { scheduler: crate::maths::Scheduler::Cosine { eta_min: 0.0 }, ..plan() },
            TrainPlan { accumulation: 2, ..plan() },
            TrainPlan { max_grad_norm: 0.0, ..plan() },
            TrainPlan { weight_decay: 0.0, ..plan() },
            TrainPlan { sampler: crate::maths::SigmaSampler::Uniform { min: 0.0, max: 1.0 }, ..plan() },
            TrainPlan { seed: 1, ..plan() },
            TrainPlan { holdout_examples: 1, ..plan() },
        ];
        for plan in &other {
            let differences = Fingerprint::of(&TrainPlan::default()).differences(&Fingerprint::of(plan));
            assert_eq!(differences.len(), 1, "{differences:?}");
        }
    }
}
