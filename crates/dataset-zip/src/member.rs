//! One entry of the archive: what it is for, and what is wrong with it.

use unicode_normalization::UnicodeNormalization;
use zip::{CompressionMethod, read::ZipFileEntry};

use crate::{ArchiveError, EntryName, Limits};

const VIDEO: [&str; 5] = ["mp4", "mov", "webm", "mkv", "avi"];
const IMAGE: [&str; 5] = ["png", "jpg", "jpeg", "bmp", "webp"];

/// What a file is by its extension, which is given in lower case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Medium {
    Video(&'static str),
    Image(&'static str),
    Text,
    Unknown,
}

impl Medium {
    /// The extension for a file on disk, which is never the user's spelling.
    pub(crate) fn extension(self) -> &'static str {
        match self {
            Self::Video(extension) | Self::Image(extension) => extension,
            Self::Text => "txt",
            Self::Unknown => "",
        }
    }
}

/// A file of the archive that is neither folder nor ignored.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    /// Its place in the directory.
    pub(crate) index: usize,
    pub(crate) name: EntryName,
    /// The file name without folder and extension, in Unicode NFC; a mask's still ends in `_mask`.
    pub(crate) stem: String,
    pub(crate) medium: Medium,
    /// Inflated bytes, as declared.
    pub(crate) bytes: u64,
}

impl Member {
    pub(crate) fn new(index: usize, name: EntryName, bytes: u64) -> Self {
        let (stem, extension) = name.file_name().rsplit_once('.').unwrap_or((name.file_name(), ""));
        let stem = stem.nfc().collect();
        Self { index, stem, medium: medium(extension), bytes, name }
    }
}

fn medium(extension: &str) -> Medium {
    let known =
        |list: [&'static str; 5]| list.into_iter().find(|known| known.eq_ignore_ascii_case(extension));
    if let Some(extension) = known(VIDEO) {
        Medium::Video(extension)
    } else if let Some(extension) = known(IMAGE) {
        Medium::Image(extension)
    } else if extension.eq_ignore_ascii_case("txt") {
        Medium::Text
    } else {
        Medium::Unknown
    }
}

/// The name of an entry: UTF-8 where its bytes are, else the code page of old.
pub(crate) fn name_of(entry: &ZipFileEntry<'_>) -> EntryName {
    let name = entry.name().map_or_else(|_| String::from_utf8_lossy(entry.name_raw()).into(), String::from);
    EntryName::new(name)
}

/// What is wrong with a member, apart from its name.
pub(crate) fn fault(entry: &ZipFileEntry<'_>, member: &Member, limits: &Limits) -> Option<ArchiveError> {
    let name = || member.name.clone();
    let unsupported = |found| Some(ArchiveError::UnsupportedEntry { entry: name(), found });
    match entry.external_attributes() >> 16 & 0o170_000 {
        0 | 0o100_000 | 0o040_000 => {}
        0o120_000 => return Some(ArchiveError::SymlinkEntry { entry: name() }),
        _ => return unsupported("a device or a pipe".into()),
    }
    if entry.encrypted() {
        return Some(ArchiveError::EncryptedEntry { entry: name() });
    }
    match entry.compression() {
        CompressionMethod::Stored | CompressionMethod::Deflated | CompressionMethod::Deflate64 => {}
        method => return unsupported(format!("compressed with method {method:?}")),
    }
    too_large(member, limits)
}

fn too_large(member: &Member, limits: &Limits) -> Option<ArchiveError> {
    let (entry, bytes) = (member.name.clone(), member.bytes);
    match member.medium {
        Medium::Video(_) | Medium::Image(_) if bytes > limits.entry_bytes => {
            Some(ArchiveError::EntryTooLarge { entry, bytes, limit: limits.entry_bytes })
        }
        Medium::Text if bytes > limits.caption_bytes => {
            let limit = limits.caption_bytes;
            let reason = format!("it has {bytes} bytes, at most {limit} are accepted");
            Some(ArchiveError::BadCaption { entry, reason })
        }
        _ => None,
    }
}
