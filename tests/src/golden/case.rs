//! One golden case: what the reference was given and what it computed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ltx_model::Device;
use serde_json::Value;

use super::{Folder, GoldenError, Tensor, Values};

/// A case of the index with the content of its file.
#[derive(Debug)]
pub struct Case<'a> {
    folder: &'a Folder,
    name: String,
    entry: &'a Value,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Tensors(BTreeMap<String, Tensor>),
    Json(Value),
}

impl<'a> Case<'a> {
    pub(super) fn load(
        folder: &'a Folder,
        name: &str,
        entry: &'a Value,
        path: &Path,
    ) -> Result<Self, GoldenError> {
        let content = if path.extension().is_some_and(|ending| ending == "json") {
            let text = fs::read_to_string(path).map_err(GoldenError::io(path))?;
            Content::Json(serde_json::from_str(&text).map_err(GoldenError::json(path))?)
        } else {
            Content::Tensors(Tensor::read_all(path)?)
        };
        Ok(Self { folder, name: name.to_owned(), entry, content })
    }

    /// The name in the index.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where the case's file is.
    pub fn path(&self) -> PathBuf {
        self.folder.file_of(&self.name)
    }

    /// The first case of another kind in the same folder, if its file is there.
    ///
    /// # Errors
    /// If that file cannot be read.
    pub fn sibling(&self, kind: &str) -> Result<Option<Case<'a>>, GoldenError> {
        let of_kind = |(_, entry): &(&str, &Value)| entry["kind"] == kind;
        let Some((name, entry)) = self.folder.entries().find(of_kind) else { return Ok(None) };
        let path = self.folder.file_of(name);
        if path.is_file() { Case::load(self.folder, name, entry, &path).map(Some) } else { Ok(None) }
    }

    /// The folder, with the checkpoints that lie in it.
    pub fn folder(&self) -> &Folder {
        self.folder
    }

    /// The device that it is computed on.
    pub fn device(&self) -> &Device {
        &self.folder.setting().device
    }

    /// The parameters: the entry's `params`, or the entry itself where it carries them directly.
    pub fn params(&self) -> &Value {
        self.entry.get("params").unwrap_or(self.entry)
    }

    /// The whole entry of the index.
    pub fn entry(&self) -> &Value {
        self.entry
    }

    /// The names of the tensors, sorted; none for a case in JSON.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let tensors = match &self.content {
            Content::Tensors(tensors) => Some(tensors),
            Content::Json(_) => None,
        };
        tensors.into_iter().flat_map(|tensors| tensors.keys().map(String::as_str))
    }

    /// Whether the file holds this tensor.
    pub fn has(&self, name: &str) -> bool {
        self.names().any(|own| own == name)
    }

    /// The distinct beginnings of the tensor names before `separator`, for files that hold several variants:
    /// `causal.input`, `causal.output`, `free.input` give `causal`, `free`.
    pub fn groups(&self, separator: char) -> Vec<&str> {
        let mut groups: Vec<&str> =
            self.names().filter_map(|name| name.split_once(separator)).map(|(group, _)| group).collect();
        groups.dedup();
        groups
    }

    /// A tensor of floats of any width, and its shape.
    pub fn tensor_f32(&self, name: &str) -> Result<(Vec<f32>, Vec<usize>), GoldenError> {
        let wanted = "a tensor of floats";
        let tensor = self.tensor(name, wanted)?;
        let values = match &tensor.values {
            Values::F32(values) => values.clone(),
            Values::Bf16(values) => values.iter().map(|value| value.to_f32()).collect(),
            Values::F64(values) => values.iter().map(|value| *value as f32).collect(),
            _ => return Err(GoldenError::Missing { name: name.to_owned(), wanted }),
        };
        Ok((values, tensor.shape.clone()))
    }

    /// A tensor of bytes, and its shape.
    pub fn tensor_u8(&self, name: &str) -> Result<(Vec<u8>, Vec<usize>), GoldenError> {
        let wanted = "a tensor of bytes";
        let tensor = self.tensor(name, wanted)?;
        match &tensor.values {
            Values::U8(values) => Ok((values.clone(), tensor.shape.clone())),
            _ => Err(GoldenError::Missing { name: name.to_owned(), wanted }),
        }
    }

    /// A tensor of integers, and its shape. Some files store integers and truth values as floats.
    pub fn tensor_i64(&self, name: &str) -> Result<(Vec<i64>, Vec<usize>), GoldenError> {
        let wanted = "a tensor of whole numbers";
        let tensor = self.tensor(name, wanted)?;
        let numbers = tensor.numbers().filter(|numbers| numbers.iter().all(|number| number.fract() == 0.0));
        let numbers = numbers.ok_or_else(|| GoldenError::Missing { name: name.to_owned(), wanted })?;
        Ok((numbers.iter().map(|number| *number as i64).collect(), tensor.shape.clone()))
    }

    /// A tensor as it is.
    pub fn tensor(&self, name: &str, wanted: &'static str) -> Result<&Tensor, GoldenError> {
        let tensor = match &self.content {
            Content::Tensors(tensors) => tensors.get(name),
            Content::Json(_) => None,
        };
        tensor.ok_or_else(|| GoldenError::Missing { name: name.to_owned(), wanted })
    }

    /// The content of a case in JSON.
    pub fn json(&self) -> Result<&Value, GoldenError> {
        match &self.content {
            Content::Json(value) => Ok(value),
            Content::Tensors(_) => Err(GoldenError::Missing { name: self.name.clone(), wanted: "JSON" }),
        }
    }

    /// What `name` should be: a tensor of the file, or the value at the pointer `/name` of a case in JSON.
    pub(super) fn golden(&self, name: &str) -> Option<Tensor> {
        match &self.content {
            Content::Tensors(tensors) => tensors.get(name).cloned(),
            Content::Json(value) => value.pointer(&format!("/{name}")).and_then(Tensor::from_json),
        }
    }
}
