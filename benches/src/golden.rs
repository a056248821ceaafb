//! The reference's numbers, computed on a device.

use std::path::Path;

use burn::tensor::Device;
use ltx_model::BasePrecision;
use serde_json::{Value, json};
use tests::golden::{Row, Setting, Table, kinds, rounded_kinds};

use crate::case::Result;

/// Compares what `device` computes with the golden numbers under `folder`: in float32 all that are there, as their
/// index allows, and in the formats that round those of the transformer, as rounding allows.
///
/// # Errors
/// If the folder cannot be read, a line cannot be told, or numbers differ by more.
pub fn compare(folder: &Path, device: &Device, tell: &mut dyn FnMut(&Value) -> Result<()>) -> Result<()> {
    let mut failed = Vec::new();
    for precision in BasePrecision::ALL {
        let kinds = if precision == BasePrecision::Float32 { kinds() } else { rounded_kinds() };
        let table = Table::with(folder, &kinds, &Setting::rounded(device.clone(), precision))?;
        if table.rows.iter().all(|row| row.pass.is_none()) {
            return Err(format!("{} has no golden numbers", folder.display()).into());
        }
        for row in table.rows.iter().filter(|row| row.pass.is_some()) {
            tell(&line(row, precision))?;
            failed.extend((row.pass == Some(false)).then(|| row.told()));
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(failed.concat().into()) }
}

fn line(row: &Row, precision: BasePrecision) -> Value {
    let worst = row.worst();
    json!({
        "what": "golden", "side": "ours", "precision": precision.name(), "folder": row.folder, "kind": row.kind,
        "cases": row.cases, "pass": row.pass, "tensor": worst.map(|worst| &worst.tensor),
        "error": worst.map(|worst| worst.error), "allowed": worst.map(|worst| worst.tolerance),
    })
}
