//! The weight files of a folder: one, or several shards.

use std::{collections::BTreeSet, io, path::Path};

use serde_json::Value;

use crate::{Checkpoint, ModelError};

/// Opens `model.safetensors`, or the files that `model.safetensors.index.json` names, or every `.safetensors`
/// file of `folder`, whichever there is first.
pub(crate) fn open(folder: &Path) -> Result<Vec<Checkpoint>, ModelError> {
    names(folder)?.into_iter().map(|name| Checkpoint::open(&folder.join(name))).collect()
}

fn names(folder: &Path) -> Result<BTreeSet<String>, ModelError> {
    let index = folder.join("model.safetensors.index.json");
    if folder.join("model.safetensors").exists() {
        Ok(BTreeSet::from(["model.safetensors".to_owned()]))
    } else if index.exists() {
        indexed(&index)
    } else {
        listed(folder).map_err(|source| ModelError::Io { path: folder.to_owned(), source })
    }
}

fn indexed(index: &Path) -> Result<BTreeSet<String>, ModelError> {
    let bytes = std::fs::read(index).map_err(|source| ModelError::Io { path: index.to_owned(), source })?;
    let malformed = |reason: String| ModelError::Malformed { path: index.to_owned(), reason };
    let root: Value = serde_json::from_slice(&bytes).map_err(|e| malformed(e.to_string()))?;
    let map = root.get("weight_map").and_then(Value::as_object);
    let names = map.map(|map| map.values().filter_map(Value::as_str).map(str::to_owned).collect());
    names.ok_or_else(|| malformed("there is no `weight_map`".to_owned()))
}

fn listed(folder: &Path) -> io::Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".safetensors") {
            names.insert(name);
        }
    }
    if names.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "there is no .safetensors file in it"));
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::{error::Error, fs};

    use super::*;

    #[test]
    fn the_index_is_preferred_to_the_listing_and_one_file_to_both() -> Result<(), Box<dyn Error>> {
        let folder = tempfile::tempdir()?;
        assert!(names(folder.path()).is_err_and(|e| matches!(e, ModelError::Io { .. })));
        fs::write(folder.path().join("b.safetensors"), "")?;
        fs::write(folder.path().join("a.safetensors"), "")?;
        let found = || names(folder.path()).map(|names| names.into_iter().collect::<Vec<_>>());
        assert_eq!(found()?, ["a.safetensors", "b.safetensors"]);
        let index = r#"{"weight_map": {"x": "b.safetensors", "y": "b.safetensors"}}"#;
        fs::write(folder.path().join("model.safetensors.index.json"), index)?;
        assert_eq!(found()?, ["b.safetensors"]);
        fs::write(folder.path().join("model.safetensors"), "")?;
        assert_eq!(found()?, ["model.safetensors"]);
        Ok(())
    }
}
