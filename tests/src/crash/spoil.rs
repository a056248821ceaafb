//! States of a run, spoilt from outside: the file of a snapshot is altered, and sealed again so that it counts as whole.

use std::{
    fs,
    path::{Path, PathBuf},
};

use lora_train::Digest;
use serde_json::{Map, Value, json};

use super::CrashError;

/// A snapshot's file, taken apart.
pub(super) struct SnapshotFile {
    path: PathBuf,
    header: Map<String, Value>,
    /// The tensors' bytes, without the seal at their end.
    data: Vec<u8>,
}

impl SnapshotFile {
    /// The newest snapshot of the unfinished run in `out`.
    pub(super) fn newest(out: &Path) -> Result<Self, CrashError> {
        let folder = out.join("state/snapshots");
        let names = fs::read_dir(&folder)?.map(|entry| entry.map(|entry| entry.path()));
        let mut paths = names.collect::<Result<Vec<_>, _>>()?;
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "safetensors"));
        let path = paths.into_iter().max();
        let path =
            path.ok_or(CrashError::Spoil { path: folder, reason: "there is no snapshot".to_owned() })?;
        Self::read(path)
    }

    fn read(path: PathBuf) -> Result<Self, CrashError> {
        let bytes = fs::read(&path)?;
        let parts = || {
            let (length, rest) = bytes.split_first_chunk::<8>()?;
            let (header, data) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
            let (data, _seal) = data.split_last_chunk::<{ Digest::BYTES }>()?;
            let Value::Object(header) = serde_json::from_slice(header).ok()? else { return None };
            Some((header, data.to_vec()))
        };
        match parts() {
            Some((header, data)) => Ok(Self { path, header, data }),
            None => Err(CrashError::Spoil { path, reason: "it is no sealed file".to_owned() }),
        }
    }

    /// Sets all values of tensors whose names begin with `prefix` to zero; gives how many tensors these are.
    pub(super) fn zero(&mut self, prefix: &str) -> usize {
        let mut tensors = 0;
        for (name, tensor) in &self.header {
            let offset = |at: usize| tensor["data_offsets"][at].as_u64().map(|offset| offset as usize);
            let (true, Some(from), Some(to)) = (name.starts_with(prefix), offset(0), offset(1)) else {
                continue;
            };
            if let Some(values) = self.data.get_mut(from..to) {
                values.fill(0);
                tensors += 1;
            }
        }
        tensors
    }

    /// A value of the metadata.
    pub(super) fn metadata(&self, key: &str) -> Option<&str> {
        self.header.get("__metadata__")?.get(key)?.as_str()
    }

    /// Puts another value in the place of one of the metadata.
    pub(super) fn set_metadata(&mut self, key: &str, value: &str) {
        if let Some(Value::Object(metadata)) = self.header.get_mut("__metadata__") {
            metadata.insert(key.to_owned(), json!(value));
        }
    }

    /// Gives it the name of another step's.
    pub(super) fn rename(&mut self, step: usize) -> Result<(), CrashError> {
        fs::remove_file(&self.path)?;
        self.path.set_file_name(format!("snapshot-{step:06}.safetensors"));
        Ok(())
    }

    /// Seals and writes it.
    pub(super) fn write(&self) -> Result<(), CrashError> {
        let mut header = Value::Object(self.header.clone()).to_string().into_bytes();
        header.resize(header.len().next_multiple_of(8), b' ');
        let mut bytes = [&(header.len() as u64).to_le_bytes(), header.as_slice(), &self.data].concat();
        let seal = Digest::of(&bytes);
        bytes.extend(seal.as_bytes());
        Ok(fs::write(&self.path, bytes)?)
    }
}

/// Gives a part of a fingerprint, which is a list of pairs in JSON, another value.
pub(super) fn with_part(fingerprint: &str, part: &str, value: &str) -> Option<String> {
    let mut parts: Vec<(String, String)> = serde_json::from_str(fingerprint).ok()?;
    parts.iter_mut().find(|(name, _)| name == part)?.1 = value.to_owned();
    serde_json::to_string(&parts).ok()
}
