//! Reading a `.safetensors` file piece by piece.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use safetensors::{
    Dtype,
    tensor::{Metadata, TensorInfo},
};

use super::InspectError;

/// Bytes of a header. The largest real ones, of a LoRA with thousands of modules, have about one million.
const LARGEST_HEADER: u64 = 16 << 20;

/// An open LoRA file.
pub(super) struct LoraReader {
    path: PathBuf,
    file: File,
    bytes: u64,
    header: Metadata,
    /// Where the tensors begin.
    start: u64,
}

impl LoraReader {
    pub(super) fn open(path: &Path) -> Result<Self, InspectError> {
        let failed = InspectError::io;
        let mut file = File::open(path).map_err(failed(path))?;
        let about = file.metadata().map_err(failed(path))?;
        if !about.is_file() {
            return Err(InspectError::damaged(path, "it is no file"));
        }
        let (bytes, mut length) = (about.len(), [0; 8]);
        if bytes < 8 {
            return Err(InspectError::damaged(
                path,
                format!("it has {bytes} bytes, and a header takes more"),
            ));
        }
        file.read_exact(&mut length).map_err(failed(path))?;
        let length = u64::from_le_bytes(length);
        if length > bytes - 8 || length > LARGEST_HEADER {
            let reason =
                format!("its header claims {length} bytes of {bytes}; at most {LARGEST_HEADER} are read");
            return Err(InspectError::damaged(path, reason));
        }
        let mut header = vec![0; length as usize];
        file.read_exact(&mut header).map_err(failed(path))?;
        let header: Metadata = serde_json::from_slice(&header)
            .map_err(|e| InspectError::damaged(path, format!("its header: {e}")))?;
        let (told, there) = (header.data_len() as u64, bytes - 8 - length);
        if told != there {
            let reason = format!("its header tells of {told} bytes of tensors, and there are {there}");
            return Err(InspectError::damaged(path, reason));
        }
        Ok(Self { path: path.to_owned(), file, bytes, header, start: 8 + length })
    }

    /// Of the whole file.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn metadata(&self) -> BTreeMap<String, String> {
        self.header.metadata().clone().unwrap_or_default().into_iter().collect()
    }

    pub(super) fn keys(&self) -> Vec<String> {
        self.header.offset_keys()
    }

    pub(super) fn info(&self, key: &str) -> Option<&TensorInfo> {
        self.header.info(key)
    }

    /// A tensor's type and bytes; none if there is no such tensor.
    pub(super) fn read(&mut self, key: &str) -> Result<Option<(Dtype, Vec<u8>)>, InspectError> {
        let Some(info) = self.header.info(key) else { return Ok(None) };
        let (dtype, (from, to)) = (info.dtype, info.data_offsets);
        let mut bytes = vec![0; to - from];
        let read = self.file.seek(SeekFrom::Start(self.start + from as u64));
        let read = read.and_then(|_| self.file.read_exact(&mut bytes));
        read.map_err(InspectError::io(&self.path))?;
        Ok(Some((dtype, bytes)))
    }
}
