//! What crash runs came to.

use std::{collections::BTreeMap, fmt};

use serde_json::{Value, json};

/// A state that was spoilt, or not, and whether the judge noticed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Control {
    /// What was done to it.
    pub name: &'static str,
    /// Whether it was spoilt.
    pub is_spoilt: bool,
    /// Whether the judge saw a difference in the end.
    pub is_noticed: bool,
}

/// What crash runs came to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// Processes that were killed, by the stage that they had told last.
    pub kills: BTreeMap<String, u64>,
    /// How many of them were going on with a run that had been killed before.
    pub kills_of_resumed: u64,
    /// Runs that were killed, resumed, and in the end finished.
    pub runs: u64,
    /// How many of them ended with the bytes of the undisturbed one.
    pub identical: u64,
    /// The most often that one run was killed.
    pub most_kills: u64,
    /// States that were spoilt on purpose.
    pub controls: Vec<Control>,
    /// Disk operations that were made to fail.
    pub disk_faults: usize,
    /// What was wrong.
    pub findings: Vec<String>,
    /// Wall time.
    pub seconds: f64,
}

impl Report {
    /// All kills.
    pub fn all_kills(&self) -> u64 {
        self.kills.values().sum()
    }

    /// Whether nothing was wrong, and every control came out as it should.
    pub fn is_clean(&self) -> bool {
        let controls = self.controls.iter().all(|control| control.is_spoilt == control.is_noticed);
        self.findings.is_empty() && controls && self.identical == self.runs
    }

    /// The report for programs.
    pub fn json(&self) -> Value {
        let controls: BTreeMap<_, _> =
            self.controls.iter().map(|control| (control.name, control.is_noticed)).collect();
        json!({
            "kills": self.all_kills(), "by_stage": self.kills, "kills_of_resumed": self.kills_of_resumed,
            "most_kills": self.most_kills, "runs": self.runs, "identical": self.identical,
            "controls_noticed": controls, "disk_faults": self.disk_faults, "findings": self.findings,
            "seconds": self.seconds,
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stages: Vec<String> =
            self.kills.iter().map(|(stage, kills)| format!("{stage} {kills}")).collect();
        writeln!(f, "kills             {} ({})", self.all_kills(), stages.join(", "))?;
        writeln!(f, "  during a resume {}", self.kills_of_resumed)?;
        writeln!(f, "finished runs     {}, killed up to {} times each", self.runs, self.most_kills)?;
        writeln!(f, "  byte-identical  {} of {}", self.identical, self.runs)?;
        for control in &self.controls {
            let seen = if control.is_noticed { "a difference" } else { "no difference" };
            let right = if control.is_noticed == control.is_spoilt { "as it should" } else { "WRONG" };
            writeln!(f, "control           {}: {seen}, {right}", control.name)?;
        }
        writeln!(f, "disk faults       {}, a whole snapshot loads after each", self.disk_faults)?;
        writeln!(f, "findings          {}", self.findings.len())?;
        self.findings.iter().try_for_each(|finding| writeln!(f, "  - {finding}"))?;
        writeln!(f, "{:.0} s", self.seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_wrong_makes_a_report_unclean() {
        let control = |is_spoilt, is_noticed| Control { name: "x", is_spoilt, is_noticed };
        let good =
            || Report { runs: 2, identical: 2, controls: vec![control(true, true)], ..Report::default() };
        assert!(good().is_clean());
        assert!(!Report { identical: 1, ..good() }.is_clean());
        assert!(!Report { findings: vec!["lost".to_owned()], ..good() }.is_clean());
        for (is_spoilt, is_noticed) in [(true, false), (false, true)] {
            assert!(!Report { controls: vec![control(is_spoilt, is_noticed)], ..good() }.is_clean());
        }
        assert!(good().to_string().contains("control           x: a difference, as it should"));
    }
}
