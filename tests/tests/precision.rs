//! The golden numbers of the transformer with its weights in bf16 and in 8-bit integers, within what rounding the
//! weights can cost: `docs/precision.md` derives the numbers.
#![allow(clippy::unwrap_used, reason = "the helpers of a test fail by panicking, as tests do")]

use std::fs;
use std::path::Path;

use ltx_model::BasePrecision;
use serde_json::{Value, json};
use tests::golden::{Row, Table, kinds_in};

/// The root mean square of the relative error of a weight.
const BF16: f64 = 1.7e-3;
const INT8: f64 = 5.4e-3;

/// Rounded layers on the way to the result: 10 in each of 4 blocks and 4 outside; and there and back.
const FORWARD: f64 = 44.0;
const BACKWARD: f64 = 88.0;

/// The golden folder with the tolerances of a precision whose weights are off by `error`.
fn table(precision: BasePrecision, error: f64) -> Table {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) =
        (Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/transformer"), dir.path().join("transformer"));
    fs::create_dir(&to).unwrap();
    for file in fs::read_dir(&from).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
    let index = to.join("index.json");
    let mut entries: Value = serde_json::from_slice(&fs::read(&index).unwrap()).unwrap();
    let (there, back) = (error * FORWARD.sqrt(), error * BACKWARD.sqrt());
    let tolerance = json!({
        "x_out|velocity|pred": { "rel_rms": there },
        "grad/*": { "rel_rms": back },
        "grad_norm": { "rel": back },
        "loss|loss_per_sample": { "rel": 2.0 * there },
        "default": { "abs": f64::MAX },
    });
    let cases = if entries.get("cases").is_some() { &mut entries["cases"] } else { &mut entries };
    for (_, entry) in cases.as_object_mut().unwrap() {
        entry["tolerance"] = tolerance.clone();
    }
    fs::write(&index, entries.to_string()).unwrap();
    Table::of(dir.path(), &kinds_in(precision)).unwrap()
}

/// The largest error of those tensors that a weight's rounding reaches, in units of what is allowed.
fn worst(rows: &[&Row]) -> f64 {
    let all = rows.iter().flat_map(|row| &row.comparisons);
    all.map(|comparison| comparison.error / comparison.tolerance).fold(0.0, f64::max)
}

#[test]
fn rounded_weights_cost_no_more_than_their_rounding() {
    for (precision, error) in [(BasePrecision::Bf16, BF16), (BasePrecision::Int8, INT8)] {
        let table = table(precision, error);
        let rows: Vec<&Row> = table.rows.iter().filter(|row| row.pass.is_some()).collect();
        assert_eq!(rows.len(), 3);
        let told: String = rows.iter().map(|row| row.told()).collect();
        assert!(table.passed(), "{precision}: {told}");
        // And they are rounded: an error a tenth as large would be another precision's.
        assert!(worst(&rows) > 0.1, "{precision}: the worst error is {} of what is allowed", worst(&rows));
    }
}
