//! The judge: whether a run that was disturbed is the run that was not.

use std::{fs, io, path::Path};

use serde_json::Value;

/// What differs from one second to the next.
const TIMED: [&str; 4] = ["step_time", "tokens_per_second", "memory", "peak_memory"];

/// What a run left that counts.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Results {
    lora: Vec<u8>,
    /// The lines of the metrics, without what is timed.
    metrics: Vec<Value>,
}

impl Results {
    pub(super) fn read(out: &Path) -> io::Result<Self> {
        let metrics = fs::read_to_string(out.join("metrics.jsonl"))?;
        let lines = metrics.lines().map(|line| Ok(untimed(serde_json::from_str(line)?)));
        let metrics = lines.collect::<Result<_, serde_json::Error>>()?;
        Ok(Self { lora: fs::read(out.join("lora.safetensors"))?, metrics })
    }

    /// Whether both LoRAs are the same, byte for byte.
    pub(super) fn is_same_lora(&self, other: &Self) -> bool {
        self.lora == other.lora
    }

    /// How this differs from what it should be.
    pub(super) fn faults(&self, wanted: &Self) -> Vec<String> {
        let mut faults = Vec::new();
        if !self.is_same_lora(wanted) {
            let bytes = self.lora.iter().zip(&wanted.lora).filter(|(a, b)| a != b).count();
            faults.push(format!("the LoRA differs in {bytes} bytes"));
        }
        if self.metrics != wanted.metrics {
            let (found, right) = (self.metrics.len(), wanted.metrics.len());
            let first = self.metrics.iter().zip(&wanted.metrics).position(|(a, b)| a != b);
            let first = first.unwrap_or(found.min(right));
            faults
                .push(format!("the metrics have {found} lines, not {right}, or differ from line {first} on"));
        }
        faults
    }
}

fn untimed(mut line: Value) -> Value {
    if let Some(line) = line.as_object_mut() {
        TIMED.iter().for_each(|timed| drop(line.remove(*timed)));
    }
    line
}

/// What a finished run should not have left beside its results: `folder` holds `out` and nothing else, and `out` holds
/// no state and no half of a file.
pub(super) fn leftovers(folder: &Path, out: &Path) -> io::Result<Vec<String>> {
    let mut faults = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path != out {
            faults.push(format!("{} was left", path.display()));
        }
    }
    for entry in fs::read_dir(out)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name == "state" || name.starts_with('.') {
            faults.push(format!("{name} was left in the results"));
        }
    }
    Ok(faults)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn another_byte_another_number_and_another_line_are_seen_and_another_time_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let results = |lora: &[u8], metrics: &[Value]| {
            fs::write(dir.path().join("lora.safetensors"), lora).unwrap();
            let lines: String = metrics.iter().map(|line| format!("{line}\n")).collect();
            fs::write(dir.path().join("metrics.jsonl"), lines).unwrap();
            Results::read(dir.path()).unwrap()
        };
        let step = |loss: f64, time: f64| json!({"step": 1, "loss": loss, "step_time": time});
        let wanted = results(b"lora", &[step(1.0, 1.0)]);
        assert!(results(b"lora", &[step(1.0, 2.0)]).faults(&wanted).is_empty());
        assert_eq!(results(b"lore", &[step(1.0, 1.0)]).faults(&wanted), ["the LoRA differs in 1 bytes"]);
        assert_eq!(results(b"lora", &[step(1.5, 1.0)]).faults(&wanted).len(), 1);
        assert_eq!(results(b"lora", &[step(1.0, 1.0), step(1.0, 1.0)]).faults(&wanted).len(), 1);
    }
}
