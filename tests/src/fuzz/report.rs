//! What was found, and the table.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use serde_json::{Value, json};

use super::memory;

/// What was wrong with a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A panic, in whatever thread.
    Panic,
    /// The process died.
    Crash,
    /// No result in time.
    Hang,
    /// An error that blames the service, has no known kind, or cannot be shown.
    Untyped,
    /// A promise that was not kept.
    Broken,
    /// More memory than allowed over the baseline.
    Memory,
}

impl Fault {
    fn name(self) -> &'static str {
        match self {
            Self::Panic => "panic",
            Self::Crash => "crash",
            Self::Hang => "hang",
            Self::Untyped => "untyped",
            Self::Broken => "broken",
            Self::Memory => "memory",
        }
    }
}

/// A case with which something was wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The target.
    pub target: String,
    /// The seed of the run.
    pub seed: u64,
    /// The case.
    pub case: u64,
    /// What was wrong.
    pub fault: Fault,
    /// What there is to say about it.
    pub text: String,
    /// Where its input is kept.
    pub kept: PathBuf,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, seed, case, fault, text, kept } = self;
        let (fault, kept) = (fault.name(), kept.display());
        write!(f, "{fault}: {text}\n  --target {target} --seed {seed} --case {case}, kept as {kept}")
    }
}

/// One line of the table: what became of the cases of a target.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    target: String,
    pub(super) cases: u64,
    pub(super) accepted: u64,
    /// Rejections by the kind of their first fault.
    rejected: BTreeMap<String, u64>,
    panics: u64,
    crashes: u64,
    hangs: u64,
    untyped: u64,
    broken: u64,
    memory: u64,
    peak_kib: u64,
    peak_case: Option<u64>,
    pub(super) seconds: f64,
}

impl Row {
    pub(super) fn new(target: &str) -> Self {
        let target = target.to_owned();
        Self {
            target,
            cases: 0,
            accepted: 0,
            rejected: BTreeMap::new(),
            panics: 0,
            crashes: 0,
            hangs: 0,
            untyped: 0,
            broken: 0,
            memory: 0,
            peak_kib: 0,
            peak_case: None,
            seconds: 0.0,
        }
    }

    pub(super) fn count(&mut self, fault: Fault) {
        *match fault {
            Fault::Panic => &mut self.panics,
            Fault::Crash => &mut self.crashes,
            Fault::Hang => &mut self.hangs,
            Fault::Untyped => &mut self.untyped,
            Fault::Broken => &mut self.broken,
            Fault::Memory => &mut self.memory,
        } += 1;
    }

    /// Counts a rejection.
    pub(super) fn reject(&mut self, kind: String) {
        *self.rejected.entry(kind).or_default() += 1;
    }

    fn rejections(&self) -> u64 {
        self.rejected.values().sum()
    }

    /// Memory over the baseline after a case, in KiB; the largest is kept, with the case that brought it there.
    pub(super) fn note_memory(&mut self, case: u64, kib: u64) {
        if kib > self.peak_kib {
            (self.peak_kib, self.peak_case) = (kib, Some(case));
        }
    }

    /// Whether something was wrong with any case.
    pub fn has_findings(&self) -> bool {
        [self.panics, self.crashes, self.hangs, self.untyped, self.broken, self.memory].iter().any(|n| *n > 0)
    }

    fn cells(&self) -> [String; 12] {
        let Self { cases, accepted, panics, crashes, hangs, untyped, broken, memory, .. } = self;
        let per_second = *cases as f64 / self.seconds.max(1e-9);
        let rejected = &self.rejections();
        let counts = [cases, accepted, rejected, panics, crashes, hangs, untyped, broken, memory];
        let mut cells = vec![self.target.clone()];
        cells.extend(counts.map(u64::to_string));
        cells.extend([format!("{:.1}", self.peak_mb()), format!("{per_second:.1}")]);
        std::array::from_fn(|i| cells[i].clone())
    }

    fn peak_mb(&self) -> f64 {
        memory::mb(self.peak_kib)
    }

    /// The row for programs.
    pub fn json(&self) -> Value {
        json!({
            "target": self.target, "cases": self.cases, "accepted": self.accepted, "rejected": self.rejections(),
            "kinds": self.rejected,
            "panics": self.panics, "crashes": self.crashes, "hangs": self.hangs, "untyped": self.untyped,
            "broken": self.broken, "memory": self.memory, "peak_mb": self.peak_mb(),
            "peak_case": self.peak_case, "seconds": self.seconds,
        })
    }
}

const HEAD: [&str; 12] = [
    "target", "cases", "accepted", "rejected", "panics", "crashes", "hangs", "untyped", "broken", "memory",
    "peak MB", "cases/s",
];

/// The table of all targets.
pub fn table(rows: &[Row]) -> String {
    let lines = std::iter::once(HEAD.map(str::to_owned)).chain(rows.iter().map(Row::cells));
    let line = |cells: [String; 12]| {
        let [target, numbers @ ..] = cells;
        let numbers: String = numbers.iter().map(|cell| format!(" {cell:>8}")).collect();
        format!("{target:<20}{numbers}\n")
    };
    let mut table: String = lines.map(line).collect();
    for row in rows.iter().filter(|row| !row.rejected.is_empty()) {
        let kinds: Vec<String> = row.rejected.iter().map(|(kind, cases)| format!("{kind} {cases}")).collect();
        table += &format!("\n{}: {}\n", row.target, kinds.join(", "));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_has_a_column_and_is_a_finding() {
        let faults = [Fault::Panic, Fault::Crash, Fault::Hang, Fault::Untyped, Fault::Broken, Fault::Memory];
        assert!(!Row::new("x").has_findings());
        for (i, fault) in faults.into_iter().enumerate() {
            let mut row = Row::new("x");
            row.count(fault);
            assert!(row.has_findings());
            assert_eq!(row.cells()[4 + i], "1");
        }
    }

    #[test]
    fn the_table_has_a_line_a_target_and_cells_below_their_heads() {
        let mut row = Row::new("archive");
        (row.cases, row.seconds) = (100, 8.0);
        row.note_memory(3, 2000);
        row.note_memory(4, 1000);
        row.note_memory(5, 2000);
        assert_eq!(row.json()["peak_case"], 3);
        let table = table(&[row]);
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!((lines.len(), lines[0].len()), (2, lines[1].len()));
        assert!(lines[1].ends_with("      2.0     12.5"), "{}", lines[1]);
    }
}
