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
        copy_case(kind, dir.path());
        let witness = implemented.iter().rev().find(|other| other.folder != kind.folder);
        witness.inspect(|witness| copy_case(witness, dir.path()));
        let before = Table::of(dir.path(), &kinds()).unwrap();
        assert!(before.passed(), "{} fails unaltered", kind.name);
        let place = place_to_alter(row(&before, kind));
        let failed = [Place::Last, Place::First].into_iter().any(|position| {
            let restore = alter(dir.path(), kind, &place, position);
            let after = Table::of(dir.path(), &kinds()).unwrap();
            fs::write(restore.0, restore.1).unwrap();
            let others = after.rows.iter().filter(|other| other.kind != kind.name);
            assert!(others.into_iter().all(|other| other.pass != Some(false)), "{} fails another", kind.name);
            row(&after, kind).pass == Some(false)
        });
        assert!(failed, "{}/{} does not see an altered `{}`", kind.folder, kind.name, place.tensor);
    }
}

#[derive(Clone, Copy)]
enum Place {
    First,
    Last,
}

fn row<'a>(table: &'a Table, kind: &Kind) -> &'a Row {
    table.rows.iter().find(|row| row.folder == kind.folder && row.kind == kind.name).unwrap()
}

/// The comparison to spoil: of one tensor, and with some error, which an input that is merely handed on has not.
fn place_to_alter(row: &Row) -> Comparison {
    let single = row.comparisons.iter().filter(|comparison| comparison.metric != Metric::RmsOverRun);
    single.max_by(|a, b| a.ratio().total_cmp(&b.ratio())).unwrap().clone()
}

/// Copies the smallest case of a kind, with all that is no case, and an index of this case alone.
fn copy_case(kind: &Kind, dir: &Path) {
    let folder = Folder::open(&shipped(), kind.folder).unwrap().unwrap();
    let mut index = folder.index().clone();
    let cases = if index.get("cases").is_some() { &mut index["cases"] } else { &mut index };
    let cases = cases.as_object_mut().unwrap();
    let names: Vec<String> = cases.keys().cloned().collect();
    let size = |name: &String| fs::metadata(file_of(folder.path(), name)).map(|meta| meta.len()).ok();
    let of_kind = names.iter().filter(|name| is_of(kind, name, &cases[*name]) && size(name).is_some());
    let smallest = of_kind.min_by_key(|name| size(name)).unwrap().clone();
    cases.retain(|name, _| *name == smallest);
    let left_out: Vec<PathBuf> =
        names.iter().filter(|name| **name != smallest).map(|name| file_of(folder.path(), name)).collect();
    copy(folder.path(), &dir.join(kind.folder), &left_out);
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

fn copy(from: &Path, to: &Path, left_out: &[PathBuf]) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        match path.is_dir() {
            true => copy(&path, &target, left_out),
            false if left_out.contains(&path) => {}
            false => drop(fs::copy(&path, target).unwrap()),
        }
    }
}

/// Alters one number and returns the file with its old content.
fn alter(dir: &Path, kind: &Kind, place: &Comparison, position: Place) -> (PathBuf, Vec<u8>) {
    let path = file_of(&dir.join(kind.folder), &place.case);
    let old = fs::read(&path).unwrap();
    let new = if path.extension().unwrap() == "json" {
        altered_json(&old, place, position)
    } else {
        altered_tensors(&old, place, position)
    };
    fs::write(&path, new).unwrap();
    (path, old)
}

/// Ten tolerances, in the unit of the metric; one where nothing is tolerated.
fn step(place: &Comparison, values: &[f64], at: usize) -> f64 {
    let top = values.iter().fold(0.0, |top: f64, value| top.max(value.abs()));
    let norm = values.iter().map(|value| value * value).sum::<f64>().sqrt();
    let unit = match place.metric {
        Metric::Rel => values[at].abs(),
        Metric::RelToMax => top,
        Metric::RelRms => norm,
        Metric::Abs | Metric::BytesEqual | Metric::RmsOverRun => 1.0,
    };
    if place.tolerance == 0.0 || unit == 0.0 { 1.0 } else { 10.0 * place.tolerance * unit }
}

fn altered_tensors(old: &[u8], place: &Comparison, position: Place) -> Vec<u8> {
    let (header, metadata) = SafeTensors::read_metadata(old).unwrap();
    let info = metadata.info(&place.tensor).unwrap();
    let (start, end) = (8 + header + info.data_offsets.0, 8 + header + info.data_offsets.1);
    let width = if info.dtype == Dtype::I64 { 8 } else { info.dtype.bitsize() / 8 };
    let values: Vec<f64> = old[start..end].chunks(width).map(|bytes| number(info.dtype, bytes)).collect();
    let at = match position {
        Place::First => 0,
        Place::Last => values.len() - 1,
    };
    let value = values[at] + step(place, &values, at);
    let bytes = match info.dtype {
        Dtype::F32 => (value as f32).to_le_bytes().to_vec(),
        Dtype::BF16 => half::bf16::from_f64(value).to_le_bytes().to_vec(),
        Dtype::I64 => (value.ceil() as i64).to_le_bytes().to_vec(),
        // Down where up would saturate.
        Dtype::U8 => vec![if value > 255.0 { 0 } else { value.ceil() as u8 }],
        other => panic!("{other:?}"),
    };
    let mut new = old.to_vec();
    new[start + at * width..][..width].copy_from_slice(&bytes);
    new
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

fn altered_json(old: &[u8], place: &Comparison, position: Place) -> Vec<u8> {
    let mut root: Value = serde_json::from_slice(old).unwrap();
    let mut value = root.pointer_mut(&format!("/{}", place.tensor)).unwrap();
    while let Value::Array(items) = value {
        value = match position {
            Place::First => items.first_mut().unwrap(),
            Place::Last => items.last_mut().unwrap(),
        };
    }
    *value = match &*value {
        Value::String(text) => format!("{text}x").into(),
        number => {
            let number = number.as_f64().unwrap();
            // At least one: arrays in JSON hold whole numbers, and weights from zero to one.
            (number + step(place, &[number], 0).max(1.0)).into()
        }
    };
    serde_json::to_vec(&root).unwrap()
}
