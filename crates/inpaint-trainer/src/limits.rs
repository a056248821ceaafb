//! What a run may take, as arguments.

use crate::{Disk, Fetcher, Memory};

/// What a run may take of the network, the disk and the machine's time. As it comes, it is safe in a service.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Of the archive.
    pub archive: dataset_zip::Limits,
    /// Of each clip and video mask.
    pub video: video_fit::Limits,
    /// Of each image mask.
    pub image: mask_norm::ImageLimits,
    /// Bytes of a download that is no archive: a validation clip or mask.
    pub sample_bytes: u64,
    /// Where data may come from, and how long that may take.
    pub fetcher: Fetcher,
    /// Asked before the archive is unpacked and before clips are encoded.
    pub disk: Disk,
    /// Asked before a model is loaded.
    pub memory: Memory,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            archive: dataset_zip::Limits::default(),
            video: video_fit::Limits::default(),
            image: mask_norm::ImageLimits::default(),
            sample_bytes: 1 << 30,
            fetcher: Fetcher::default(),
            disk: Disk::default(),
            memory: Memory::default(),
        }
    }
}
