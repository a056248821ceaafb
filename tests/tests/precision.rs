//! The golden numbers of the transformer with its weights in bf16 and in 8-bit integers, within what rounding the
//! weights can cost: `docs/precision.md` derives the numbers.
#![allow(clippy::unwrap_used, reason = "the helpers of a test fail by panicking, as tests do")]

use std::path::Path;

use ltx_model::{BasePrecision, Device};
use tests::golden::{Row, Setting, Table, rounded_kinds};

/// The largest error of those tensors that a weight's rounding reaches, in units of what is allowed.
fn worst(rows: &[&Row]) -> f64 {
    let all = rows.iter().flat_map(|row| &row.comparisons);
    all.map(|comparison| comparison.error / comparison.tolerance).fold(0.0, f64::max)
}

#[test]
fn rounded_weights_cost_no_more_than_their_rounding() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    for precision in [BasePrecision::Bf16, BasePrecision::Int8] {
        let setting = Setting::rounded(Device::flex(), precision);
        let table = Table::with(&golden, &rounded_kinds(), &setting).unwrap();
        let rows: Vec<&Row> = table.rows.iter().filter(|row| row.pass.is_some()).collect();
        assert_eq!(rows.len(), 3);
        let told: String = rows.iter().map(|row| row.told()).collect();
        assert!(table.passed(), "{precision}: {told}");
        // And they are rounded: an error a tenth as large would be another precision's.
        assert!(worst(&rows) > 0.1, "{precision}: the worst error is {} of what is allowed", worst(&rows));
    }
}
