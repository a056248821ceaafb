//! The containers that are read, told by their first bytes.

use std::{
    ffi::CStr,
    fs::File,
    io::{self, Read},
    path::Path,
};

use crate::VideoError;

/// A container, and with it the only demuxer that may read the file. Left to itself FFmpeg would also try text
/// playlists, which name other files and hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Container {
    Mov,
    Matroska,
    Avi,
}

impl Container {
    /// Tells the container of the file at `path`.
    pub(crate) fn of(path: &Path) -> Result<Self, VideoError> {
        let mut head = Vec::with_capacity(12);
        let read = File::open(path).and_then(|file| file.take(12).read_to_end(&mut head));
        read.map_err(|source| VideoError::Io { what: "read", source })?;
        Self::sniff(&head)
            .ok_or_else(|| VideoError::UnknownContainer { found: head.escape_ascii().to_string() })
    }

    fn sniff(head: &[u8]) -> Option<Self> {
        match head {
            [0x1a, 0x45, 0xdf, 0xa3, ..] => Some(Self::Matroska),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'A', b'V', b'I', b' ', ..] => Some(Self::Avi),
            [_, _, _, _, atom @ ..] => match atom.get(..4)? {
                b"ftyp" | b"moov" | b"mdat" | b"wide" | b"free" | b"skip" => Some(Self::Mov),
                _ => None,
            },
            _ => None,
        }
    }

    /// FFmpeg's name of the demuxer.
    pub(crate) fn demuxer(self) -> &'static CStr {
        match self {
            Self::Mov => c"mov",
            Self::Matroska => c"matroska",
            Self::Avi => c"avi",
        }
    }

    /// The name for people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Mov => "mp4 or mov",
            Self::Matroska => "mkv or webm",
            Self::Avi => "avi",
        }
    }

    /// What FFmpeg found wrong with the content.
    pub(crate) fn unreadable(self, source: impl Into<io::Error>) -> VideoError {
        VideoError::Unreadable { container: self.name(), source: source.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_are_told_by_their_first_bytes() {
        for (head, container) in [
            (&b"\0\0\0\x20ftypisom"[..], Some(Container::Mov)),
            (b"\0\0\0\x08wide", Some(Container::Mov)),
            (b"\x1a\x45\xdf\xa3\x01", Some(Container::Matroska)),
            (b"RIFF\0\0\0\0AVI ", Some(Container::Avi)),
            (b"RIFF\0\0\0\0WEBP", None),
            (b"#EXTM3U\nhttp", None),
            (b"ffconcat ver", None),
            (b"ftyp", None),
            (b"", None),
        ] {
            assert_eq!(Container::sniff(head), container, "{head:?}");
        }
    }
}
