//! The end record: how many entries an archive says it has, and where its directory lies.
//!
//! Read before anything else, and strictly: the directory reader that comes later allocates by the count in this
//! record, and would look for another record if it did not like this one.

use std::{
    io::{self, Read, Seek, SeekFrom},
    ops::Range,
};

use crate::{ArchiveError, Limits};

const SIGNATURE: &[u8; 4] = b"PK\x05\x06";
const SIGNATURE_64: &[u8; 4] = b"PK\x06\x06";
const LOCATOR_64: &[u8; 4] = b"PK\x06\x07";
const BYTES: usize = 22;
const BYTES_64: u64 = 56;
const LOCATOR_BYTES: usize = 20;
/// The record, the longest comment after it, and the locator before it.
const TAIL_BYTES: u64 = (LOCATOR_BYTES + BYTES + 0xffff) as u64;

/// What the end record says, checked against the file's length and the limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EndRecord {
    pub(crate) entries: u64,
    pub(crate) directory: Range<u64>,
}

/// Reads the end record.
pub(crate) fn read<R: Read + Seek>(archive: &mut R, limits: &Limits) -> Result<EndRecord, ArchiveError> {
    let bytes = archive.seek(SeekFrom::End(0)).map_err(cannot_read)?;
    at_most("the archive", bytes, limits.archive_bytes)?;
    let start = bytes.saturating_sub(TAIL_BYTES);
    let tail = read_at(archive, start, bytes - start)?;
    let at = find(&tail)?;
    let (record, before) = (&tail[at..], &tail[..at]);
    let found = Counts::of_32(record);
    let locator = before.len().checked_sub(LOCATOR_BYTES).map(|at| &before[at..]);
    let (found, end) = match locator.filter(|locator| locator.starts_with(LOCATOR_64)) {
        Some(locator) => {
            let at_64 = le(locator, 8, 8);
            let end = start + at as u64 - LOCATOR_BYTES as u64;
            (found.widened(read_64(archive, at_64, end)?)?, at_64)
        }
        None => (found, start + at as u64),
    };
    found.checked(end, limits)
}

fn read_64<R: Read + Seek>(archive: &mut R, at: u64, end: u64) -> Result<Counts, ArchiveError> {
    if end.checked_sub(at).is_none_or(|bytes| bytes < BYTES_64) {
        return Err(not_a_zip("its zip64 record lies elsewhere than its locator says"));
    }
    let record = read_at(archive, at, BYTES_64)?;
    if !record.starts_with(SIGNATURE_64) || le(&record, 4, 8).checked_add(12) != Some(end - at) {
        return Err(not_a_zip("its zip64 record lies elsewhere than its locator says"));
    }
    Ok(Counts::of_64(&record))
}

/// The last signature in the file; its comment must end with the file. Both together leave one reading only.
fn find(tail: &[u8]) -> Result<usize, ArchiveError> {
    let at = tail.windows(SIGNATURE.len()).rposition(|bytes| bytes == SIGNATURE);
    let at = at.ok_or_else(|| not_a_zip("it has no end record"))?;
    let after = tail.len() - at;
    if after < BYTES || after - BYTES != le(tail, at + 20, 2) as usize {
        return Err(not_a_zip("its end record is cut off or followed by other data"));
    }
    Ok(at)
}

/// Numbers as the record gives them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Counts {
    disks: u64,
    here: u64,
    entries: u64,
    bytes: u64,
    offset: u64,
}

impl Counts {
    fn of_32(record: &[u8]) -> Self {
        Self {
            disks: le(record, 4, 2) | le(record, 6, 2),
            here: le(record, 8, 2),
            entries: le(record, 10, 2),
            bytes: le(record, 12, 4),
            offset: le(record, 16, 4),
        }
    }

    fn of_64(record: &[u8]) -> Self {
        Self {
            disks: le(record, 16, 4) | le(record, 20, 4),
            here: le(record, 24, 8),
            entries: le(record, 32, 8),
            bytes: le(record, 40, 8),
            offset: le(record, 48, 8),
        }
    }

    /// The wide numbers, with which each narrow one must agree unless it is all ones.
    fn widened(self, wide: Self) -> Result<Self, ArchiveError> {
        let agree = |narrow, wide, ones| narrow == ones || narrow == wide;
        let all = agree(self.here, wide.here, 0xffff)
            && agree(self.entries, wide.entries, 0xffff)
            && agree(self.bytes, wide.bytes, 0xffff_ffff)
            && agree(self.offset, wide.offset, 0xffff_ffff);
        if all { Ok(wide) } else { Err(not_a_zip("its two end records disagree")) }
    }

    fn checked(self, end: u64, limits: &Limits) -> Result<EndRecord, ArchiveError> {
        if self.disks != 0 || self.here != self.entries {
            return Err(not_a_zip("it is one part of a split archive"));
        }
        if self.entries > limits.entries {
            return Err(ArchiveError::TooManyEntries { found: self.entries, limit: limits.entries });
        }
        at_most("the archive's directory", self.bytes, limits.directory_bytes)?;
        if self.offset.checked_add(self.bytes) != Some(end) {
            return Err(not_a_zip("its directory does not lie where its end record says"));
        }
        Ok(EndRecord { entries: self.entries, directory: self.offset..end })
    }
}

fn at_most(what: &'static str, bytes: u64, limit: u64) -> Result<(), ArchiveError> {
    if bytes > limit { Err(ArchiveError::ArchiveTooLarge { what, bytes, limit }) } else { Ok(()) }
}

/// The little-endian number of `bytes` bytes at `at`; what lies beyond the end reads as 0.
pub(crate) fn le(from: &[u8], at: usize, bytes: usize) -> u64 {
    from.iter().skip(at).take(bytes).rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Exactly `bytes` bytes at `at`. The caller has checked that `bytes` is a size to be held in memory.
pub(crate) fn read_at<R: Read + Seek>(archive: &mut R, at: u64, bytes: u64) -> Result<Vec<u8>, ArchiveError> {
    let mut read = vec![0; bytes as usize];
    archive.seek(SeekFrom::Start(at)).map_err(cannot_read)?;
    archive.read_exact(&mut read).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => not_a_zip("it ends too early"),
        _ => cannot_read(error),
    })?;
    Ok(read)
}

pub(crate) fn not_a_zip(reason: impl Into<String>) -> ArchiveError {
    ArchiveError::NotAZip { reason: reason.into() }
}

pub(crate) fn cannot_read(source: io::Error) -> ArchiveError {
    ArchiveError::Io { doing: "read the archive", source }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use tensor_batch::Blame;

    use super::*;

    fn record(here: u16, entries: u16, bytes: u32, offset: u32, comment: &[u8]) -> Vec<u8> {
        let mut record = [SIGNATURE.as_slice(), &[0; 4]].concat();
        record.extend([here.to_le_bytes(), entries.to_le_bytes()].concat());
        record.extend([bytes.to_le_bytes(), offset.to_le_bytes()].concat());
        record.extend((comment.len() as u16).to_le_bytes());
        [record.as_slice(), comment].concat()
    }

    fn record_64(entries: u64, bytes: u64, offset: u64) -> Vec<u8> {
        let mut record = [SIGNATURE_64.as_slice(), &44u64.to_le_bytes(), &[0; 12]].concat();
        record.extend([entries, entries, bytes, offset].map(u64::to_le_bytes).concat());
        record.extend(
            [LOCATOR_64.as_slice(), &[0; 4], &(offset + bytes).to_le_bytes(), &[1, 0, 0, 0]].concat(),
        );
        record
    }

    fn read_record(bytes: Vec<u8>) -> Result<EndRecord, &'static str> {
        read(&mut Cursor::new(bytes), &Limits::default()).map_err(|error| error.kind())
    }

    #[test]
    fn a_record_with_a_comment_is_read() {
        let bytes = [vec![7; 50], record(3, 3, 40, 10, b"made by hand")].concat();
        assert_eq!(read_record(bytes), Ok(EndRecord { entries: 3, directory: 10..50 }));
    }

    #[test]
    fn a_wide_record_is_read_and_must_agree_with_the_narrow_one() {
        let wide = |narrow| [vec![7; 50], record_64(3, 40, 10), narrow].concat();
        let all_ones = record(0xffff, 0xffff, u32::MAX, u32::MAX, b"");
        assert_eq!(read_record(wide(all_ones)), Ok(EndRecord { entries: 3, directory: 10..50 }));
        assert!(read_record(wide(record(3, 3, 40, 10, b""))).is_ok());
        assert_eq!(read_record(wide(record(2, 2, 40, 10, b""))), Err("not-a-zip"));
    }

    #[test]
    fn records_with_a_second_reading_are_refused() {
        let good = [vec![7; 50], record(3, 3, 40, 10, b"")].concat();
        assert!(read_record(good.clone()).is_ok());
        for wrong in [
            Vec::new(),
            b"rubbish".to_vec(),
            [good.as_slice(), b"\n"].concat(),
            good[1..].to_vec(),
            good[..good.len() - 1].to_vec(),
            [b"prefix", good.as_slice()].concat(),
            [vec![7; 50], record(3, 3, 40, 10, &record(1, 1, 40, 10, b""))].concat(),
            [vec![7; 50], record(2, 3, 40, 10, b"")].concat(),
            [vec![7; 50], record(3, 3, u32::MAX, u32::MAX, b"")].concat(),
        ] {
            let kind = read_record(wrong).unwrap_err();
            assert!(["not-a-zip", "too-large"].contains(&kind), "{kind}");
        }
    }

    #[test]
    fn counts_and_sizes_are_limited_before_anything_is_allocated() {
        let many = [vec![7; 50], record_64(1 << 40, 40, 10), record(0xffff, 0xffff, 40, 10, b"")].concat();
        assert_eq!(read_record(many), Err("too-many-entries"));
        let wide = [vec![7; 50], record_64(3, 1 << 40, 10), record(3, 3, u32::MAX, 10, b"")].concat();
        assert!(read_record(wide).is_err());
        let small = Limits { archive_bytes: 71, ..Limits::default() };
        let error = read(&mut Cursor::new([vec![7; 50], record(3, 3, 40, 10, b"")].concat()), &small);
        assert_eq!(error.unwrap_err().kind(), "too-large");
    }
}
