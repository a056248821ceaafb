//! An archive of clips, masks and captions becomes examples.
//!
//! Start at [`open`]. It reads the central directory of a zip, checks the archive as a whole and touches no pixel.
//! What it returns, [`Examples`], knows which clip has which mask and caption, and
//! [unpacks](Examples::unpack) them into a folder, as one [`Example`] per clip. Both steps fail with [`Rejected`],
//! which carries *every* fault that was found, each an [`ArchiveError`] that names its entry.
//!
//! | file | is |
//! |---|---|
//! | `<name>.<mp4, mov, webm, mkv, avi>` | a clip |
//! | `<name>_mask.<png, jpg, jpeg, bmp, webp or a clip's>` | its mask, without which the archive is rejected |
//! | `<name>.txt` | its caption, in UTF-8, which may be missing |
//!
//! Files lie in any folder; names are unique over the whole archive (compared in Unicode NFC, with case), and the
//! case of extensions does not matter. `foo_mask.mp4` is the mask of `foo` where there is such a clip, else a clip
//! of its own if it has a mask, else left over. Hidden files, `__MACOSX` and the like are ignored; what is left over
//! is a [`Warning`].
//!
//! ```
//! use std::io::{Cursor, Write};
//!
//! use dataset_zip::{Limits, MaskSource, open};
//! use zip::{ZipWriter, write::SimpleFileOptions};
//!
//! let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
//! for (name, bytes) in [("fox.mp4", "a clip"), ("fox_mask.png", "its mask"), ("fox.txt", " a red fox\r\n")] {
//!     zip.start_file(name, SimpleFileOptions::default())?;
//!     zip.write_all(bytes.as_bytes())?;
//! }
//! let archive = zip.finish()?;
//!
//! let work = tempfile::tempdir()?;
//! let examples = open(archive, &Limits::default())?;
//! assert!(examples.warnings().is_empty());
//! for example in examples.unpack(work.path())? {
//!     assert_eq!(example.stem.as_str(), "fox");
//!     assert_eq!(example.caption.unwrap().as_str(), "a red fox");
//!     // The names on disk are ours: an archive cannot choose where its files go.
//!     assert_eq!(example.mask, MaskSource::Image(work.path().join("0000-mask.png")));
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Archives are hostile until proven otherwise: nothing is allocated or written on the word of a header beyond
//! [`Limits`], and a member is stored, deflate or deflate64 or is refused.
#![forbid(unsafe_code)]

mod directory;
mod end_record;
mod entry_name;
mod error;
mod examples;
mod layout;
mod limits;
mod member;
mod pairing;
mod unpack;
mod warning;

pub use entry_name::EntryName;
pub use error::{ArchiveError, Rejected};
pub use examples::{Examples, open};
pub use limits::Limits;
pub use unpack::{Example, MaskSource};
pub use warning::Warning;
