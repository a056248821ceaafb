//! Latents on disk: what the encoders made, read one example at a time.
//!
//! ```text
//! latents/
//!   index.json                     the examples in order; written last
//!   example-<digest>.safetensors   latents f32 [128, F', H', W'], keep u8 [F', H', W'], the frame rate
//!   context-<digest>.safetensors   context f32 [L, D], one for each distinct prompt
//! ```
//!
//! A file is named by the digest of what it was made from: whoever fills the cache decides what that is, so that
//! nothing is encoded twice, not even by a run that takes up another one's work. Every file carries a seal; one that is
//! damaged counts as missing.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use ndarray::{Array2, Array3, Array4};
use safetensors::Dtype;
use serde::{Deserialize, Serialize};
use tensor_batch::{Blame, Fault, FrameRate, LatentExample, LatentMask, LatentSource, Mask, Stem};

use crate::{
    digest::Digest,
    files::{RealDisk, leftovers, write_whole},
    sealed::{self, Entry, Sealed, Unreadable, bytes_of},
};

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

impl CacheError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { path: path.to_owned(), source }
    }

    fn damaged(path: &Path) -> impl FnOnce(String) -> Self {
        move |reason| Self::Damaged { path: path.to_owned(), reason }
    }
}

/// An example of a finished cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheEntry {
    /// The example's name.
    pub stem: String,
    /// What its latents, mask and rate were made from.
    pub example: Digest,
    /// What its context was made from.
    pub context: Digest,
}

/// Fills a folder, file by file.
#[derive(Debug)]
pub struct LatentCacheWriter {
    folder: PathBuf,
}

impl LatentCacheWriter {
    /// A cache in `folder`, which is made if it is missing; what is there is found again.
    ///
    /// # Errors
    /// If the folder cannot be made or read.
    pub fn open(folder: &Path) -> Result<Self, CacheError> {
        let clean = || {
            fs::create_dir_all(folder)?;
            leftovers(folder)?.iter().try_for_each(fs::remove_file)
        };
        clean().map_err(CacheError::io(folder))?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// Whether the latents of `key` are here, undamaged.
    pub fn has_example(&self, key: &Digest) -> bool {
        Sealed::read(&example_path(&self.folder, key)).is_ok()
    }

    /// Whether the context of `key` is here, undamaged.
    pub fn has_context(&self, key: &Digest) -> bool {
        Sealed::read(&context_path(&self.folder, key)).is_ok()
    }

    /// Writes the latents of `key`: normalised, `[128, F', H', W']`, with the cells that are kept and the clip's rate.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write_example(
        &self,
        key: &Digest,
        latents: &Array4<f32>,
        keep: &LatentMask,
        rate: FrameRate,
    ) -> Result<(), CacheError> {
        let kept = keep.keep().values();
        let entries = [
            entry("latents", Dtype::F32, latents.shape(), || bytes_of(latents)),
            entry("keep", Dtype::U8, kept.shape(), || kept.iter().map(|kept| u8::from(*kept)).collect()),
        ];
        let metadata = [("fps".to_owned(), rate.fps().to_string())].into();
        write_sealed(&example_path(&self.folder, key), &metadata, &entries)
    }

    /// Writes the context of `key`, `[L, D]`.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write_context(&self, key: &Digest, context: &Array2<f32>) -> Result<(), CacheError> {
        let entries = [entry("context", Dtype::F32, context.shape(), || bytes_of(context))];
        write_sealed(&context_path(&self.folder, key), &BTreeMap::new(), &entries)
    }

    /// Writes the index: these examples, in this order.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn finish(self, entries: Vec<CacheEntry>) -> Result<LatentCache, CacheError> {
        let path = self.folder.join(INDEX);
        let json = serde_json::to_vec_pretty(&entries).map_err(io::Error::from);
        json.and_then(|json| write_whole(&path, &json)).map_err(CacheError::io(&path))?;
        Ok(LatentCache { folder: self.folder, entries })
    }
}

/// A folder of latent examples.
#[derive(Debug, Clone)]
pub struct LatentCache {
    folder: PathBuf,
    entries: Vec<CacheEntry>,
}

impl LatentCache {
    /// Opens a finished cache.
    ///
    /// # Errors
    /// If the index is missing or broken.
    pub fn open(folder: &Path) -> Result<Self, CacheError> {
        let path = folder.join(INDEX);
        let bytes = fs::read(&path).map_err(CacheError::io(&path))?;
        let entries =
            serde_json::from_slice(&bytes).map_err(|e| CacheError::damaged(&path)(e.to_string()))?;
        Ok(Self { folder: folder.to_owned(), entries })
    }

    /// The examples, in order.
    pub fn entries(&self) -> &[CacheEntry] {
        &self.entries
    }

    /// What `entry` names, whether the index knows it or not: samples that are not trained on lie here too.
    ///
    /// # Errors
    /// If a file is missing or damaged.
    pub fn read(&self, entry: &CacheEntry) -> Result<LatentExample, CacheError> {
        let context = self.context(&entry.context)?;
        let file = open_sealed(&example_path(&self.folder, &entry.example))?;
        read_example(&file, &entry.stem, context).map_err(CacheError::damaged(file.path()))
    }

    /// The context of `key`, `[L, D]`.
    ///
    /// # Errors
    /// If its file is missing or damaged.
    pub fn context(&self, key: &Digest) -> Result<Array2<f32>, CacheError> {
        let file = open_sealed(&context_path(&self.folder, key))?;
        read_context(&file).map_err(CacheError::damaged(file.path()))
    }
}

/// Writes an example to a file of its own: latents, kept cells and context together, with the rate. Any reader of
/// safetensors reads it.
///
/// # Errors
/// If the file cannot be written.
pub fn write_latent_example(path: &Path, example: &LatentExample) -> Result<(), CacheError> {
    let (latents, context) = (example.latents(), example.context());
    let keep = example.keep().keep().values();
    let entries = [
        entry("latents", Dtype::F32, latents.shape(), || bytes_of(latents)),
        entry("context", Dtype::F32, context.shape(), || bytes_of(context)),
        entry("keep", Dtype::U8, keep.shape(), || keep.iter().map(|kept| u8::from(*kept)).collect()),
    ];
    let metadata = [("fps".to_owned(), example.rate().fps().to_string())].into();
    write_sealed(path, &metadata, &entries)
}

/// Reads what [`write_latent_example`] wrote; the example is called `stem`.
///
/// # Errors
/// What is wrong with the bytes.
pub fn parse_latent_example(bytes: Vec<u8>, stem: &str) -> Result<LatentExample, String> {
    let file = Sealed::parse(bytes, Path::new(stem)).map_err(|error| error.to_string())?;
    read_example(&file, stem, read_context(&file)?)
}

impl LatentSource for LatentCache {
    type Error = CacheError;

    fn len(&self) -> usize {
        self.entries.len()
    }

    fn get(&self, index: usize) -> Result<LatentExample, CacheError> {
        self.read(&self.entries[index])
    }
}

fn read_context(file: &Sealed) -> Result<Array2<f32>, String> {
    let (values, shape) = file.floats::<2>("context")?;
    Array2::from_shape_vec(shape, values).map_err(|e| e.to_string())
}

fn read_example(file: &Sealed, stem: &str, context: Array2<f32>) -> Result<LatentExample, String> {
    let (values, shape) = file.floats::<4>("latents")?;
    let latents = Array4::from_shape_vec(shape, values).map_err(|e| e.to_string())?;
    let (values, shape) = file.bytes::<3>("keep", Dtype::U8)?;
    let keep = values.iter().map(|value| *value != 0).collect();
    let keep = Array3::from_shape_vec(shape, keep).map_err(|e| e.to_string())?;
    let keep = LatentMask::new(Mask::new(keep)).ok_or("every cell is kept")?;
    let rate = FrameRate::new(file.parsed("fps")?).map_err(|e| e.to_string())?;
    LatentExample::new(Stem::new(stem), latents, keep, context, rate).map_err(|e| e.to_string())
}

fn example_path(folder: &Path, key: &Digest) -> PathBuf {
    folder.join(format!("example-{key}.safetensors"))
}

fn context_path(folder: &Path, key: &Digest) -> PathBuf {
    folder.join(format!("context-{key}.safetensors"))
}

fn entry<'a>(name: &str, dtype: Dtype, shape: &[usize], bytes: impl Fn() -> Vec<u8> + 'a) -> Entry<'a> {
    Entry { name: name.to_owned(), dtype, shape: shape.to_vec(), bytes: Box::new(bytes) }
}

fn write_sealed(
    path: &Path,
    metadata: &BTreeMap<String, String>,
    entries: &[Entry<'_>],
) -> Result<(), CacheError> {
    sealed::write(&RealDisk, path, metadata, entries).map_err(CacheError::io(path))
}

fn open_sealed(path: &Path) -> Result<Sealed, CacheError> {
    Sealed::read(path).map_err(|error| match error {
        Unreadable::Io(source) => CacheError::io(path)(source),
        Unreadable::Damaged(reason) => CacheError::damaged(path)(reason),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn latents() -> Array4<f32> {
        Array4::from_shape_fn([128, 2, 1, 2], |(c, f, _, w)| c as f32 + 0.1 * f as f32 - w as f32)
    }

    fn keep() -> LatentMask {
        let mut keep = Array3::from_elem([2, 1, 2], true);
        keep[[1, 0, 1]] = false;
        LatentMask::new(Mask::new(keep)).unwrap()
    }

    fn written(dir: &Path) -> LatentCache {
        let writer = LatentCacheWriter::open(dir).unwrap();
        let (clip, prompt) = (Digest::of(b"clip"), Digest::of(b"prompt"));
        writer.write_example(&clip, &latents(), &keep(), FrameRate::new(23.976).unwrap()).unwrap();
        writer.write_context(&prompt, &Array2::from_elem([4, 3], 0.25)).unwrap();
        // The same clip twice is encoded once.
        let entry = |stem: &str| CacheEntry { stem: stem.to_owned(), example: clip, context: prompt };
        writer.finish(vec![entry("a"), entry("b")]).unwrap()
    }

    #[test]
    fn what_is_written_reads_back() {
        let dir = tempfile::tempdir().unwrap();
        let cache = written(dir.path());
        let again = LatentCache::open(dir.path()).unwrap();
        assert_eq!(again.get(1).unwrap(), cache.get(1).unwrap());
        assert_eq!((again.len(), again.entries()), (2, cache.entries()));
        let example = again.get(0).unwrap();
        assert_eq!((example.latents(), example.keep()), (&latents(), &keep()));
        assert_eq!((example.stem().as_str(), example.rate().fps()), ("a", 23.976));
        assert_eq!(example.context(), Array2::from_elem([4, 3], 0.25));
    }

    #[test]
    fn files_are_found_again_by_what_they_were_made_from() {
        let dir = tempfile::tempdir().unwrap();
        written(dir.path());
        fs::write(dir.path().join(".example-half.safetensors.part"), b"half").unwrap();
        let writer = LatentCacheWriter::open(dir.path()).unwrap();
        assert!(writer.has_example(&Digest::of(b"clip")) && writer.has_context(&Digest::of(b"prompt")));
        assert!(!writer.has_example(&Digest::of(b"prompt")) && !writer.has_context(&Digest::of(b"clip")));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3, "what a killed write left is gone");
    }

    #[test]
    fn a_damaged_file_is_missing_to_the_writer_and_an_error_that_names_it_to_the_reader() {
        let dir = tempfile::tempdir().unwrap();
        let cache = written(dir.path());
        let key = Digest::of(b"clip");
        let path = example_path(dir.path(), &key);
        let whole = fs::read(&path).unwrap();
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 4;
        for bytes in [&whole[..whole.len() - 1], &flipped] {
            fs::write(&path, bytes).unwrap();
            let Err(CacheError::Damaged { path: named, .. }) = cache.get(0) else { panic!("not noticed") };
            assert_eq!(named, path);
            let writer = LatentCacheWriter::open(dir.path()).unwrap();
            assert!(!writer.has_example(&key));
            writer.write_example(&key, &latents(), &keep(), FrameRate::DEFAULT).unwrap();
            assert!(writer.has_example(&key) && cache.get(0).is_ok());
        }
    }

    #[test]
    fn an_example_in_a_file_of_its_own_is_the_same_example() {
        let dir = tempfile::tempdir().unwrap();
        let cache = written(dir.path());
        let (example, path) = (cache.get(0).unwrap(), dir.path().join("one.safetensors"));
        write_latent_example(&path, &example).unwrap();
        let bytes = fs::read(&path).unwrap();
        assert_eq!(parse_latent_example(bytes.clone(), "a").unwrap(), example);
        let longer = [bytes.clone(), b"x".to_vec()].concat();
        for damaged in [bytes[..bytes.len() - 1].to_vec(), bytes[..20].to_vec(), longer] {
            assert!(parse_latent_example(damaged, "a").is_err());
        }
        assert_eq!(cache.context(&cache.entries()[0].context).unwrap(), example.context());
    }

    #[test]
    fn a_folder_without_an_index_is_no_cache() {
        let dir = tempfile::tempdir().unwrap();
        LatentCacheWriter::open(dir.path()).unwrap();
        assert!(matches!(LatentCache::open(dir.path()), Err(CacheError::Io { .. })));
    }
}
