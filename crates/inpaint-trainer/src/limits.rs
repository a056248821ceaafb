//! What a run may take, as arguments.

use std::time::Duration;

/// What a run may take of the network, the disk and the machine's time.
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
    /// For each download, from the first byte asked for to the last one read.
    pub download_time: Duration,
    /// Redirects that a download may follow.
    pub redirects: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            archive: dataset_zip::Limits::default(),
            video: video_fit::Limits::default(),
            image: mask_norm::ImageLimits::default(),
            sample_bytes: 1 << 30,
            download_time: Duration::from_secs(3600),
            redirects: 5,
        }
    }
}
