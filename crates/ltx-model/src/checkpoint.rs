//! Checkpoint files: memory-mapped, only the wanted tensors read.

use std::{
    collections::BTreeSet,
    fs::File,
    path::{Path, PathBuf},
};

use burn::tensor::Device;
use memmap2::Mmap;
use safetensors::SafeTensors;
use serde_json::Value;

use crate::{
    ModelError, WeightFaults,
    weights::{Mode, Weights},
};

/// A `.safetensors` file with the official layout: components by key prefix, configuration in the metadata.
///
/// Opening reads the header only. The weights stay in the file until a component asks for them.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    map: Mmap,
    config: Value,
    model_version: Option<String>,
    keys: BTreeSet<String>,
}

impl Checkpoint {
    /// Opens `path`.
    ///
    /// # Errors
    /// If the file cannot be read, is no safetensors file, or has a broken configuration. A file without any
    /// configuration opens; its components are then missing.
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        let io = |source| ModelError::Io { path: path.to_owned(), source };
        let file = File::open(path).map_err(io)?;
        // SAFETY: the map is read-only and private to this value. Another process that truncates the file while
        // it is mapped ends this one; nothing short of copying 46 GB would prevent that.
        let map = unsafe { Mmap::map(&file) }.map_err(io)?;
        let malformed = |reason: String| ModelError::Malformed { path: path.to_owned(), reason };
        let (_, header) = SafeTensors::read_metadata(&map).map_err(|e| malformed(e.to_string()))?;
        let strings = header.metadata().clone().unwrap_or_default();
        let config = match strings.get("config") {
            Some(text) => serde_json::from_str(text).map_err(|e| malformed(format!("config: {e}")))?,
            None => Value::Null,
        };
        let keys = header.tensors().into_keys().collect();
        Ok(Self {
            path: path.to_owned(),
            map,
            config,
            model_version: strings.get("model_version").cloned(),
            keys,
        })
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The `model_version` of the metadata.
    pub fn model_version(&self) -> Option<&str> {
        self.model_version.as_deref()
    }

    /// Every key of the file.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(String::as_str)
    }

    /// One section of the configuration, such as `transformer` or `vae`.
    ///
    /// # Errors
    /// If the metadata has no such section.
    pub fn section(&self, section: &'static str) -> Result<&Value, ModelError> {
        self.config
            .get(section)
            .filter(|value| value.is_object())
            .ok_or_else(|| ModelError::NoSection { path: self.path.clone(), section })
    }

    /// Reads a component whose keys start with `prefix`.
    ///
    /// `build` asks [`Weights`] for each tensor by key and shape. It runs twice: once to compare all keys and
    /// shapes with the file without reading any, and once to read. `families` are the key patterns (relative to
    /// `prefix`; `*` stands for one path component) of which no key may be left unasked for.
    ///
    /// # Errors
    /// [`ModelError::Weights`] with every missing key, wrong shape, wrong dtype and leftover at once.
    pub(crate) fn read<T>(
        &self,
        prefix: &str,
        families: &[&str],
        device: &Device,
        build: impl Fn(&Weights) -> T,
    ) -> Result<T, ModelError> {
        self.survey(prefix, families, device, &build)?;
        let file = self.tensors()?;
        let weights = Weights::root(&file, prefix, device, Mode::Read);
        Ok(build(&weights))
    }

    /// The file's tensors, still in the file.
    pub(crate) fn tensors(&self) -> Result<SafeTensors<'_>, ModelError> {
        SafeTensors::deserialize(&self.map)
            .map_err(|e| ModelError::Malformed { path: self.path.clone(), reason: e.to_string() })
    }

    /// The first half of [`read`](Self::read): compares, and reads no weight.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(crate) fn survey<T>(
        &self,
        prefix: &str,
        families: &[&str],
        device: &Device,
        build: impl Fn(&Weights) -> T,
    ) -> Result<(), ModelError> {
        let file = self.tensors()?;
        let survey = Weights::root(&file, prefix, device, Mode::Survey);
        build(&survey);
        let (mut faults, asked) = survey.finish();
        faults.leftover = self.leftover(prefix, families, &asked);
        if faults.is_empty() { Ok(()) } else { Err(self.weights_error(faults)) }
    }

    fn leftover(&self, prefix: &str, families: &[&str], asked: &BTreeSet<String>) -> Vec<String> {
        let wanted = |key: &&String| {
            key.strip_prefix(prefix).is_some_and(|rest| families.iter().any(|family| covers(family, rest)))
        };
        self.keys.iter().filter(wanted).filter(|key| !asked.contains(*key)).cloned().collect()
    }

    fn weights_error(&self, faults: WeightFaults) -> ModelError {
        ModelError::Weights { path: self.path.clone(), faults }
    }
}

/// Whether `key` is `family` or below it, component by component; `*` covers any one component.
fn covers(family: &str, key: &str) -> bool {
    let mut parts = key.split('.');
    family.split('.').all(|wanted| parts.next().is_some_and(|part| wanted == "*" || wanted == part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_match_whole_components() {
        assert!(covers("transformer_blocks.*.attn1", "transformer_blocks.3.attn1.to_q.weight"));
        assert!(covers("scale_shift_table", "scale_shift_table"));
        assert!(!covers("scale_shift_table", "scale_shift_table_a2v_ca_video"));
        assert!(!covers("transformer_blocks.*.attn1", "transformer_blocks.3.audio_attn1.to_q.weight"));
        assert!(!covers("transformer_blocks.*.attn1", "transformer_blocks.3"));
    }
}
