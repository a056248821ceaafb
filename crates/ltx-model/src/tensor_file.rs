//! A `.safetensors` file: its header in memory, its tensors on disk until they are read one by one.
//!
//! Tensors are read into buffers of their own and not mapped, so that what was read and handed on does not count as
//! memory of the process, and a file that shrinks is an error and no signal.

use std::{
    collections::{BTreeSet, HashMap},
    fs::File,
    io,
    path::{Path, PathBuf},
};

use burn::tensor::Bytes;
use memmap2::Mmap;
use rayon::prelude::*;
use safetensors::{
    SafeTensors,
    tensor::{Metadata, TensorInfo},
};

use crate::{ModelError, host_buffer::zeros};

/// Bytes of one read: large enough for the disk, and small enough that all threads take part in one tensor.
const PART: usize = 4 << 20;

/// Bytes of one read of what is converted at once: small enough to be still near the processor then.
const NEAR: usize = 512 << 10;

/// Bytes of a header's length, which is what a file begins with.
const LENGTH: u64 = 8;

#[derive(Debug)]
pub(crate) struct TensorFile {
    path: PathBuf,
    file: File,
    header: Metadata,
    /// Where the tensors begin, bytes.
    start: u64,
}

impl TensorFile {
    /// Reads the header of `path` and checks that the file is as long as it says.
    pub(crate) fn open(path: &Path) -> Result<Self, ModelError> {
        let io = |source| ModelError::Io { path: path.to_owned(), source };
        let file = File::open(path).map_err(io)?;
        // SAFETY: the map is read-only and gone at the end of this function. Another process that truncates the file
        // within it ends this one.
        let map = unsafe { Mmap::map(&file) }.map_err(io)?;
        let (length, header) = SafeTensors::read_metadata(&map)
            .map_err(|e| ModelError::Malformed { path: path.to_owned(), reason: e.to_string() })?;
        Ok(Self { path: path.to_owned(), file, header, start: LENGTH + length as u64 })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The free text of the header.
    pub(crate) fn strings(&self) -> HashMap<String, String> {
        self.header.metadata().clone().unwrap_or_default()
    }

    pub(crate) fn keys(&self) -> BTreeSet<String> {
        self.header.tensors().into_keys().collect()
    }

    pub(crate) fn info(&self, key: &str) -> Option<&TensorInfo> {
        self.header.info(key)
    }

    /// A tensor, whole, in memory that a tensor of its number type can be made of without copying it once more.
    pub(crate) fn read(&self, info: &TensorInfo) -> Result<Bytes, ModelError> {
        let (begin, end) = info.data_offsets;
        let mut bytes = match info.dtype.bitsize() / 8 {
            2 => Bytes::from_elems(zeros::<u16>((end - begin) / 2)),
            4 => Bytes::from_elems(zeros::<u32>((end - begin) / 4)),
            _ => Bytes::from_elems(zeros::<u8>(end - begin)),
        };
        let parts = bytes.par_chunks_mut(PART).enumerate();
        let read = parts.map(|(i, part)| self.fill(part, begin + i * PART)).collect::<io::Result<()>>();
        read.map_err(|source| self.io(source)).map(|()| bytes)
    }

    /// A tensor some rows at a time, of `width` bytes each: every thread reads into a small buffer of its own, and
    /// `convert` makes of it what belongs there in the result. `split` cuts the result into parts of that many rows.
    pub(crate) fn convert<P: Send, S: IndexedParallelIterator<Item = P>>(
        &self,
        info: &TensorInfo,
        width: usize,
        split: impl FnOnce(usize) -> S,
        convert: impl Fn(&[u8], P) + Sync,
    ) -> Result<(), ModelError> {
        let (begin, end) = info.data_offsets;
        let rows = (NEAR / width.max(1)).max(1);
        let part_of = |buffer: &mut Vec<u8>, (i, part): (usize, P)| {
            let from = begin + i * rows * width;
            buffer.resize((rows * width).min(end - from), 0);
            self.fill(buffer, from)?;
            convert(buffer, part);
            Ok(())
        };
        let parts = split(rows).enumerate();
        parts.map_init(Vec::new, part_of).collect::<io::Result<()>>().map_err(|source| self.io(source))
    }

    /// Some rows of a tensor, `width` bytes each, in the order given. Each must lie within the tensor.
    pub(crate) fn read_rows(
        &self,
        info: &TensorInfo,
        width: usize,
        rows: &[u32],
    ) -> Result<Bytes, ModelError> {
        let mut bytes = vec![0; rows.len() * width];
        for (out, row) in bytes.chunks_exact_mut(width.max(1)).zip(rows) {
            self.fill(out, info.data_offsets.0 + *row as usize * width).map_err(|source| self.io(source))?;
        }
        Ok(Bytes::from_bytes_vec(bytes))
    }

    fn fill(&self, out: &mut [u8], offset: usize) -> io::Result<()> {
        read_exact_at(&self.file, out, self.start + offset as u64)
    }

    fn io(&self, source: io::Error) -> ModelError {
        ModelError::Io { path: self.path.clone(), source }
    }
}

#[cfg(unix)]
fn read_exact_at(file: &File, out: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, out, offset)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut out: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !out.is_empty() {
        let count = std::os::windows::fs::FileExt::seek_read(file, out, offset)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        (out, offset) = (&mut out[count..], offset + count as u64);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use safetensors::{Dtype, tensor::TensorView};

    use super::*;

    #[test]
    fn a_tensor_is_the_same_whole_and_in_parts() -> Result<(), Box<dyn Error>> {
        // More than one part of each kind of reading, and no whole number of them.
        let shape = [2_500, 1_001];
        let bytes: Vec<u8> =
            (0..2 * shape[0] * shape[1]).map(|i| (i as u32).wrapping_mul(2_654_435_761) as u8).collect();
        let file = tempfile::NamedTempFile::new()?;
        let (before, wanted) = (
            TensorView::new(Dtype::U8, vec![3], &[1, 2, 3])?,
            TensorView::new(Dtype::BF16, shape.to_vec(), &bytes)?,
        );
        safetensors::serialize_to_file([("a", before), ("b", wanted)], None, file.path())?;
        let opened = TensorFile::open(file.path())?;
        let info = opened.info("b").ok_or("no such tensor")?;
        assert!(opened.read(info)?[..] == bytes[..]);
        let (width, mut parts) = (2 * shape[1], vec![0; bytes.len()]);
        let copy = |read: &[u8], part: &mut [u8]| part.copy_from_slice(read);
        opened.convert(info, width, |rows| parts.par_chunks_mut(rows * width), copy)?;
        assert!(parts == bytes);
        assert!(opened.read_rows(info, width, &[7, 2_499])?[width..] == bytes[2_499 * width..]);
        Ok(())
    }

    #[test]
    fn a_file_that_shrank_is_an_error() -> Result<(), Box<dyn Error>> {
        let file = tempfile::NamedTempFile::new()?;
        let bytes = [0; 4_000];
        let view = TensorView::new(Dtype::F32, vec![1_000], &bytes)?;
        safetensors::serialize_to_file([("a", view)], None, file.path())?;
        let opened = TensorFile::open(file.path())?;
        File::options().write(true).open(file.path())?.set_len(2_000)?;
        let info = opened.info("a").ok_or("no such tensor")?;
        assert!(matches!(opened.read(info), Err(ModelError::Io { .. })));
        let mut parts = vec![0u8; 4_000];
        let copy = |read: &[u8], part: &mut [u8]| part.copy_from_slice(read);
        let converted = opened.convert(info, 1, |count| parts.par_chunks_mut(count), copy);
        assert!(matches!(converted, Err(ModelError::Io { .. })));
        Ok(())
    }
}
