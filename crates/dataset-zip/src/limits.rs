//! How much an archive may ask for.

/// How much an archive may ask for. Bytes of members are counted as they are inflated, not as they are declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the archive itself.
    pub archive_bytes: u64,
    /// Entries, folders and ignored files included.
    pub entries: u64,
    /// Bytes of the central directory, all of which is held in memory.
    pub directory_bytes: u64,
    /// Inflated bytes of one clip or mask.
    pub entry_bytes: u64,
    /// Inflated bytes of all clips, masks and captions together.
    pub total_bytes: u64,
    /// Bytes of one caption.
    pub caption_bytes: u64,
}

impl Default for Limits {
    /// An archive of 8 GiB with 10,000 entries of at most 2 GiB, 16 GiB in all; captions of 64 KiB.
    fn default() -> Self {
        Self {
            archive_bytes: 8 << 30,
            entries: 10_000,
            directory_bytes: 8 << 20,
            entry_bytes: 2 << 30,
            total_bytes: 16 << 30,
            caption_bytes: 64 << 10,
        }
    }
}
