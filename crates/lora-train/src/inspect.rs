//! Looking into a LoRA file, whoever made it: its modules, what it says of itself, and whether it is sound.
//!
//! Nothing is known of the base model, so that files of any trainer can be read: keys are taken apart by their ends
//! ([`Layout`]), and what comes before is the module's name. Only the header and one module at a time are in memory.

mod error;
mod file;
mod health;
mod layout;
mod values;

use std::{collections::BTreeMap, path::Path};

use serde::Serialize;

pub use error::InspectError;
use file::LoraReader;
pub use health::Health;
pub use layout::Layout;
use layout::{Part, part_of};

/// What a LoRA file holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LoraFile {
    /// Its size in bytes.
    pub bytes: u64,
    /// What it says of itself.
    pub metadata: BTreeMap<String, String>,
    /// How its keys are written; more than one if it is a mixture.
    pub layouts: Vec<Layout>,
    /// The adapted modules, by name, numbers in their order.
    pub modules: Vec<LoraModule>,
    /// Keys that are no part of a LoRA, by name.
    pub others: Vec<String>,
}

/// An adapted module.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LoraModule {
    /// Its name in the file, without the factor's ending.
    pub name: String,
    /// The rank: rows of A, or of a convolution's A; none if that factor is missing.
    pub rank: Option<usize>,
    /// What goes into the module: columns of A, for a convolution times its kernel.
    pub inputs: Option<usize>,
    /// What comes out of it: rows of B.
    pub outputs: Option<usize>,
    /// The alpha that the file gives: a loader scales by alpha / rank. Without one it does not scale.
    pub alpha: Option<f64>,
    /// The types of both factors, such as `BF16`; two names if they differ.
    pub dtype: String,
    /// Whether it is sound.
    #[serde(flatten)]
    pub health: Health,
}

impl LoraFile {
    /// Every rank that occurs, the smallest first.
    pub fn ranks(&self) -> Vec<usize> {
        let mut ranks: Vec<usize> = self.modules.iter().filter_map(|module| module.rank).collect();
        ranks.sort_unstable();
        ranks.dedup();
        ranks
    }

    /// Every type that occurs, by name.
    pub fn dtypes(&self) -> Vec<&str> {
        let mut types: Vec<&str> = self.modules.iter().map(|module| module.dtype.as_str()).collect();
        types.sort_unstable();
        types.dedup();
        types
    }

    /// Whether every module is finite and does something.
    pub fn is_sound(&self) -> bool {
        self.modules.iter().all(|module| matches!(module.health, Health::Sound { .. }))
    }
}

/// Reads the LoRA at `path` and measures every module.
///
/// # Errors
/// If the file cannot be read, is no `.safetensors` file, or holds no LoRA. Modules that are damaged or strange are no
/// errors: their [`Health`] says so.
pub fn inspect(path: &Path) -> Result<LoraFile, InspectError> {
    let mut reader = LoraReader::open(path)?;
    let mut found: BTreeMap<SortKey, (String, Parts)> = BTreeMap::new();
    let mut layouts = Vec::new();
    let mut others = Vec::new();
    for key in reader.keys() {
        match part_of(&key) {
            Some((module, layout, part)) => {
                layouts.push(layout);
                let parts =
                    found.entry(sort_key(module)).or_insert_with(|| (module.to_owned(), Parts::default()));
                parts.1.0.insert(part, key.clone());
            }
            None => others.push(key),
        }
    }
    // A file of alphas alone, or of whole weights, is no LoRA.
    found.retain(|_, (_, parts)| {
        let has_factor = parts.has(Part::A) || parts.has(Part::B);
        if !has_factor {
            others.extend(parts.0.values().cloned());
        }
        has_factor
    });
    if found.is_empty() {
        return Err(InspectError::no_lora(path, others.len()));
    }
    layouts.sort_unstable();
    layouts.dedup();
    layouts.retain(|layout| *layout != Layout::Any);
    others.sort_unstable();
    let modules = found.into_values().map(|(name, parts)| health::module(&mut reader, name, &parts));
    let modules = modules.collect::<Result<_, _>>()?;
    Ok(LoraFile { bytes: reader.bytes(), metadata: reader.metadata(), layouts, modules, others })
}

/// The keys of one module.
#[derive(Debug, Default)]
struct Parts(BTreeMap<Part, String>);

impl Parts {
    fn has(&self, part: Part) -> bool {
        self.0.contains_key(&part)
    }

    fn key(&self, part: Part) -> Option<&str> {
        self.0.get(&part).map(String::as_str)
    }
}

/// A name in pieces, so that block 2 comes before block 10.
type SortKey = Vec<(Option<u64>, String)>;

fn sort_key(name: &str) -> SortKey {
    name.split(['.', '_']).map(|piece| (piece.parse().ok(), piece.to_owned())).collect()
}

#[cfg(test)]
mod tests;
