//! `cargo xtask tidy`: the tree is tested too.

use crate::command::{Failure, root};
use crate::files::{self, File};
use crate::layers::{self, LAYERS};
use crate::tree::Tree;

/// Checks the layers of every crate and the files of the tree, and tells every fault at once.
pub(crate) fn tidy() -> Result<(), Failure> {
    let files = files::list(&root())?;
    let mut faults = files::faults(&files);
    faults.extend(members(&files));
    for layer in &LAYERS {
        faults.extend(layers::faults(layer, &Tree::of(layer.name)?));
    }
    if faults.is_empty() {
        println!("tidy: {} crates and {} files are in order", LAYERS.len(), files.len());
        return Ok(());
    }
    Err(Failure::new(format!("the tree is not tidy\n  {}", faults.join("\n  "))))
}

/// A crate without a row in the table would be checked by nobody. Folders carry the names of their crates.
fn members(files: &[File]) -> Vec<String> {
    let folders = files.iter().filter_map(files::crate_folder);
    let names = folders.map(|folder| folder.rsplit('/').next().unwrap_or(folder));
    let unknown = names.filter(|name| LAYERS.iter().all(|layer| layer.name != *name));
    unknown.map(|name| format!("{name} has no row in the table of layers")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_without_a_row_is_a_fault() {
        let manifest = |path: &str| File { path: path.to_owned(), bytes: 0, text: None };
        let files = [manifest("crates/billing/Cargo.toml"), manifest("crates/stray/Cargo.toml")];
        assert_eq!(members(&files), ["stray has no row in the table of layers"]);
    }
}
