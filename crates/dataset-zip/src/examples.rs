//! From an archive to examples that are ready to be unpacked.

use std::{
    io::{Read, Seek},
    path::Path,
    sync::Arc,
};

use zip::{
    ZipArchive,
    read::{ArchiveOffset, Config, ZipArchiveMetadata},
    result::ZipError,
};

use crate::{
    ArchiveError, Example, Limits, Rejected, Warning, directory,
    end_record::{cannot_read, not_a_zip},
    layout,
    member::{self, Member},
    pairing::{Pair, pair},
    unpack::unpack,
};

/// The examples of an archive that passed every check that needs no unpacking: at least one.
#[derive(Debug)]
pub struct Examples<R> {
    archive: R,
    directory: Arc<ZipArchiveMetadata>,
    pairs: Vec<Pair>,
    warnings: Vec<Warning>,
    bytes: u64,
}

/// Checks an archive as a whole, by its directory: names, pairs, sizes, kinds of entries, and where their data lies.
///
/// # Errors
/// With every fault of the archive; or with the first one, where it keeps the directory from being read.
pub fn open<R: Read + Seek>(mut archive: R, limits: &Limits) -> Result<Examples<R>, Rejected> {
    let (end, names) = directory::read(&mut archive, limits)?;
    let directory = read_directory(&mut archive)?;
    let mut faults = directory::doubles(&names);
    if faults.is_empty() {
        if directory.len() != names.len() {
            return Err(not_a_zip("its directory gives two entries the same name").into());
        }
        faults.extend(layout::faults(&mut archive, &directory, &names, &end));
    }
    let members = members(&directory, limits, &mut faults);
    let pairing = pair(members);
    faults.extend(pairing.faults);
    let bytes = total(&pairing.pairs);
    if bytes > limits.total_bytes {
        let what = "what the archive unpacks to";
        faults.push(ArchiveError::ArchiveTooLarge { what, bytes, limit: limits.total_bytes });
    }
    Rejected::check(faults)?;
    Ok(Examples { archive, directory, pairs: pairing.pairs, warnings: pairing.warnings, bytes })
}

fn read_directory<R: Read + Seek>(archive: &mut R) -> Result<Arc<ZipArchiveMetadata>, ArchiveError> {
    // The end record was found to lie where it says: no other offset is to be tried.
    let config = Config { archive_offset: ArchiveOffset::Known(0) };
    match ZipArchive::with_config(config, archive) {
        Ok(archive) => Ok(archive.metadata()),
        Err(ZipError::Io(error)) if error.raw_os_error().is_some() => Err(cannot_read(error)),
        Err(error) => Err(not_a_zip(error.to_string())),
    }
}

/// The files of the archive. Those at fault are among them, so that one fault does not look like another.
fn members(directory: &ZipArchiveMetadata, limits: &Limits, faults: &mut Vec<ArchiveError>) -> Vec<Member> {
    let mut members = Vec::new();
    for (index, entry) in (0..directory.len()).filter_map(|index| Some((index, directory.entry(index).ok()?)))
    {
        let name = member::name_of(&entry);
        let bad_name = name.fault();
        let named_well = bad_name.is_none();
        faults.extend(bad_name);
        if name.is_folder() || name.is_ignored() {
            continue;
        }
        let member = Member::new(index, name, entry.size());
        faults.extend(member::fault(&entry, &member, limits).filter(|_| named_well));
        members.push(member);
    }
    members
}

fn total(pairs: &[Pair]) -> u64 {
    let members =
        |pair: &Pair| [Some(pair.clip.bytes), Some(pair.mask.bytes), pair.caption.as_ref().map(|c| c.bytes)];
    pairs.iter().flat_map(members).flatten().fold(0, u64::saturating_add)
}

impl<R: Read + Seek> Examples<R> {
    /// Files that were left over.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Bytes that [`unpack`](Self::unpack) needs on disk, at most.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Inflates clips and masks into `dir`, which is made if it is missing, under names of our own: `0000-clip.mp4`,
    /// `0000-mask.png` and so on, replacing what is there. The examples are sorted by stem.
    ///
    /// Every member must have the size and the checksum that the directory gives; no more than 64 KiB are read
    /// beyond a size that lies.
    ///
    /// # Errors
    /// With every member that is damaged and every caption that cannot be read; files already written stay.
    pub fn unpack(mut self, dir: &Path) -> Result<Vec<Example>, Rejected> {
        unpack(&mut self.archive, &self.directory, self.pairs, dir)
    }
}
