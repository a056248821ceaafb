//! One folder of golden numbers: its index, its cases, and the models that lie beside them.

use std::fs;
use std::path::{Path, PathBuf};

use ltx_model::Device;
use safetensors::tensor::SafeTensors;
use serde_json::Value;

use super::{GoldenError, Setting};

/// A folder such as `vae/` with its index.
#[derive(Debug)]
pub struct Folder {
    name: String,
    path: PathBuf,
    index: Value,
    setting: Setting,
}

impl Folder {
    /// The folder `name` under `dir`, or none if it is missing or empty.
    pub fn open(dir: &Path, name: &str) -> Result<Option<Self>, GoldenError> {
        let path = dir.join(name);
        if children(&path).is_empty() {
            return Ok(None);
        }
        let file = path.join("index.json");
        let text = fs::read_to_string(&file).map_err(GoldenError::io(&file))?;
        let index = serde_json::from_str(&text).map_err(GoldenError::json(&file))?;
        Ok(Some(Self { name: name.to_owned(), path, index, setting: Setting::exact(Device::flex()) }))
    }

    /// The same, computed as `setting` says.
    pub(super) fn within(self, setting: &Setting) -> Self {
        Self { setting: setting.clone(), ..self }
    }

    /// How its cases are computed.
    pub fn setting(&self) -> &Setting {
        &self.setting
    }

    /// The folder's name, such as `vae`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The whole index.
    pub fn index(&self) -> &Value {
        &self.index
    }

    /// The cases of the index, by name. They are listed under `cases`, or make up the whole index.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&str, &Value)> {
        let cases = self.index.get("cases").unwrap_or(&self.index);
        let entries = cases.as_object().into_iter().flatten();
        entries.filter(|(_, entry)| entry.is_object()).map(|(name, entry)| (name.as_str(), entry))
    }

    /// The file of a case: named by the index, or the case's name with an ending. It may be missing.
    pub(super) fn file_of(&self, name: &str) -> PathBuf {
        let named = self.path.join(name);
        let json = self.path.join(format!("{name}.json"));
        match named.extension().and_then(|ending| ending.to_str()) {
            Some("safetensors" | "json") => named,
            _ if json.is_file() => json,
            _ => self.path.join(format!("{name}.safetensors")),
        }
    }

    /// The checkpoint that the cases were computed with: named by the index, or the one safetensors file that is
    /// no case and carries a configuration.
    pub fn checkpoint(&self) -> Result<PathBuf, GoldenError> {
        if let Some(file) = self.index["checkpoint"]["file"].as_str() {
            return Ok(self.path.join(file));
        }
        let cases: Vec<PathBuf> = self.entries().map(|(name, _)| self.file_of(name)).collect();
        let mut found = children(&self.path);
        found.retain(|path| {
            path.extension().is_some_and(|ending| ending == "safetensors") && !cases.contains(path)
        });
        found.retain(|path| has_config(path));
        self.only(found, "one safetensors file that is no case and has a `config`")
    }

    /// The folder of the text encoder: the one below with `config.json` and `tokenizer.json`.
    pub fn gemma(&self) -> Result<PathBuf, GoldenError> {
        let mut found = children(&self.path);
        found.retain(|path| ["config.json", "tokenizer.json"].iter().all(|name| path.join(name).is_file()));
        self.only(found, "one folder with config.json and tokenizer.json")
    }

    /// The sample clip with this file name (folders before it are ignored): under `clips/` inside the golden
    /// folder or beside it, or under `tests/clips/` of this workspace.
    pub fn clip(&self, name: &str) -> Result<PathBuf, GoldenError> {
        let file = Path::new(name).file_name().unwrap_or_default();
        let dir = self.path.parent().unwrap_or(&self.path);
        let beside = dir.canonicalize().map_err(GoldenError::io(dir))?;
        let own = Path::new(env!("CARGO_MANIFEST_DIR"));
        let homes = [Some(dir), beside.parent(), Some(own)].into_iter().flatten();
        let mut clips = homes.flat_map(|home| below(&home.join("clips")));
        let clip = clips.find(|path| path.file_name() == Some(file));
        clip.ok_or_else(|| GoldenError::format(dir, "no such clip", format!("`{name}` in a folder `clips`")))
    }

    fn only(&self, mut found: Vec<PathBuf>, wanted: &str) -> Result<PathBuf, GoldenError> {
        match (found.pop(), found.is_empty()) {
            (Some(path), true) => Ok(path),
            (None, _) => Err(GoldenError::format(&self.path, "none", wanted)),
            (Some(_), false) => Err(GoldenError::format(&self.path, "several", wanted)),
        }
    }
}

fn has_config(path: &Path) -> bool {
    let Ok(bytes) = fs::read(path) else { return false };
    let Ok((_, header)) = SafeTensors::read_metadata(&bytes) else { return false };
    header.metadata().as_ref().is_some_and(|metadata| metadata.contains_key("config"))
}

fn children(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// All files below a folder, at any depth.
fn below(folder: &Path) -> Vec<PathBuf> {
    let paths = children(folder).into_iter();
    paths.flat_map(|path| if path.is_dir() { below(&path) } else { vec![path] }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn golden(name: &str) -> Folder {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
        Folder::open(&dir, name).unwrap().unwrap()
    }

    #[test]
    fn a_checkpoint_is_named_by_the_index_or_found_by_its_configuration() {
        assert!(golden("vae").checkpoint().unwrap().is_file());
        assert!(golden("transformer").checkpoint().unwrap().is_file());
        assert!(golden("text").checkpoint().unwrap().is_file());
        assert!(golden("preprocess").checkpoint().is_err());
    }

    #[test]
    fn the_text_encoder_is_found_by_its_files() {
        assert!(golden("text").gemma().unwrap().join("model.safetensors").is_file());
        assert!(golden("vae").gemma().is_err());
    }

    #[test]
    fn a_missing_or_empty_folder_is_none_and_one_without_index_an_error() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Folder::open(dir.path(), "vae").unwrap().is_none());
        fs::create_dir(dir.path().join("vae")).unwrap();
        assert!(Folder::open(dir.path(), "vae").unwrap().is_none());
        fs::write(dir.path().join("vae/encode.safetensors"), "").unwrap();
        assert!(Folder::open(dir.path(), "vae").is_err());
    }

    #[test]
    fn a_clip_is_found_by_its_file_name_inside_or_beside_the_golden_folder() {
        let dir = tempfile::tempdir().unwrap();
        let golden = dir.path().join("golden");
        fs::create_dir_all(golden.join("preprocess")).unwrap();
        fs::write(golden.join("preprocess/index.json"), "{}").unwrap();
        fs::create_dir_all(dir.path().join("clips/some")).unwrap();
        fs::write(dir.path().join("clips/some/beside.mp4"), "").unwrap();
        let folder = Folder::open(&golden, "preprocess").unwrap().unwrap();
        assert!(folder.clip("clips/other/beside.mp4").unwrap().ends_with("clips/some/beside.mp4"));
        assert!(folder.clip("absent.mp4").is_err());
    }
}
