//! Whether the disk has room for what is about to be written.

use std::{
    io,
    path::{Path, PathBuf},
};

use ltx_model::CONTEXT_TOKENS;
use tensor_batch::{Blame, Bucket, Fault};

/// Bytes left free beside what is asked for: for what is small, and for others.
const RESERVE: u64 = 64 << 20;

/// Bytes of a file beyond its tensors, at most: a header and the rest of the last block.
const FILE_OVERHEAD: u64 = 64 << 10;

/// Channels of a latent cell.
const CHANNELS: u64 = 128;

/// How much may still be written.
#[derive(Debug, Clone, Copy)]
pub struct Disk {
    free: fn(&Path) -> io::Result<u64>,
}

impl Disk {
    /// `free` gives the bytes that may still be written in a folder, such as what is left of a quota.
    pub fn new(free: fn(&Path) -> io::Result<u64>) -> Self {
        Self { free }
    }

    /// Fails if `bytes` and a reserve are not free in `folder`, which exists.
    pub(crate) fn need(&self, folder: &Path, bytes: u64) -> Result<(), DiskError> {
        let free =
            (self.free)(folder).map_err(|source| DiskError::Unknown { folder: folder.into(), source })?;
        let needed = bytes.saturating_add(RESERVE);
        if needed > free { Err(DiskError::Full { folder: folder.into(), needed, free }) } else { Ok(()) }
    }
}

impl Default for Disk {
    /// What the file system gives to whoever runs this.
    fn default() -> Self {
        Self { free: |folder| fs4::available_space(folder) }
    }
}

/// Why the disk cannot be written to. Never the fault of a request.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiskError {
    /// There is no room.
    #[error("the disk is too full: {needed} bytes are needed in {}, {free} are free", folder.display())]
    Full {
        /// Where to write.
        folder: PathBuf,
        /// Bytes needed, a reserve included.
        needed: u64,
        /// Bytes free.
        free: u64,
    },
    /// What is free cannot be told.
    #[error("cannot tell how much is free in {}", folder.display())]
    Unknown {
        /// Where to write.
        folder: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Blame for DiskError {
    fn fault(&self) -> Fault {
        Fault::Service
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Full { .. } => "disk-full",
            Self::Unknown { .. } => "io",
        }
    }
}

/// Bytes of the latent cache of so many clips, at most: latents as f32 and a byte a cell for each clip, and a context
/// `[1024, D]` as f32 for each prompt, of which there are no more than clips.
pub(crate) fn latent_cache_bytes(clips: usize, bucket: Bucket, context_width: usize) -> u64 {
    let grid = bucket.latent_grid();
    let cells = (grid.frames * grid.height * grid.width) as u64;
    let latents = cells * (4 * CHANNELS + 1);
    let context = (4 * CONTEXT_TOKENS as u64).saturating_mul(context_width as u64);
    let clip = context.saturating_add(latents + 2 * FILE_OVERHEAD);
    clip.saturating_mul(clips as u64)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use lora_train::{CacheEntry, Digest, LatentCacheWriter};
    use ndarray::{Array2, Array3, Array4};
    use tensor_batch::{FrameRate, LatentMask, Mask};

    use super::*;
    use crate::{RunError, Stage};

    /// A disk with 100 MiB free.
    fn disk() -> Disk {
        Disk::new(|_| Ok(100 << 20))
    }

    #[test]
    fn what_fits_beside_the_reserve_is_granted() {
        for bytes in [0, 1, 36 << 20] {
            assert!(disk().need(Path::new("here"), bytes).is_ok(), "{bytes}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_with_what_is_needed_free_and_where() {
        for (bytes, needed) in [((36 << 20) + 1, 104_857_601), (1 << 30, 1_140_850_688), (u64::MAX, u64::MAX)]
        {
            let error = disk().need(Path::new("here"), bytes).unwrap_err();
            let wanted =
                format!("the disk is too full: {needed} bytes are needed in here, 104857600 are free");
            assert_eq!(error.to_string(), wanted);
            assert_eq!((error.fault(), error.kind()), (Fault::Service, "disk-full"));
        }
    }

    #[test]
    fn a_full_disk_ends_a_run_without_blaming_the_request() {
        let error = disk().need(Path::new("here"), 1 << 30).unwrap_err();
        assert!(matches!(RunError::of(Stage::Unpack, error), RunError::Failed { stage: Stage::Unpack, .. }));
    }

    #[test]
    fn a_disk_that_does_not_answer_is_no_room() {
        let error = Disk::new(|_| Err(io::Error::other("gone"))).need(Path::new("here"), 0).unwrap_err();
        assert!(matches!(&error, DiskError::Unknown { folder, .. } if folder == Path::new("here")));
        assert_eq!((error.fault(), error.kind()), (Fault::Service, "io"));
    }

    #[test]
    fn the_real_disk_holds_a_file_and_not_everything() {
        let dir = tempfile::tempdir().unwrap();
        let free = (Disk::default().free)(dir.path()).unwrap();
        assert!(free > 0 && free < u64::MAX / 2, "{free}");
        assert!(matches!(Disk::default().need(dir.path(), u64::MAX / 2), Err(DiskError::Full { .. })));
        assert!(matches!(
            Disk::default().need(&dir.path().join("nowhere"), 0),
            Err(DiskError::Unknown { .. })
        ));
    }

    /// By hand: 768x768x89 is 12 x 24 x 24 cells; a cell is 128 floats and a byte, a context 1024 x 4096 floats.
    #[test]
    fn a_cache_is_counted_in_cells_and_contexts() {
        let (latents, context) = (6912 * 513, 16_777_216);
        let bytes = latent_cache_bytes(10, "768x768x89".parse().unwrap(), 4096);
        assert!((10 * (latents + context)..10 * (latents + context) + (2 << 20)).contains(&bytes), "{bytes}");
    }

    #[test]
    fn a_real_cache_is_no_larger_than_counted() {
        let dir = tempfile::tempdir().unwrap();
        let bucket: Bucket = "96x64x17".parse().unwrap();
        let writer = LatentCacheWriter::open(dir.path()).unwrap();
        let mut entries = Vec::new();
        for name in ["a".to_owned(), "b".repeat(255)] {
            let keep = LatentMask::new(Mask::new(Array3::from_elem([3, 2, 3], false))).unwrap();
            let latents = Array4::zeros([128, 3, 2, 3]);
            let key = Digest::of(name.as_bytes());
            writer.write_example(&key, &latents, &keep, FrameRate::new(24.0).unwrap()).unwrap();
            writer.write_context(&key, &Array2::zeros([1024, 32])).unwrap();
            entries.push(CacheEntry { stem: name, example: key, context: key });
        }
        writer.finish(entries).unwrap();
        let sizes = fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap().metadata().unwrap().len());
        let (written, counted) = (sizes.sum::<u64>(), latent_cache_bytes(2, bucket, 32));
        assert!(written <= counted && counted - written <= 4 * FILE_OVERHEAD, "{written} of {counted}");
    }
}
