//! What can be wrong with an archive.

use std::{fmt, io};

use tensor_batch::{Blame, Fault, Stem};

use crate::EntryName;

/// One thing that is wrong with an archive.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// A clip without a mask.
    #[error(
        "clip `{entry}` has no mask: expected a file named `{}_mask` with an image's or a video's extension",
        shown(clip)
    )]
    MissingMask {
        /// The clip's name.
        clip: Stem,
        /// The clip's entry.
        entry: EntryName,
    },
    /// Two clips, two masks or two captions of one name.
    #[error(
        "`{first}` and `{second}` share the name `{}`: names must be unique across the archive",
        shown(stem)
    )]
    DuplicateName {
        /// The name of the clip that both belong to.
        stem: Stem,
        /// The first in the directory.
        first: EntryName,
        /// The other one.
        second: EntryName,
    },
    /// Two entries with the very same name, folder included.
    #[error("the archive has more than one entry named `{entry}`")]
    DuplicateEntry {
        /// The name.
        entry: EntryName,
    },
    /// A name that tools would read differently.
    #[error("the name of entry `{entry}` cannot be used: {reason}")]
    BadEntryName {
        /// The name.
        entry: EntryName,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A name that leads out of the archive.
    #[error("entry `{entry}` has an unsafe path: {reason}")]
    UnsafePath {
        /// The name.
        entry: EntryName,
        /// What is unsafe about it.
        reason: &'static str,
    },
    /// A symbolic link.
    #[error("entry `{entry}` is a symbolic link: put the file itself into the archive")]
    SymlinkEntry {
        /// The link.
        entry: EntryName,
    },
    /// An encrypted entry.
    #[error("entry `{entry}` is encrypted: make the archive without a password")]
    EncryptedEntry {
        /// The entry.
        entry: EntryName,
    },
    /// An entry whose data is not what the directory says.
    #[error("entry `{entry}` is damaged: {reason}")]
    CorruptEntry {
        /// The entry.
        entry: EntryName,
        /// What disagrees.
        reason: String,
    },
    /// An entry that is neither stored, deflate nor deflate64, or no plain file.
    #[error("entry `{entry}` is {found}, expected a file that is stored or compressed with deflate")]
    UnsupportedEntry {
        /// The entry.
        entry: EntryName,
        /// What it is.
        found: String,
    },
    /// Two entries that use the same bytes, as in archives that inflate without end.
    #[error("entries `{first}` and `{second}` overlap")]
    OverlappingEntries {
        /// The entry that begins first.
        first: EntryName,
        /// The entry that begins inside it.
        second: EntryName,
    },
    /// An entry that is larger than one may be.
    #[error("entry `{entry}` has {bytes} bytes, at most {limit} are accepted")]
    EntryTooLarge {
        /// The entry.
        entry: EntryName,
        /// Its declared size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// An archive that is larger than it may be.
    #[error("{what} has {bytes} bytes, at most {limit} are accepted")]
    ArchiveTooLarge {
        /// What is too large: the file, its directory, or all that it unpacks to.
        what: &'static str,
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// More entries than there may be.
    #[error("the archive has {found} entries, at most {limit} are accepted")]
    TooManyEntries {
        /// Entries, as the end record counts them.
        found: u64,
        /// The limit.
        limit: u64,
    },
    /// No zip archive, or one whose directory cannot be read.
    #[error("this is not a usable zip archive: {reason}")]
    NotAZip {
        /// What is wrong with it.
        reason: String,
    },
    /// No clip at all.
    #[error("the archive holds no clip: expected files named <name>.<mp4, mov, webm, mkv or avi>")]
    NoClips,
    /// A caption that cannot be read.
    #[error("caption `{entry}` cannot be used: {reason}")]
    BadCaption {
        /// The caption's entry.
        entry: EntryName,
        /// What is wrong with it.
        reason: String,
    },
    /// The machine failed, not the archive.
    #[error("cannot {doing}")]
    Io {
        /// What failed.
        doing: &'static str,
        /// Why.
        source: io::Error,
    },
}

/// A name that is cut like those of entries: the archive may give one of any length.
fn shown(stem: &Stem) -> EntryName {
    EntryName::new(stem.as_str())
}

impl Blame for ArchiveError {
    fn fault(&self) -> Fault {
        match self {
            Self::Io { .. } => Fault::Service,
            _ => Fault::Request,
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::MissingMask { .. } => "missing-mask",
            Self::DuplicateName { .. } | Self::DuplicateEntry { .. } => "duplicate-name",
            Self::BadEntryName { .. } => "bad-entry-name",
            Self::UnsafePath { .. } => "unsafe-path",
            Self::SymlinkEntry { .. } => "symlink-entry",
            Self::EncryptedEntry { .. } => "encrypted-entry",
            Self::CorruptEntry { .. } => "corrupt-entry",
            Self::UnsupportedEntry { .. } => "unsupported-entry",
            Self::OverlappingEntries { .. } => "overlapping-entries",
            Self::EntryTooLarge { .. } | Self::ArchiveTooLarge { .. } => "too-large",
            Self::TooManyEntries { .. } => "too-many-entries",
            Self::NotAZip { .. } => "not-a-zip",
            Self::NoClips => "no-clips",
            Self::BadCaption { .. } => "bad-caption",
            Self::Io { .. } => "io",
        }
    }
}

/// Why an archive cannot be used: every fault that was found, at least one.
#[derive(Debug)]
pub struct Rejected {
    first: ArchiveError,
    others: Vec<ArchiveError>,
}

impl Rejected {
    /// A rejection, or none if there is no fault.
    pub(crate) fn check(faults: Vec<ArchiveError>) -> Result<(), Self> {
        let mut faults = faults.into_iter();
        match faults.next() {
            Some(first) => Err(Self { first, others: faults.collect() }),
            None => Ok(()),
        }
    }

    /// Every fault, in the order of checking.
    pub fn faults(&self) -> impl Iterator<Item = &ArchiveError> {
        std::iter::once(&self.first).chain(&self.others)
    }
}

impl From<ArchiveError> for Rejected {
    fn from(first: ArchiveError) -> Self {
        Self { first, others: Vec::new() }
    }
}

/// The first fault, and how many there are besides.
impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.first)?;
        match self.others.len() {
            0 => Ok(()),
            1 => f.write_str(" (and 1 more fault)"),
            n => write!(f, " (and {n} more faults)"),
        }
    }
}

impl std::error::Error for Rejected {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.first.source()
    }
}

impl Blame for Rejected {
    /// Ours as soon as one fault is: the archive may be right.
    fn fault(&self) -> Fault {
        if self.faults().any(|fault| fault.fault() == Fault::Service) {
            Fault::Service
        } else {
            Fault::Request
        }
    }

    /// The kind of the fault that decides [`fault`](Self::fault).
    fn kind(&self) -> &'static str {
        let blamed = self.fault();
        self.faults().find(|fault| fault.fault() == blamed).unwrap_or(&self.first).kind()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rejection_counts_its_faults_and_blames_the_service_if_one_fault_is_ours() {
        assert!(Rejected::check(Vec::new()).is_ok());
        let io = ArchiveError::Io { doing: "write", source: io::Error::other("disk") };
        let two = Rejected::check(vec![ArchiveError::NoClips, io]).unwrap_err();
        assert_eq!((two.faults().count(), two.fault(), two.kind()), (2, Fault::Service, "io"));
        assert!(two.to_string().ends_with("(and 1 more fault)"), "{two}");
        let one = Rejected::from(ArchiveError::NoClips);
        assert_eq!((one.fault(), one.kind()), (Fault::Request, "no-clips"));
    }
}
