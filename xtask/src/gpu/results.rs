//! What the stages wrote: a line of JSON for each measurement, of either side.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::command::Failure;
use crate::python::cannot;

/// Every line of a run, in the order of files and lines.
#[derive(Debug, Default)]
pub(super) struct Results {
    lines: Vec<Value>,
}

/// Whose measurement a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Ours,
    PyTorch,
}

impl Results {
    /// All `*.jsonl` of a folder.
    pub(super) fn read(folder: &Path) -> Result<Self, Failure> {
        let entries = fs::read_dir(folder).map_err(|error| cannot("read", folder, &error))?;
        let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        files.retain(|file| file.extension().is_some_and(|end| end == "jsonl"));
        files.sort();
        let mut results = Self::default();
        for file in files {
            let text = fs::read_to_string(&file).map_err(|error| cannot("read", &file, &error))?;
            results.add(&text).map_err(|why| Failure::new(format!("{}, {why}", file.display())))?;
        }
        match results.lines.is_empty() {
            true => Err(Failure::new(format!("{} has no results of stages: *.jsonl", folder.display()))),
            false => Ok(results),
        }
    }

    /// Adds lines; an error names the one that is no object of JSON.
    pub(super) fn add(&mut self, text: &str) -> Result<(), String> {
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let value: Value =
                serde_json::from_str(line).map_err(|error| format!("line {}: {error}", index + 1))?;
            if !value.is_object() {
                return Err(format!("line {}: wants an object, found `{line}`", index + 1));
            }
            self.lines.push(value);
        }
        Ok(())
    }

    /// The lines of one kind. Ours need not say whose they are.
    pub(super) fn of<'a>(&'a self, what: &'a str, side: Side) -> impl Iterator<Item = &'a Value> {
        let pytorch = side == Side::PyTorch;
        self.all(what).filter(move |line| (line["side"] == "pytorch") == pytorch)
    }

    /// The lines of one kind, of either side.
    pub(super) fn all<'a>(&'a self, what: &'a str) -> impl Iterator<Item = &'a Value> {
        self.lines.iter().filter(move |line| line["what"] == what)
    }

    /// The name of the card.
    pub(super) fn device(&self) -> &str {
        self.all("device").find_map(|line| line["device"].as_str()).unwrap_or("unknown device")
    }

    /// The day of the measurement as its machine told it, year first.
    pub(super) fn date(&self) -> &str {
        self.all("run").filter_map(|line| line["date"].as_str()).last().unwrap_or("unknown-date")
    }

    /// Writes all lines into one file, named after card and day.
    pub(super) fn keep(&self, folder: &Path) -> Result<PathBuf, Failure> {
        fs::create_dir_all(folder).map_err(|error| cannot("make", folder, &error))?;
        let file = folder.join(format!("{}-{}.json", plain(self.device()), plain(self.date())));
        let lines: Vec<String> = self.lines.iter().map(|line| format!("    {line}")).collect();
        let text = format!(
            "{{\n  \"device\": {},\n  \"date\": {},\n  \"lines\": [\n{}\n  ]\n}}\n",
            json!(self.device()),
            json!(self.date()),
            lines.join(",\n"),
        );
        fs::write(&file, text).map_err(|error| cannot("write", &file, &error))?;
        Ok(file)
    }
}

/// A name for a file: small letters, digits and single dashes.
fn plain(name: &str) -> String {
    let words = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_ascii_lowercase).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_told_apart_by_kind_and_side() {
        let mut results = Results::default();
        let text = "{\"what\":\"step\",\"seconds\":1.5}\n\n{\"what\":\"step\",\"side\":\"pytorch\",\"seconds\":3}\n\
                    {\"what\":\"step\",\"side\":\"ours\",\"seconds\":2}\n{\"what\":\"copy\"}\n";
        results.add(text).unwrap();
        let seconds = |side| -> Vec<f64> {
            results.of("step", side).filter_map(|line| line["seconds"].as_f64()).collect()
        };
        assert_eq!(seconds(Side::Ours), [1.5, 2.0]);
        assert_eq!(seconds(Side::PyTorch), [3.0]);
    }

    #[test]
    fn a_line_that_is_no_object_is_named() {
        let broken = Results::default().add("{\"what\":\"run\"}\n{\"what\":\n").unwrap_err();
        assert!(broken.starts_with("line 2: "), "{broken}");
        assert_eq!(Results::default().add("7").unwrap_err(), "line 1: wants an object, found `7`");
    }

    #[test]
    fn results_are_kept_under_card_and_day_and_read_back_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let lines = "{\"what\":\"device\",\"device\":\"NVIDIA H100 80GB HBM3\"}\n{\"what\":\"run\",\"date\":\"2026-11-26\"}\n";
        fs::write(folder.path().join("device.jsonl"), lines).unwrap();
        fs::write(folder.path().join("notes.txt"), "no results").unwrap();
        let file = Results::read(folder.path()).unwrap().keep(&folder.path().join("kept")).unwrap();
        assert!(file.ends_with("nvidia-h100-80gb-hbm3-2026-11-26.json"), "{}", file.display());
        let kept: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
        assert_eq!(kept["lines"][1]["date"], "2026-11-26");
        assert_eq!(kept["device"], "NVIDIA H100 80GB HBM3");
    }

    #[test]
    fn a_folder_without_results_is_a_failure() {
        assert!(Results::read(tempfile::tempdir().unwrap().path()).is_err());
    }
}
