//! Sealed files: `.safetensors` files that know whether they are whole.
//!
//! Any reader of the format reads them. The last tensor, `seal`, u8 `[32]`, is the BLAKE3 digest of all bytes of the
//! file before it, the header with its metadata included; so a file is written in one pass, and a truncated one or a
//! flipped bit is found.

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    path::{Path, PathBuf},
};

use safetensors::{Dtype, SafeTensors, tensor::Metadata};
use serde_json::{Map, Value, json};

use crate::{
    digest::Digest,
    files::{Disk, replace},
};

const SEAL: &str = "seal";

/// A tensor to be written; its bytes are made when their turn comes, so that one tensor at a time is in memory.
pub(crate) struct Entry<'a> {
    pub(crate) name: String,
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    pub(crate) bytes: Box<dyn Fn() -> Vec<u8> + 'a>,
}

impl Entry<'_> {
    fn len(&self) -> usize {
        self.shape.iter().product::<usize>() * self.dtype.bitsize() / 8
    }
}

/// Writes a sealed file, whole or not at all.
///
/// Widely aligned types come first in `entries`, so that all are aligned.
pub(crate) fn write(
    disk: &dyn Disk,
    path: &Path,
    metadata: &BTreeMap<String, String>,
    entries: &[Entry<'_>],
) -> io::Result<()> {
    replace(disk, path, |file| {
        let mut hasher = blake3::Hasher::new();
        let mut put = |bytes: &[u8]| {
            hasher.update(bytes);
            disk.write(file, bytes)
        };
        put(&header(metadata, entries))?;
        for entry in entries {
            let bytes = (entry.bytes)();
            if bytes.len() != entry.len() {
                let message =
                    format!("`{}` has {} bytes, its shape {}", entry.name, bytes.len(), entry.len());
                return Err(io::Error::new(io::ErrorKind::InvalidData, message));
            }
            put(&bytes)?;
        }
        disk.write(file, hasher.finalize().as_bytes())
    })
}

/// The header with its length, padded to 8 bytes.
fn header(metadata: &BTreeMap<String, String>, entries: &[Entry<'_>]) -> Vec<u8> {
    let mut tensors = Map::new();
    tensors.insert("__metadata__".to_owned(), json!(metadata));
    let mut start = 0;
    let mut describe = |name: &str, dtype: Dtype, shape: &[usize], length: usize| {
        let offsets = [start, start + length];
        start += length;
        let tensor = json!({ "dtype": dtype, "shape": shape, "data_offsets": offsets });
        tensors.insert(name.to_owned(), tensor);
    };
    for entry in entries {
        describe(&entry.name, entry.dtype, &entry.shape, entry.len());
    }
    describe(SEAL, Dtype::U8, &[Digest::BYTES], Digest::BYTES);
    let mut text = Value::Object(tensors).to_string().into_bytes();
    text.resize(text.len().next_multiple_of(8), b' ');
    [&(text.len() as u64).to_le_bytes(), text.as_slice()].concat()
}

/// A file whose seal was found to be right.
pub(crate) struct Sealed {
    path: PathBuf,
    data: Vec<u8>,
    header: Metadata,
    /// Where the tensors begin.
    start: usize,
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealed").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Why a sealed file cannot be read.
#[derive(Debug)]
pub(crate) enum Unreadable {
    Io(io::Error),
    Damaged(String),
}

impl Unreadable {
    fn damage(reason: impl fmt::Display) -> Self {
        Self::Damaged(reason.to_string())
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Damaged(reason) => reason.fmt(f),
        }
    }
}

impl Sealed {
    /// Reads a file and checks its seal.
    pub(crate) fn read(path: &Path) -> Result<Self, Unreadable> {
        Self::parse(fs::read(path).map_err(Unreadable::Io)?, path)
    }

    /// Checks the seal of a file's content; `path` is what it is called.
    pub(crate) fn parse(data: Vec<u8>, path: &Path) -> Result<Self, Unreadable> {
        let (content, seal) = data
            .split_last_chunk::<{ Digest::BYTES }>()
            .ok_or_else(|| Unreadable::damage("it is too short"))?;
        if Digest::of(content).as_bytes() != seal {
            return Err(Unreadable::damage("its content does not agree with its digest"));
        }
        let (length, header) = SafeTensors::read_metadata(&data).map_err(Unreadable::damage)?;
        Ok(Self { path: path.to_owned(), data, header, start: size_of::<u64>() + length })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A value of the metadata.
    pub(crate) fn metadata(&self, key: &str) -> Result<&str, String> {
        let value = self.header.metadata().as_ref().and_then(|metadata| metadata.get(key));
        value.map(String::as_str).ok_or_else(|| format!("`{key}` is missing"))
    }

    /// A parsed value of the metadata.
    pub(crate) fn parsed<T: std::str::FromStr>(&self, key: &str) -> Result<T, String> {
        let text = self.metadata(key)?;
        text.parse().map_err(|_| format!("`{key}` is `{text}`"))
    }

    /// A tensor's bytes, and its shape of `D` dimensions.
    pub(crate) fn bytes<const D: usize>(
        &self,
        name: &str,
        dtype: Dtype,
    ) -> Result<(&[u8], [usize; D]), String> {
        let info = self.header.info(name).ok_or_else(|| format!("`{name}` is missing"))?;
        let (from, to) = info.data_offsets;
        let bytes = self.data.get(self.start + from..self.start + to);
        match (bytes, info.shape.as_slice().try_into()) {
            (Some(bytes), Ok(shape)) if info.dtype == dtype => Ok((bytes, shape)),
            _ => Err(format!("`{name}` is {:?} {:?}, not {dtype:?} of {D} axes", info.dtype, info.shape)),
        }
    }

    /// A float32 tensor's values and shape.
    pub(crate) fn floats<const D: usize>(&self, name: &str) -> Result<(Vec<f32>, [usize; D]), String> {
        let (bytes, shape) = self.bytes(name, Dtype::F32)?;
        let (chunks, _) = bytes.as_chunks();
        Ok((chunks.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(), shape))
    }
}

/// Floats as a file holds them.
pub(crate) fn bytes_of<'a>(values: impl IntoIterator<Item = &'a f32>) -> Vec<u8> {
    values.into_iter().flat_map(|value| value.to_le_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::RealDisk;

    fn written(path: &Path) {
        let metadata = [("a \"key\"", "a {value}")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        let entry = |name: &str, dtype, shape: &[usize], bytes: Vec<u8>| Entry {
            name: name.to_owned(),
            dtype,
            shape: shape.to_vec(),
            bytes: Box::new(move || bytes.clone()),
        };
        let floats = entry("z", Dtype::F32, &[2, 1], bytes_of(&[1.5, -2.0]));
        let flags = entry("a", Dtype::U8, &[3], vec![1, 0, 1]);
        write(&RealDisk, path, &metadata, &[floats, flags]).unwrap();
    }

    #[test]
    fn what_is_written_reads_back_here_and_with_any_reader() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        written(&path);
        let file = Sealed::read(&path).unwrap();
        assert_eq!(file.metadata("a \"key\""), Ok("a {value}"));
        assert_eq!(file.floats::<2>("z"), Ok((vec![1.5, -2.0], [2, 1])));
        assert_eq!(file.bytes::<1>("a", Dtype::U8), Ok((&[1, 0, 1][..], [3])));
        assert!(file.floats::<1>("z").unwrap_err().contains("axes"));
        assert!(file.floats::<2>("b").is_err());

        let bytes = fs::read(&path).unwrap();
        let any = SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(any.tensor("z").unwrap().shape(), [2, 1]);
        assert_eq!(any.len(), 3);
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        written(&path);
        let whole = fs::read(&path).unwrap();
        let damaged = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            matches!(Sealed::read(&path), Err(Unreadable::Damaged(_)))
        };
        for at in 0..whole.len() {
            assert!(damaged(&whole[..at]), "cut at {at}");
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << (at % 8);
            assert!(damaged(&flipped), "flipped at {at}");
        }
        assert!(damaged(&[whole.as_slice(), b"more"].concat()));
        assert!(!damaged(&whole));
    }

    #[test]
    fn a_tensor_that_is_not_as_long_as_its_shape_is_not_written() {
        let dir = tempfile::tempdir().unwrap();
        let entry =
            Entry { name: "a".to_owned(), dtype: Dtype::F32, shape: vec![2], bytes: Box::new(|| vec![0; 4]) };
        let path = dir.path().join("file");
        assert!(write(&RealDisk, &path, &BTreeMap::new(), &[entry]).is_err());
        assert!(!path.exists());
    }
}
