//! Latents on disk: what the encoders made, read one example at a time.
//!
//! ```text
//! latents/
//!   index.json                 the examples in order; written last, so that a folder with it is whole
//!   example-0000.safetensors   latents f32 [128, F', H', W'], keep u8 [F', H', W']
//!   context-0000.safetensors   context f32 [L, D], one for each distinct prompt
//! ```

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
};

use ndarray::{Array2, Array3, Array4};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize};
use tensor_batch::{Blame, Fault, FrameRate, LatentExample, LatentMask, LatentSource, Mask, Stem};

use crate::files::write_whole;

const INDEX: &str = "index.json";

/// Why the cache cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CacheError {
    /// A file cannot be read or written.
    #[error("cannot access {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file does not hold what the index says.
    #[error("{} is damaged: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl Blame for CacheError {
    fn fault(&self) -> Fault {
        Fault::Service
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Io { .. } => "cache-io",
            Self::Damaged { .. } => "cache-damaged",
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Entry {
    stem: String,
    fps: f64,
    context: usize,
}

/// Writes a cache, example by example.
#[derive(Debug)]
pub struct LatentCacheWriter {
    folder: PathBuf,
    entries: Vec<Entry>,
}

impl LatentCacheWriter {
    /// A new cache in `folder`, which is made if it is missing.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn create(folder: &Path) -> Result<Self, CacheError> {
        fs::create_dir_all(folder).map_err(|source| CacheError::Io { path: folder.to_owned(), source })?;
        Ok(Self { folder: folder.to_owned(), entries: Vec::new() })
    }

    /// Adds an example: normalised latents `[128, F', H', W']`, which cells are kept, and the number of its prompt
    /// in the list that [`finish`](Self::finish) takes.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn add(
        &mut self,
        stem: &Stem,
        latents: &Array4<f32>,
        keep: &LatentMask,
        prompt: usize,
        rate: FrameRate,
    ) -> Result<(), CacheError> {
        let kept: Vec<u8> = keep.keep().values().iter().map(|kept| u8::from(*kept)).collect();
        let latent_bytes = bytes_of(latents.iter());
        let path = example_path(&self.folder, self.entries.len());
        write_tensors(
            &path,
            [
                ("latents", Dtype::F32, latents.shape(), latent_bytes.as_slice()),
                ("keep", Dtype::U8, keep.keep().values().shape(), kept.as_slice()),
            ],
        )?;
        self.entries.push(Entry { stem: stem.as_str().to_owned(), fps: rate.fps(), context: prompt });
        Ok(())
    }

    /// Adds the contexts `[L, D]`, one for each prompt, and the index.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn finish(self, contexts: &[Array2<f32>]) -> Result<LatentCache, CacheError> {
        for (i, context) in contexts.iter().enumerate() {
            let bytes = bytes_of(context.iter());
            let path = context_path(&self.folder, i);
            write_tensors(&path, [("context", Dtype::F32, context.shape(), bytes.as_slice())])?;
        }
        let path = self.folder.join(INDEX);
        let json = serde_json::to_vec_pretty(&self.entries)
            .map_err(|e| CacheError::Damaged { path: path.clone(), reason: e.to_string() })?;
        write_whole(&path, &json).map_err(|source| CacheError::Io { path, source })?;
        Ok(LatentCache { folder: self.folder, entries: self.entries })
    }
}

/// A folder of latent examples.
#[derive(Debug, Clone)]
pub struct LatentCache {
    folder: PathBuf,
    entries: Vec<Entry>,
}

impl LatentCache {
    /// Opens a finished cache.
    ///
    /// # Errors
    /// If the index is missing or broken.
    pub fn open(folder: &Path) -> Result<Self, CacheError> {
        let path = folder.join(INDEX);
        let bytes = fs::read(&path).map_err(|source| CacheError::Io { path: path.clone(), source })?;
        let entries = serde_json::from_slice(&bytes)
            .map_err(|e| CacheError::Damaged { path: path.clone(), reason: e.to_string() })?;
        Ok(Self { folder: folder.to_owned(), entries })
    }
}

impl LatentSource for LatentCache {
    type Error = CacheError;

    fn len(&self) -> usize {
        self.entries.len()
    }

    fn get(&self, index: usize) -> Result<LatentExample, CacheError> {
        let entry = &self.entries[index];
        let example = TensorFile::read(example_path(&self.folder, index))?;
        let context = TensorFile::read(context_path(&self.folder, entry.context))?;
        let (latents, shape) = example.floats::<4>("latents")?;
        let latents = Array4::from_shape_vec(shape, latents).map_err(|e| example.damaged(e))?;
        let (values, shape) = example.bytes::<3>("keep")?;
        let keep = values.into_iter().map(|value| value != 0).collect();
        let keep: Array3<bool> = Array3::from_shape_vec(shape, keep).map_err(|e| example.damaged(e))?;
        let keep = LatentMask::new(Mask::new(keep)).ok_or_else(|| example.damaged("every cell is kept"))?;
        let (values, shape) = context.floats::<2>("context")?;
        let values = Array2::from_shape_vec(shape, values).map_err(|e| context.damaged(e))?;
        let rate = FrameRate::new(entry.fps).map_err(|e| example.damaged(e))?;
        LatentExample::new(Stem::new(entry.stem.clone()), latents, keep, values, rate)
            .map_err(|e| example.damaged(e))
    }
}

fn example_path(folder: &Path, index: usize) -> PathBuf {
    folder.join(format!("example-{index:04}.safetensors"))
}

fn context_path(folder: &Path, index: usize) -> PathBuf {
    folder.join(format!("context-{index:04}.safetensors"))
}

fn bytes_of<'a>(values: impl Iterator<Item = &'a f32>) -> Vec<u8> {
    values.flat_map(|value| value.to_le_bytes()).collect()
}

type Named<'a> = (&'static str, Dtype, &'a [usize], &'a [u8]);

fn write_tensors<const N: usize>(path: &Path, tensors: [Named<'_>; N]) -> Result<(), CacheError> {
    let damaged = |e: safetensors::SafeTensorError| CacheError::Damaged {
        path: path.to_owned(),
        reason: e.to_string(),
    };
    let mut views = HashMap::new();
    for (name, dtype, shape, bytes) in tensors {
        views.insert(name, TensorView::new(dtype, shape.to_vec(), bytes).map_err(damaged)?);
    }
    let bytes = safetensors::serialize(views, None).map_err(damaged)?;
    write_whole(path, &bytes).map_err(|source| CacheError::Io { path: path.to_owned(), source })
}

struct TensorFile {
    path: PathBuf,
    data: Vec<u8>,
}

impl TensorFile {
    fn read(path: PathBuf) -> Result<Self, CacheError> {
        let data = fs::read(&path).map_err(|source| CacheError::Io { path: path.clone(), source })?;
        Ok(Self { path, data })
    }

    fn damaged(&self, reason: impl ToString) -> CacheError {
        CacheError::Damaged { path: self.path.clone(), reason: reason.to_string() }
    }

    fn bytes<const D: usize>(&self, name: &str) -> Result<(Vec<u8>, [usize; D]), CacheError> {
        let file = SafeTensors::deserialize(&self.data).map_err(|e| self.damaged(e))?;
        let view = file.tensor(name).map_err(|e| self.damaged(e))?;
        let shape = view
            .shape()
            .try_into()
            .map_err(|_| self.damaged(format!("`{name}` has shape {:?}", view.shape())))?;
        Ok((view.data().to_vec(), shape))
    }

    fn floats<const D: usize>(&self, name: &str) -> Result<(Vec<f32>, [usize; D]), CacheError> {
        let (bytes, shape) = self.bytes(name)?;
        let (chunks, _) = bytes.as_chunks();
        Ok((chunks.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(), shape))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(dir: &Path) -> LatentCache {
        let mut writer = LatentCacheWriter::create(dir).unwrap();
        let mut keep = Array3::from_elem([2, 1, 2], true);
        keep[[1, 0, 1]] = false;
        let keep = LatentMask::new(Mask::new(keep)).unwrap();
        let latents =
            Array4::from_shape_fn([128, 2, 1, 2], |(c, f, _, w)| c as f32 + 0.1 * f as f32 - w as f32);
        writer.add(&Stem::new("a"), &latents, &keep, 0, FrameRate::new(23.976).unwrap()).unwrap();
        writer.finish(&[Array2::from_elem([4, 3], 0.25)]).unwrap()
    }

    #[test]
    fn what_is_written_reads_back() {
        let dir = tempfile::tempdir().unwrap();
        let cache = written(dir.path());
        let again = LatentCache::open(dir.path()).unwrap().get(0).unwrap();
        assert_eq!(again, cache.get(0).unwrap());
        assert_eq!((again.rate().fps(), again.keep().generated()), (23.976, 0.25));
        assert_eq!(again.latents()[[127, 1, 0, 0]], 127.1);
    }

    #[test]
    fn a_truncated_file_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let cache = written(dir.path());
        let path = example_path(dir.path(), 0);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        let Err(CacheError::Damaged { path: named, .. }) = cache.get(0) else { panic!("expected damage") };
        assert_eq!(named, path);
    }

    #[test]
    fn a_folder_without_an_index_is_no_cache() {
        let dir = tempfile::tempdir().unwrap();
        LatentCacheWriter::create(dir.path()).unwrap();
        assert!(matches!(LatentCache::open(dir.path()), Err(CacheError::Io { .. })));
    }
}
