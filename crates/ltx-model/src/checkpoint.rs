//! Checkpoint files: only the wanted tensors are read, one at a time.

use std::{collections::BTreeSet, path::Path};

use burn::tensor::Device;
use serde_json::Value;

use crate::{
    BasePrecision, ModelError, WeightFaults,
    tensor_file::TensorFile,
    weights::{Asked, Mode, Weights},
};

/// What a component takes of its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Tensors.
    pub tensors: usize,
    /// Their bytes in the file.
    pub bytes: u64,
}

/// A `.safetensors` file with the official layout: components by key prefix, configuration in the metadata.
///
/// Opening reads the header only. The weights stay in the file until a component asks for them.
#[derive(Debug)]
pub struct Checkpoint {
    tensors: TensorFile,
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
        let tensors = TensorFile::open(path)?;
        let strings = tensors.strings();
        let malformed = |e| ModelError::Malformed { path: path.to_owned(), reason: format!("config: {e}") };
        let config = match strings.get("config") {
            Some(text) => serde_json::from_str(text).map_err(malformed)?,
            None => Value::Null,
        };
        let model_version = strings.get("model_version").cloned();
        let keys = tensors.keys();
        Ok(Self { tensors, config, model_version, keys })
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        self.tensors.path()
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
            .ok_or_else(|| ModelError::NoSection { path: self.path().to_owned(), section })
    }

    /// Reads a component whose keys start with `prefix`.
    ///
    /// `build` asks [`Weights`] for each tensor by key and shape. It runs twice: once to compare all keys and
    /// shapes with the file without reading any, and once to read. `families` are the key patterns (relative to
    /// `prefix`; `*` stands for one path component) of which no key may be left unasked for.
    ///
    /// # Errors
    /// [`ModelError::Weights`] with every missing key, wrong shape, wrong dtype and leftover at once;
    /// [`ModelError::Io`] if the file cannot be read any more.
    pub(crate) fn read<T>(
        &self,
        prefix: &str,
        families: &[&str],
        device: &Device,
        build: impl Fn(&Weights) -> T,
    ) -> Result<T, ModelError> {
        self.survey(prefix, families, device, &build)?;
        Self::built(Weights::root(self, prefix, device, Mode::Read), build)
    }

    /// The same, with the weights of linear layers kept in `precision`.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(crate) fn read_in<T>(
        &self,
        precision: BasePrecision,
        prefix: &str,
        families: &[&str],
        device: &Device,
        build: impl Fn(&Weights) -> T,
    ) -> Result<T, ModelError> {
        self.survey(prefix, families, device, &build)?;
        Self::built(Weights::root(self, prefix, device, Mode::Read).kept_in(precision), build)
    }

    fn built<T>(weights: Weights, build: impl Fn(&Weights) -> T) -> Result<T, ModelError> {
        let built = build(&weights);
        weights.sound().map(|()| built)
    }

    /// The file's tensors, still in the file.
    pub(crate) fn tensors(&self) -> &TensorFile {
        &self.tensors
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
    ) -> Result<Wanted, ModelError> {
        let survey = Weights::root(self, prefix, device, Mode::Survey);
        build(&survey);
        let (mut faults, asked) = survey.finish();
        faults.leftover = self.leftover(prefix, families, &asked);
        if faults.is_empty() { Ok(self.wanted(&asked)) } else { Err(self.weights_error(faults)) }
    }

    fn wanted(&self, asked: &Asked) -> Wanted {
        let infos = asked.keys().filter_map(|key| self.tensors.info(key));
        let bytes = infos.map(|info| (info.data_offsets.1 - info.data_offsets.0) as u64).sum();
        Wanted { tensors: asked.len(), bytes }
    }

    fn leftover(&self, prefix: &str, families: &[&str], asked: &Asked) -> Vec<String> {
        let wanted = |key: &&String| {
            key.strip_prefix(prefix).is_some_and(|rest| families.iter().any(|family| covers(family, rest)))
        };
        self.keys.iter().filter(wanted).filter(|key| !asked.contains_key(*key)).cloned().collect()
    }

    fn weights_error(&self, faults: WeightFaults) -> ModelError {
        ModelError::Weights { path: self.path().to_owned(), faults }
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
