//! Where the data of entries lies: behind a header that agrees with the directory, each byte in one entry only.

use std::{
    io::{self, ErrorKind, Read, Seek, SeekFrom},
    ops::Range,
};

use zip::read::ZipArchiveMetadata;

use crate::{
    ArchiveError, EntryName,
    end_record::{EndRecord, cannot_read, le},
};

const SIGNATURE: &[u8; 4] = b"PK\x03\x04";
const HEADER_BYTES: usize = 30;

/// Every fault in the layout. `names` are the raw names of the directory, in its order.
pub(crate) fn faults<R: Read + Seek>(
    archive: &mut R,
    directory: &ZipArchiveMetadata,
    names: &[Vec<u8>],
    end: &EndRecord,
) -> Vec<ArchiveError> {
    let mut faults = Vec::new();
    let mut placed = Vec::new();
    for (index, raw_name) in names.iter().enumerate() {
        match place(archive, directory, index, raw_name, end.directory.start) {
            Ok(found) => placed.push(found),
            Err(fault) => faults.push(fault),
        }
    }
    let overlaps = overlaps(&mut placed);
    if overlaps.is_empty() {
        // Entries that share a header have other names than it: that is told as an overlap.
        faults.extend(
            placed
                .into_iter()
                .filter(|place| place.renamed)
                .map(|place| corrupt(&place.name, "its data belongs to a file of another name")),
        );
    }
    faults.extend(overlaps);
    faults
}

/// Where an entry lies.
struct Place {
    name: EntryName,
    /// From its header to the end of its data.
    bytes: Range<u64>,
    /// Whether the header gives another name than the directory.
    renamed: bool,
}

fn place<R: Read + Seek>(
    archive: &mut R,
    directory: &ZipArchiveMetadata,
    index: usize,
    raw_name: &[u8],
    data_end: u64,
) -> Result<Place, ArchiveError> {
    let name = EntryName::new(String::from_utf8_lossy(raw_name));
    let entry = directory.entry(index).map_err(|error| corrupt(&name, error))?;
    let outside = || corrupt(&name, "its data lies outside the archive");
    // Checked before seeking: a file refuses an offset beyond 2^63, and that is no failure of the machine.
    let start = Some(entry.header_start()).filter(|start| *start < data_end).ok_or_else(outside)?;
    let header = read_header(archive, start, raw_name.len()).map_err(|error| match error.kind() {
        ErrorKind::UnexpectedEof => outside(),
        _ => cannot_read(error),
    })?;
    if !header.starts_with(SIGNATURE) {
        return Err(corrupt(&name, "no file begins where the directory says"));
    }
    let name_bytes = le(&header, 26, 2);
    let data = HEADER_BYTES as u64 + name_bytes + le(&header, 28, 2);
    let end = start.checked_add(data).and_then(|at| at.checked_add(entry.compressed_size()));
    let end = end.filter(|end| *end <= data_end).ok_or_else(outside)?;
    let renamed = name_bytes != raw_name.len() as u64 || !header.ends_with(raw_name);
    Ok(Place { name, bytes: start..end, renamed })
}

/// A header with the name behind it, if that has as many bytes as it should.
fn read_header<R: Read + Seek>(archive: &mut R, at: u64, name_bytes: usize) -> io::Result<Vec<u8>> {
    let mut header = vec![0; HEADER_BYTES + name_bytes];
    archive.seek(SeekFrom::Start(at))?;
    archive.read_exact(&mut header)?;
    Ok(header)
}

fn corrupt(name: &EntryName, reason: impl ToString) -> ArchiveError {
    ArchiveError::CorruptEntry { entry: name.clone(), reason: reason.to_string() }
}

fn overlaps(placed: &mut [Place]) -> Vec<ArchiveError> {
    placed.sort_by_key(|place| (place.bytes.start, place.bytes.end));
    let mut faults = Vec::new();
    let mut furthest: Option<&Place> = None;
    for place in placed.iter() {
        let before = furthest.filter(|before| place.bytes.start < before.bytes.end);
        faults.extend(before.map(|before| ArchiveError::OverlappingEntries {
            first: before.name.clone(),
            second: place.name.clone(),
        }));
        if before.is_none_or(|before| place.bytes.end > before.bytes.end) {
            furthest = Some(place);
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_inside_a_longer_one_overlaps_however_many_lie_between() {
        let placed = [(0..100, "long"), (10..20, "a"), (30..40, "b"), (100..110, "after")];
        let mut placed =
            placed.map(|(bytes, name)| Place { name: EntryName::new(name), bytes, renamed: false });
        let told: Vec<String> = overlaps(&mut placed).iter().map(ToString::to_string).collect();
        assert_eq!(told, ["entries `long` and `a` overlap", "entries `long` and `b` overlap"]);
    }
}
