//! The central directory, read name by name: the reader behind it keys entries by name and would lose doubles.

use std::{
    collections::HashSet,
    io::{Read, Seek},
};

use crate::{
    ArchiveError, EntryName,
    end_record::{self, EndRecord, le, not_a_zip, read_at},
};

const SIGNATURE: &[u8; 4] = b"PK\x01\x02";
const HEADER_BYTES: usize = 46;

/// The raw names of all entries, in order. There are exactly as many as the end record counts, and they fill the
/// directory exactly.
pub(crate) fn raw_names<R: Read + Seek>(
    archive: &mut R,
    end: &EndRecord,
) -> Result<Vec<Vec<u8>>, ArchiveError> {
    let bytes = end.directory.end - end.directory.start;
    let directory = read_at(archive, end.directory.start, bytes)?;
    let mut names = Vec::new();
    let mut rest = directory.as_slice();
    while !rest.is_empty() {
        let (name, after) = split_entry(rest).ok_or_else(|| not_a_zip("its directory is damaged"))?;
        names.push(name.to_vec());
        rest = after;
    }
    if names.len() as u64 == end.entries {
        return Ok(names);
    }
    let (counted, found) = (end.entries, names.len());
    Err(not_a_zip(format!("its end record counts {counted} entries, its directory holds {found}")))
}

fn split_entry(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = rest.strip_prefix(SIGNATURE)?;
    let length = |field: usize| le(rest, field - SIGNATURE.len(), 2) as usize;
    let (name, extra, comment) = (length(28), length(30), length(32));
    let fields = rest.get(HEADER_BYTES - SIGNATURE.len()..)?;
    Some((fields.get(..name)?, fields.get(name + extra + comment..)?))
}

/// A fault for every name that occurs more than once.
pub(crate) fn doubles(names: &[Vec<u8>]) -> Vec<ArchiveError> {
    let mut seen = HashSet::new();
    let mut told = HashSet::new();
    let again = names.iter().filter(|name| !seen.insert(name.as_slice()) && told.insert(name.as_slice()));
    again.map(|name| ArchiveError::DuplicateEntry { entry: shown(name) }).collect()
}

fn shown(name: &[u8]) -> EntryName {
    EntryName::new(String::from_utf8_lossy(name))
}

/// Reads the end record and the names, in this order.
pub(crate) fn read<R: Read + Seek>(
    archive: &mut R,
    limits: &crate::Limits,
) -> Result<(EndRecord, Vec<Vec<u8>>), ArchiveError> {
    let end = end_record::read(archive, limits)?;
    let names = raw_names(archive, &end)?;
    Ok((end, names))
}
