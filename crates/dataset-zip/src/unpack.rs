//! From the archive to files under names of our own.

use std::{
    fs::{self, File},
    io::{ErrorKind, Read, Seek, Write},
    path::{Path, PathBuf},
};

use tensor_batch::{Blame, Caption, Fault, Stem};
use zip::{ZipReadOptions, read::ZipArchiveMetadata, result::ZipError};

use crate::{
    ArchiveError, Rejected,
    end_record::cannot_read,
    member::{Medium, Member},
    pairing::Pair,
};

/// A clip with its mask: there is no example without one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// The name that clip, mask and caption share.
    pub stem: Stem,
    /// The clip's file.
    pub clip: PathBuf,
    /// The mask's file.
    pub mask: MaskSource,
    /// What the clip shows, if that is said.
    pub caption: Option<Caption>,
}

/// A mask's file, by its extension; the content may turn out to be something else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MaskSource {
    /// One image for all frames.
    Image(PathBuf),
    /// A video, frame by frame.
    Video(PathBuf),
}

/// Unpacks all pairs into `dir`.
pub(crate) fn unpack<R: Read + Seek>(
    archive: &mut R,
    directory: &ZipArchiveMetadata,
    pairs: Vec<Pair>,
    dir: &Path,
) -> Result<Vec<Example>, Rejected> {
    fs::create_dir_all(dir).map_err(cannot_write)?;
    let mut unpacker = Unpacker { archive, directory, dir, faults: Vec::new() };
    let mut examples = Vec::new();
    for (number, pair) in pairs.into_iter().enumerate() {
        examples.extend(unpacker.example(number, pair));
        if unpacker.faults.iter().any(|fault| fault.fault() == Fault::Service) {
            break;
        }
    }
    Rejected::check(unpacker.faults)?;
    Ok(examples)
}

struct Unpacker<'a, R> {
    archive: &'a mut R,
    directory: &'a ZipArchiveMetadata,
    dir: &'a Path,
    faults: Vec<ArchiveError>,
}

impl<R: Read + Seek> Unpacker<'_, R> {
    /// Tries all files of a pair, so that all their faults are found.
    fn example(&mut self, number: usize, pair: Pair) -> Option<Example> {
        let clip = self.file(&pair.clip, format!("{number:04}-clip"));
        let mask = self.file(&pair.mask, format!("{number:04}-mask"));
        let caption = match &pair.caption {
            Some(member) => self.caption(member)?,
            None => None,
        };
        let mask = match pair.mask.medium {
            Medium::Video(_) => MaskSource::Video(mask?),
            _ => MaskSource::Image(mask?),
        };
        Some(Example { stem: pair.stem, clip: clip?, mask, caption })
    }

    fn file(&mut self, member: &Member, name: String) -> Option<PathBuf> {
        let path = self.dir.join(name).with_extension(member.medium.extension());
        let done =
            File::create(&path).map_err(cannot_write).and_then(|mut file| self.inflate(member, &mut file));
        self.kept(done.map(|()| path))
    }

    fn caption(&mut self, member: &Member) -> Option<Option<Caption>> {
        let mut bytes = Vec::new();
        let done = self.inflate(member, &mut bytes).and_then(|()| read_caption(member, &bytes));
        self.kept(done)
    }

    fn kept<T>(&mut self, done: Result<T, ArchiveError>) -> Option<T> {
        done.map_err(|fault| self.faults.push(fault)).ok()
    }

    /// Writes a member to `out`, counting its bytes; the reader compares the checksum at the end.
    fn inflate(&mut self, member: &Member, out: &mut impl Write) -> Result<(), ArchiveError> {
        let entry = self.directory.entry(member.index).map_err(|error| damaged(member, error))?;
        let mut data =
            entry.with_reader(self.archive, ZipReadOptions::new()).map_err(|error| damaged(member, error))?;
        let mut buffer = vec![0; 64 << 10];
        let mut written = 0;
        loop {
            let bytes = match data.read(&mut buffer) {
                Ok(0) => break,
                Ok(bytes) => &buffer[..bytes],
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(damaged(member, error.into())),
            };
            written += bytes.len() as u64;
            if written > member.bytes {
                break;
            }
            out.write_all(bytes).map_err(cannot_write)?;
        }
        if written == member.bytes {
            return Ok(());
        }
        let reason = format!("it inflates to another size than the {} bytes that it claims", member.bytes);
        Err(ArchiveError::CorruptEntry { entry: member.name.clone(), reason })
    }
}

fn read_caption(member: &Member, bytes: &[u8]) -> Result<Option<Caption>, ArchiveError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let reason = format!("it is not UTF-8 at byte {}", error.valid_up_to());
        ArchiveError::BadCaption { entry: member.name.clone(), reason }
    })?;
    Ok(Caption::new(&text.replace("\r\n", "\n")))
}

/// An error of the operating system is ours; anything else is in the data.
fn damaged(member: &Member, error: ZipError) -> ArchiveError {
    match error {
        ZipError::Io(error) if error.raw_os_error().is_some() => cannot_read(error),
        ZipError::Io(error) => {
            ArchiveError::CorruptEntry { entry: member.name.clone(), reason: error.to_string() }
        }
        other => ArchiveError::CorruptEntry { entry: member.name.clone(), reason: other.to_string() },
    }
}

fn cannot_write(source: std::io::Error) -> ArchiveError {
    ArchiveError::Io { doing: "write unpacked files", source }
}
