//! The golden table from outside: it passes on what ships with the tree, and it can fail.
#![allow(clippy::unwrap_used, clippy::panic, reason = "the helpers of a test fail by panicking, as tests do")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use safetensors::tensor::{Dtype, SafeTensors};
use serde_json::Value;
use tests::golden::{Comparison, Folder, Kind, Metric, Row, Table, kinds};

fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}

fn program(args: &[&Path]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_golden")).args(args).output().unwrap()
}

#[test]
fn the_shipped_golden_numbers_pass_and_the_table_says_so_in_json() {
    let output = program(&[&shipped(), Path::new("--json")]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let rows: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    for folder in ["transformer", "vae", "text", "preprocess"] {
        assert!(rows.iter().any(|row| row["folder"] == folder), "{folder} has no row");
    }
    let implemented = kinds().into_iter().filter(|kind| kind.run.is_some()).count();
    assert_eq!(rows.iter().filter(|row| row["pass"] == true).count(), implemented);
}

#[test]
fn a_folder_without_cases_fails() {
    let empty = tempfile::tempdir().unwrap();
    for dir in [empty.path(), &empty.path().join("absent")] {
        let output = program(&[dir]);
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&output.stderr).contains("no case was checked"));
    }
}

#[test]
fn an_unknown_option_is_refused() {
    assert_eq!(program(&[Path::new("--jsn")]).status.code(), Some(2));
}

#[test]
fn one_number_altered_by_ten_tolerances_fails_exactly_its_kind() {
    let implemented: Vec<Kind> = kinds().into_iter().filter(|kind| kind.run.is_some()).collect();
    for kind in &implemented {
        let dir = tempfile::tempdir().unwrap();
        let witness = implemented.iter().rev().find(|other| other.folder != kind.folder);
        let run: Vec<&Kind> = [kind].into_iter().chain(witness).collect();
        run.iter().for_each(|kind| copy_smallest_case(kind, dir.path()));
        let before = table(dir.path(), &run);
        assert!(
            before.passed(),
            "{}/{} fails unaltered: {:?}",
            kind.folder,
            kind.name,
            row(&before, kind).faults
        );
        let failed = [Place::Last, Place::First].into_iter().any(|place| {
            let (file, old) = alter(dir.path(), kind, row(&before, kind), place);
            let after = table(dir.path(), &run);
            fs::write(file, old).unwrap();
            assert!(witness.is_none_or(|witness| row(&after, witness).pass == Some(true)));
            row(&after, kind).pass == Some(false)
        });
        assert!(failed, "{}/{} does not see an altered number", kind.folder, kind.name);
    }
}

/// The table with these kinds alone: the others count as not implemented.
fn table(dir: &Path, run: &[&Kind]) -> Table {
    let wanted = |kind: &Kind| run.iter().any(|run| run.folder == kind.folder && run.name == kind.name);
    let all = kinds().into_iter().map(|kind| if wanted(&kind) { kind } else { Kind { run: None, ..kind } });
    Table::of(dir, &all.collect::<Vec<_>>()).unwrap()
}

#[derive(Clone, Copy)]
enum Place {
    First,
    Last,
}

impl Place {
    fn of(self, length: usize) -> usize {
        match self {
            Self::First => 0,
            Self::Last => length - 1,
        }
    }
}

fn row<'a>(table: &'a Table, kind: &Kind) -> &'a Row {
    table.rows.iter().find(|row| row.folder == kind.folder && row.kind == kind.name).unwrap()
}

/// Copies the folder of a kind, with one case of this kind: the smallest.
fn copy_smallest_case(kind: &Kind, dir: &Path) {
    let folder = Folder::open(&shipped(), kind.folder).unwrap().unwrap();
    let mut index = folder.index().clone();
    let cases = if index.get("cases").is_some() { &mut index["cases"] } else { &mut index };
    let cases = cases.as_object_mut().unwrap();
    let size = |name: &String| fs::metadata(file_of(folder.path(), name)).map(|meta| meta.len()).ok();
    let of_kind = cases.iter().filter(|(name, entry)| is_of(kind, name, entry)).map(|(name, _)| name);
    let smallest = of_kind.filter(|name| size(name).is_some()).min_by_key(|name| size(name)).unwrap().clone();
    cases.retain(|name, entry| *name == smallest || !is_of(kind, name, entry));
    copy(folder.path(), &dir.join(kind.folder));
    fs::write(dir.join(kind.folder).join("index.json"), index.to_string()).unwrap();
}

fn is_of(kind: &Kind, name: &str, entry: &Value) -> bool {
    let longer = |other: &Kind| other.name.len() > kind.name.len() && name.starts_with(other.name);
    let by_name = name.starts_with(kind.name)
        && !kinds().iter().filter(|other| other.folder == kind.folder).any(longer);
    entry["kind"].as_str().map_or(by_name, |named| named == kind.name)
}

fn file_of(folder: &Path, name: &str) -> PathBuf {
    folder.join(if name.contains('.') { name.to_owned() } else { format!("{name}.safetensors") })
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, target).unwrap();
        }
    }
}

/// Alters one number of the case's file, and returns the file with its old content.
fn alter(dir: &Path, kind: &Kind, row: &Row, place: Place) -> (PathBuf, Vec<u8>) {
    let path = file_of(&dir.join(kind.folder), &row.comparisons[0].case);
    let old = fs::read(&path).unwrap();
    let json = path.extension().unwrap() == "json";
    let new = if json { altered_json(&old, row, place) } else { altered_tensors(&old, row, place) };
    fs::write(&path, new).unwrap();
    (path, old)
}

/// Ten tolerances, in the unit of the metric; one where nothing is tolerated.
fn step(spoiled: &Comparison, values: &[f64], at: usize) -> f64 {
    let top = values.iter().fold(0.0, |top: f64, value| top.max(value.abs()));
    let norm = values.iter().map(|value| value * value).sum::<f64>().sqrt();
    let unit = match spoiled.metric {
        Metric::Rel => values[at].abs(),
        Metric::RelToMax => top,
        Metric::RelRms => norm,
        Metric::Abs | Metric::BytesEqual | Metric::RmsOverRun => 1.0,
    };
    if spoiled.tolerance == 0.0 || unit == 0.0 { 1.0 } else { 10.0 * spoiled.tolerance * unit }
}

/// Spoils a tensor that was compared by itself, and the one with the largest error: an input that the kind merely
/// hands on has none, and would follow the alteration.
fn altered_tensors(old: &[u8], row: &Row, place: Place) -> Vec<u8> {
    let (header, metadata) = SafeTensors::read_metadata(old).unwrap();
    let single = row
        .comparisons
        .iter()
        .filter(|c| c.metric != Metric::RmsOverRun && metadata.info(&c.tensor).is_some());
    let spoiled = single.max_by(|a, b| a.ratio().total_cmp(&b.ratio())).unwrap();
    let info = metadata.info(&spoiled.tensor).unwrap();
    let (start, end) = (8 + header + info.data_offsets.0, 8 + header + info.data_offsets.1);
    let width = info.dtype.bitsize() / 8;
    let values: Vec<f64> = old[start..end].chunks(width).map(|bytes| number(info.dtype, bytes)).collect();
    let at = place.of(values.len());
    let bytes = bytes(info.dtype, values[at] + step(spoiled, &values, at));
    let mut new = old.to_vec();
    new[start + at * width..][..width].copy_from_slice(&bytes);
    new
}

fn bytes(dtype: Dtype, value: f64) -> Vec<u8> {
    match dtype {
        Dtype::F32 => (value as f32).to_le_bytes().to_vec(),
        Dtype::BF16 => half::bf16::from_f64(value).to_le_bytes().to_vec(),
        Dtype::I64 => (value.ceil() as i64).to_le_bytes().to_vec(),
        // Down where up would saturate.
        Dtype::U8 => vec![if value > 255.0 { 0 } else { value.ceil() as u8 }],
        other => panic!("{other:?}"),
    }
}

fn number(dtype: Dtype, bytes: &[u8]) -> f64 {
    match dtype {
        Dtype::F32 => f32::from_le_bytes(bytes.try_into().unwrap()).into(),
        Dtype::BF16 => half::bf16::from_le_bytes(bytes.try_into().unwrap()).to_f64(),
        Dtype::I64 => i64::from_le_bytes(bytes.try_into().unwrap()) as f64,
        Dtype::U8 => bytes[0].into(),
        other => panic!("{other:?}"),
    }
}

/// Spoils what a comparison points to, or any number where a kind has its own names.
fn altered_json(old: &[u8], row: &Row, place: Place) -> Vec<u8> {
    let mut root: Value = serde_json::from_slice(old).unwrap();
    let pointers = row.comparisons.iter().map(|comparison| format!("/{}", comparison.tensor));
    let pointer = pointers.clone().find(|pointer| root.pointer(pointer).is_some());
    let mut leaves = Vec::new();
    match pointer {
        Some(pointer) => collect(root.pointer_mut(&pointer).unwrap(), &mut leaves),
        None => collect(&mut root, &mut leaves),
    }
    let numbers = leaves.iter().any(|leaf| leaf.is_number());
    leaves.retain(|leaf| leaf.is_number() == numbers);
    let at = place.of(leaves.len());
    // One is more than ten tolerances: JSON holds whole numbers, and weights from zero to one.
    *leaves[at] = match &*leaves[at] {
        Value::String(text) => format!("{text}x").into(),
        number => (number.as_f64().unwrap() + 1.0).into(),
    };
    serde_json::to_vec(&root).unwrap()
}

fn collect<'a>(value: &'a mut Value, leaves: &mut Vec<&'a mut Value>) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| collect(item, leaves)),
        Value::Object(items) => items.values_mut().for_each(|item| collect(item, leaves)),
        Value::Number(_) | Value::String(_) => leaves.push(value),
        Value::Null | Value::Bool(_) => {}
    }
}
