//! The golden table: one row a kind.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};

use ltx_model::Device;
use serde_json::{Value, json};

use super::compare::compare;
use super::{Case, Comparison, Folder, GoldenError, Kind, Run, Setting, Tolerance};

const FOLDERS: [&str; 4] = ["transformer", "vae", "text", "preprocess"];
/// Faults told of one kind; the rest are counted.
const TOLD: usize = 5;

/// The result of one kind over all its cases.
#[derive(Debug)]
pub struct Row {
    /// The folder.
    pub folder: String,
    /// The kind.
    pub kind: String,
    /// How many cases have a file.
    pub cases: usize,
    /// Every comparison that was made.
    pub comparisons: Vec<Comparison>,
    /// Whether every case passed; none if nothing here computes this kind.
    pub pass: Option<bool>,
    /// What failed, in words.
    pub faults: Vec<String>,
}

/// All kinds found in a folder of golden numbers.
#[derive(Debug)]
pub struct Table {
    /// One row a kind that has cases.
    pub rows: Vec<Row>,
    /// Files that an index names for an implemented kind and that are not there.
    pub missing: Vec<PathBuf>,
}

/// A case with the file that holds it.
struct Found<'a> {
    name: &'a str,
    entry: &'a Value,
    path: PathBuf,
}

impl Table {
    /// Checks every case under `dir` whose kind is among `kinds` and implemented.
    ///
    /// # Errors
    /// If an index cannot be read. What is wrong with a case is a fault of its row.
    pub fn of(dir: &Path, kinds: &[Kind]) -> Result<Self, GoldenError> {
        Self::with(dir, kinds, &Setting::exact(Device::flex()))
    }

    /// The same, computed as `setting` says.
    ///
    /// # Errors
    /// As [`of`](Self::of).
    pub fn with(dir: &Path, kinds: &[Kind], setting: &Setting) -> Result<Self, GoldenError> {
        let mut table = Self { rows: Vec::new(), missing: Vec::new() };
        for name in FOLDERS {
            if let Some(folder) = Folder::open(dir, name)? {
                let kinds: Vec<Kind> = kinds.iter().filter(|kind| kind.folder == name).copied().collect();
                table.add(&folder.within(setting), &kinds);
            }
        }
        Ok(table)
    }

    /// Whether at least one case was checked and no implemented kind failed.
    pub fn passed(&self) -> bool {
        self.rows.iter().any(|row| row.pass.is_some()) && self.rows.iter().all(|row| row.pass != Some(false))
    }

    /// The rows as a list of objects.
    pub fn json(&self) -> Value {
        self.rows.iter().map(Row::json).collect()
    }

    fn add(&mut self, folder: &Folder, kinds: &[Kind]) {
        let mut groups: BTreeMap<(usize, &str), Vec<Found>> = BTreeMap::new();
        for (name, entry) in folder.entries() {
            let kind = kind_of(name, entry, kinds);
            // Kinds come in the order of their list, unknown ones after them.
            let place = kinds.iter().position(|known| known.name == kind).unwrap_or(kinds.len());
            let found = Found { name, entry, path: folder.file_of(name) };
            groups.entry((place, kind)).or_default().push(found);
        }
        for ((place, kind), cases) in groups {
            let run = kinds.get(place).and_then(|kind| kind.run);
            self.add_kind(folder, kind, run, cases);
        }
    }

    fn add_kind(&mut self, folder: &Folder, kind: &str, run: Option<Run>, cases: Vec<Found>) {
        let (cases, absent): (Vec<_>, Vec<_>) = cases.into_iter().partition(|case| case.path.is_file());
        if run.is_some() {
            self.missing.extend(absent.into_iter().map(|case| case.path));
        }
        if cases.is_empty() {
            return;
        }
        self.rows.push(Row::of(folder, kind, run, &cases));
    }
}

/// The kind that the entry names, else the longest known one that begins the name, else the name itself.
fn kind_of<'a>(name: &'a str, entry: &'a Value, kinds: &[Kind]) -> &'a str {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let known = kinds.iter().filter(|kind| stem.starts_with(kind.name)).map(|kind| kind.name.len()).max();
    entry["kind"].as_str().unwrap_or(known.map_or(stem, |length| &stem[..length]))
}

impl Row {
    fn of(folder: &Folder, kind: &str, run: Option<Run>, cases: &[Found]) -> Self {
        let mut row = Self {
            folder: folder.name().to_owned(),
            kind: kind.to_owned(),
            cases: cases.len(),
            comparisons: Vec::new(),
            pass: None,
            faults: Vec::new(),
        };
        let Some(run) = run else { return row };
        for case in cases {
            match check(folder, run, case) {
                Ok(comparisons) => row.add(comparisons),
                Err(error) => row.faults.push(format!("case `{}`: {}", case.name, in_full(error.as_ref()))),
            }
        }
        row.pass = Some(row.faults.is_empty());
        row
    }

    fn add(&mut self, comparisons: Vec<Comparison>) {
        let failed = comparisons.iter().filter(|comparison| !comparison.passed());
        self.faults.extend(failed.map(ToString::to_string));
        self.comparisons.extend(comparisons);
    }

    /// The comparison with the largest error in units of its tolerance, if there was any.
    pub fn worst(&self) -> Option<&Comparison> {
        let rank = |comparison: &Comparison| (comparison.ratio(), comparison.tolerance);
        self.comparisons.iter().max_by(|a, b| rank(a).partial_cmp(&rank(b)).unwrap_or(Ordering::Equal))
    }

    /// Errors that are no numbers become null.
    fn json(&self) -> Value {
        json!({
            "folder": self.folder,
            "kind": self.kind,
            "cases": self.cases,
            "max_error": self.worst().map(|worst| worst.error),
            "tolerance": self.worst().map(|worst| worst.tolerance),
            "pass": self.pass,
        })
    }

    /// What failed, for people; nothing if all is well.
    pub fn told(&self) -> String {
        let line = |fault: &String| format!("{}/{}: {fault}\n", self.folder, self.kind);
        let mut text: String = self.faults.iter().take(TOLD).map(line).collect();
        if let more @ 1.. = self.faults.len().saturating_sub(TOLD) {
            text.push_str(&line(&format!("and {more} more")));
        }
        text
    }
}

fn check(folder: &Folder, run: Run, found: &Found) -> Result<Vec<Comparison>, Box<dyn Error>> {
    let case = Case::load(folder, found.name, found.entry, &found.path)?;
    let tolerance = folder.setting().tolerance.as_ref().or_else(|| found.entry.get("tolerance"));
    let tolerance = Tolerance::read(tolerance, &folder.path().join("index.json"))?;
    // A panic in the tensor framework is this case's fault and no reason to leave the others unchecked.
    let produced = panic::catch_unwind(AssertUnwindSafe(|| run(&case))).map_err(|_| "panicked")??;
    Ok(compare(&case, &produced, &tolerance)?)
}

fn in_full(error: &dyn Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {}", in_full(cause)),
        None => error.to_string(),
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { case, tensor, metric, error, tolerance } = self;
        write!(
            f,
            "case `{case}`: `{tensor}` is off by {error:.3e} ({}), allowed are {tolerance:e}",
            metric.name()
        )
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (folder, kind, cases, error, tolerance) = ("folder", "kind", "cases", "max error", "tolerance");
        writeln!(
            f,
            "{folder:<12} {kind:<22} {cases:>5} {error:>10} {tolerance:>10}  {:<13} result",
            "metric"
        )?;
        self.rows.iter().try_for_each(|row| write!(f, "{row}"))
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let result = self.pass.map_or("not implemented", |pass| if pass { "pass" } else { "FAIL" });
        let (error, tolerance, metric) = match self.worst() {
            Some(worst) => {
                (format!("{:.2e}", worst.error), format!("{:e}", worst.tolerance), worst.metric.name())
            }
            None => ("-".to_owned(), "-".to_owned(), "-"),
        };
        let Self { folder, kind, cases, .. } = self;
        writeln!(f, "{folder:<12} {kind:<22} {cases:>5} {error:>10} {tolerance:>10}  {metric:<13} {result}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::{KindResult, Produced};
    use std::fs;

    fn echo(case: &Case) -> KindResult {
        Ok(vec![Produced::number("x", case.params()["x"].as_f64().ok_or("no x")?)])
    }

    fn panics(_: &Case) -> KindResult {
        panic!("broken")
    }

    const KINDS: [Kind; 4] = [
        Kind::new("text", "token", panics),
        Kind::new("text", "tokens", echo),
        Kind { folder: "text", name: "later", run: None },
        Kind::new("vae", "encode", echo),
    ];

    fn table(index: &Value, files: &[(&str, &str)]) -> Table {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("text")).unwrap();
        fs::write(dir.path().join("text/index.json"), index.to_string()).unwrap();
        for (name, text) in files {
            fs::write(dir.path().join("text").join(name), text).unwrap();
        }
        Table::of(dir.path(), &KINDS).unwrap()
    }

    fn told(table: &Table) -> Vec<(&str, usize, Option<bool>)> {
        table.rows.iter().map(|row| (row.kind.as_str(), row.cases, row.pass)).collect()
    }

    #[test]
    fn kinds_are_told_by_the_entry_or_by_the_longest_beginning_of_the_name() {
        let index = json!({"cases": {
            "tokens-a.json": {"x": 1},
            "odd.json": {"kind": "tokens", "params": {"x": 2}},
            "later-b.json": {},
            "never-heard-of.json": {},
        }});
        let files = [
            ("tokens-a.json", r#"{"x":1}"#),
            ("odd.json", r#"{"x":2}"#),
            ("later-b.json", "{}"),
            ("never-heard-of.json", "{}"),
        ];
        let table = table(&index, &files);
        assert_eq!(
            told(&table),
            [("tokens", 2, Some(true)), ("later", 1, None), ("never-heard-of", 1, None)]
        );
        assert!(table.passed());
    }

    #[test]
    fn one_wrong_number_fails_its_kind_and_the_table() {
        let index = json!({"tokens-a": {"x": 1}, "tokens-b": {"x": 5, "tolerance": {"abs": 0.5}}});
        let table = table(&index, &[("tokens-a.json", r#"{"x":1}"#), ("tokens-b.json", r#"{"x":4}"#)]);
        assert_eq!(told(&table), [("tokens", 2, Some(false))]);
        assert!(!table.passed());
        assert!(
            table.rows[0].told().contains("`x` is off by 1.000e0 (abs), allowed are 5e-1"),
            "{}",
            table.rows[0].told()
        );
        let expected = json!([{
            "folder": "text", "kind": "tokens", "cases": 2, "max_error": 1.0, "tolerance": 0.5, "pass": false
        }]);
        assert_eq!(table.json(), expected);
    }

    #[test]
    fn errors_and_panics_are_faults_of_their_kind_only() {
        let index = json!({"tokens": {"x": 1}, "tokens-b": {}, "token-c": {}});
        let files = [("tokens.json", r#"{"x":1}"#), ("tokens-b.json", r#"{"x":1}"#), ("token-c.json", "{}")];
        let table = table(&index, &files);
        assert_eq!(told(&table), [("token", 1, Some(false)), ("tokens", 2, Some(false))]);
        assert_eq!(table.rows[0].told(), "text/token: case `token-c`: panicked\n");
        assert_eq!(table.rows[1].told(), "text/tokens: case `tokens-b`: no x\n");
    }

    #[test]
    fn absent_files_are_named_where_the_kind_is_implemented_and_do_not_count() {
        let index = json!({"tokens-a": {"x": 1}, "tokens-b": {"x": 1}, "later": {}});
        let table = table(&index, &[("tokens-a.json", r#"{"x":1}"#)]);
        assert_eq!(told(&table), [("tokens", 1, Some(true))]);
        assert_eq!(table.missing.len(), 1);
    }

    #[test]
    fn without_a_checked_case_the_table_fails() {
        assert!(!table(&json!({"later": {}}), &[("later.json", "{}")]).passed());
        assert!(!table(&json!({}), &[]).passed());
    }
}
