//! Zip archives written number by number, so that each of them can lie.

use std::io::{Cursor, Read, Write};

use zip::{ZipArchive, ZipWriter, result::ZipResult, write::SimpleFileOptions};

use super::{
    bytes::{Order, crc32, deflate_stored},
    random::{Random, clipped},
};

/// An archive as it is written.
#[derive(Debug, Clone, Default)]
pub(crate) struct Archive {
    /// Bytes before the first entry, which all offsets count.
    pub(crate) prefix: Vec<u8>,
    /// Bytes before the first entry, which no offset counts.
    pub(crate) uncounted: Vec<u8>,
    pub(crate) entries: Vec<Entry>,
    /// The entries that the directory lists, where that is not simply all.
    pub(crate) listed: Option<Vec<usize>>,
    /// Bytes between the last entry and the directory.
    pub(crate) gap: Vec<u8>,
    /// Whether the end record has a wide one before it.
    pub(crate) wide: bool,
    pub(crate) comment: Vec<u8>,
    /// Bytes after the end.
    pub(crate) suffix: Vec<u8>,
    pub(crate) lies: Vec<Lie>,
}

/// One entry, and how it is written.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) name: Vec<u8>,
    /// The name before the data, where that is another one.
    pub(crate) local_name: Option<Vec<u8>>,
    pub(crate) plain: Vec<u8>,
    pub(crate) packing: Packing,
    pub(crate) flags: u16,
    /// The mode of Unix: kind and permissions.
    pub(crate) mode: u32,
    /// Whether sizes and offset are in an extra field of 8 bytes each.
    pub(crate) wide: bool,
    /// Whether sizes and checksum come behind the data.
    pub(crate) descriptor: bool,
    /// Extra fields, before the data and in the directory.
    pub(crate) extra: Vec<u8>,
    pub(crate) comment: Vec<u8>,
    /// The entry whose place it claims to have.
    pub(crate) at: Option<usize>,
}

/// How data is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packing {
    Stored,
    Deflate,
    Deflate64,
}

/// A number that is not what it should be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lie {
    pub(crate) record: Record,
    /// The number in its record; counted round, so that any is some.
    pub(crate) field: usize,
    pub(crate) change: Change,
}

/// A record of the archive, of so many numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Record {
    Local(usize),
    LocalWide(usize),
    Descriptor(usize),
    Central(usize),
    CentralWide(usize),
    EndWide,
    Locator,
    End,
}

/// What a number becomes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Change {
    To(u64),
    By(i64),
    Flip(u64),
}

impl Change {
    pub(crate) fn any(random: &mut Random) -> Self {
        match random.below(4) {
            0 => Self::By(random.few(40) as i64),
            1 => Self::By(-(random.few(40) as i64)),
            2 => Self::Flip(1 << random.below(33)),
            _ => Self::To(random.number(8)),
        }
    }

    fn of(self, number: u64) -> u64 {
        match self {
            Self::To(other) => other,
            Self::By(by) => number.wrapping_add_signed(by),
            Self::Flip(bits) => number ^ bits,
        }
    }
}

impl Entry {
    /// A good entry.
    pub(crate) fn new(name: &str, plain: &[u8], packing: Packing) -> Self {
        Self {
            name: name.into(),
            local_name: None,
            plain: plain.to_vec(),
            packing,
            flags: 0,
            mode: 0o100_644,
            wide: false,
            descriptor: false,
            extra: Vec::new(),
            comment: Vec::new(),
            at: None,
        }
    }

    fn packed(&self) -> Vec<u8> {
        match self.packing {
            Packing::Stored => self.plain.clone(),
            Packing::Deflate => deflate(&self.plain),
            Packing::Deflate64 => deflate_stored(&self.plain),
        }
    }

    fn method(&self) -> u64 {
        match self.packing {
            Packing::Stored => 0,
            Packing::Deflate => 8,
            Packing::Deflate64 => 9,
        }
    }

    fn all_flags(&self) -> u64 {
        u64::from(self.flags) | if self.descriptor { 8 } else { 0 }
    }
}

/// Deflated data.
pub(crate) fn deflate(plain: &[u8]) -> Vec<u8> {
    let packed = || -> ZipResult<Vec<u8>> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        writer.start_file(
            "",
            SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated),
        )?;
        writer.write_all(plain)?;
        let mut archive = ZipArchive::new(writer.finish()?)?;
        let mut packed = Vec::new();
        archive.by_index_raw(0)?.read_to_end(&mut packed)?;
        Ok(packed)
    };
    packed().unwrap_or_else(|_| deflate_stored(plain))
}

/// Where an entry lies, and what it measures.
struct Placed {
    offset: u64,
    crc: u64,
    packed: u64,
    size: u64,
}

impl Archive {
    /// The bytes of the archive.
    pub(crate) fn write(&self) -> Vec<u8> {
        let mut file = self.prefix.clone();
        let placed: Vec<Placed> = (0..self.entries.len()).map(|i| self.write_entry(i, &mut file)).collect();
        file.extend(&self.gap);
        let start = file.len() as u64;
        let all: Vec<usize> = (0..self.entries.len()).collect();
        let listed = self.listed.as_ref().unwrap_or(&all);
        for &i in listed.iter().filter(|i| **i < self.entries.len()) {
            self.write_listing(i, &placed, &mut file);
        }
        self.write_end(listed.len() as u64, start, &mut file);
        [self.uncounted.as_slice(), &file, &self.suffix].concat()
    }

    fn write_entry(&self, i: usize, file: &mut Vec<u8>) -> Placed {
        let entry = &self.entries[i];
        let packed = entry.packed();
        let placed = Placed {
            offset: file.len() as u64,
            crc: u64::from(crc32(&entry.plain)),
            packed: packed.len() as u64,
            size: entry.plain.len() as u64,
        };
        let told = if entry.descriptor { (0, 0, 0) } else { (placed.crc, placed.packed, placed.size) };
        let wide = if entry.wide {
            let fields = [(2, 1), (2, 16), (8, told.2), (8, told.1)];
            self.record(Record::LocalWide(i), &fields)
        } else {
            Vec::new()
        };
        let extra = [wide.as_slice(), &entry.extra].concat();
        let name = entry.local_name.as_ref().unwrap_or(&entry.name);
        let narrow = |size| if entry.wide { 0xffff_ffff } else { size };
        let fields = [
            (4, 0x0403_4b50),
            (2, 20),
            (2, entry.all_flags()),
            (2, entry.method()),
            (2, 0),
            (2, 0x21),
            (4, told.0),
            (4, narrow(told.1)),
            (4, narrow(told.2)),
            (2, name.len() as u64),
            (2, extra.len() as u64),
        ];
        file.extend(self.record(Record::Local(i), &fields));
        file.extend([name.as_slice(), &extra, &packed].concat());
        if entry.descriptor {
            let width = if entry.wide { 8 } else { 4 };
            let fields = [(4, 0x0807_4b50), (4, placed.crc), (width, placed.packed), (width, placed.size)];
            file.extend(self.record(Record::Descriptor(i), &fields));
        }
        placed
    }

    fn write_listing(&self, i: usize, placed: &[Placed], file: &mut Vec<u8>) {
        let (entry, own) = (&self.entries[i], &placed[i]);
        let offset = entry.at.and_then(|at| placed.get(at)).unwrap_or(own).offset;
        let wide = if entry.wide {
            let fields = [(2, 1), (2, 24), (8, own.size), (8, own.packed), (8, offset)];
            self.record(Record::CentralWide(i), &fields)
        } else {
            Vec::new()
        };
        let extra = [wide.as_slice(), &entry.extra].concat();
        let narrow = |number| if entry.wide { 0xffff_ffff } else { number };
        let fields = [
            (4, 0x0201_4b50),
            (2, 0x0314),
            (2, 20),
            (2, entry.all_flags()),
            (2, entry.method()),
            (2, 0),
            (2, 0x21),
            (4, own.crc),
            (4, narrow(own.packed)),
            (4, narrow(own.size)),
            (2, entry.name.len() as u64),
            (2, extra.len() as u64),
            (2, entry.comment.len() as u64),
            (2, 0),
            (2, 0),
            (4, u64::from(entry.mode) << 16),
            (4, narrow(offset)),
        ];
        file.extend(self.record(Record::Central(i), &fields));
        file.extend([entry.name.as_slice(), &extra, &entry.comment].concat());
    }

    fn write_end(&self, entries: u64, start: u64, file: &mut Vec<u8>) {
        let end = file.len() as u64;
        let size = end - start;
        if self.wide {
            let fields = [
                (4, 0x0606_4b50),
                (8, 44),
                (2, 45),
                (2, 45),
                (4, 0),
                (4, 0),
                (8, entries),
                (8, entries),
                (8, size),
                (8, start),
            ];
            file.extend(self.record(Record::EndWide, &fields));
            file.extend(self.record(Record::Locator, &[(4, 0x0706_4b50), (4, 0), (8, end), (4, 1)]));
        }
        let narrow = |number, ones| if self.wide { ones } else { number };
        let fields = [
            (4, 0x0605_4b50),
            (2, 0),
            (2, 0),
            (2, narrow(entries, 0xffff)),
            (2, narrow(entries, 0xffff)),
            (4, narrow(size, 0xffff_ffff)),
            (4, narrow(start, 0xffff_ffff)),
            (2, self.comment.len() as u64),
        ];
        file.extend(self.record(Record::End, &fields));
        file.extend(&self.comment);
    }

    /// The numbers of a record, each in so many bytes, with the lies about them.
    fn record(&self, record: Record, fields: &[(usize, u64)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (i, &(width, number)) in fields.iter().enumerate() {
            let lies = self.lies.iter().filter(|lie| lie.record == record && lie.field % fields.len() == i);
            let number = lies.fold(number, |number, lie| clipped(lie.change.of(number), width));
            let at = bytes.len();
            bytes.resize(at + width, 0);
            Order::Little.put(&mut bytes, at, width, number);
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive() -> Archive {
        let long = b"a caption, a caption, a caption".repeat(40);
        let wide = Entry { wide: true, ..Entry::new("b/c.txt", b"wide", Packing::Stored) };
        let described = Entry { descriptor: true, ..Entry::new("d.txt", &long, Packing::Deflate) };
        let entries = vec![
            Entry::new("a.txt", b"stored", Packing::Stored),
            wide,
            described,
            Entry::new("e.txt", &long, Packing::Deflate64),
        ];
        Archive { entries, ..Archive::default() }
    }

    #[test]
    fn an_archive_without_lies_is_read_by_others() {
        let prefixed = Archive { prefix: b"#!/bin/sh".to_vec(), wide: true, ..archive() };
        for written in [archive(), prefixed] {
            let mut read = ZipArchive::new(Cursor::new(written.write())).unwrap();
            assert_eq!(read.len(), 4);
            for (i, entry) in written.entries.iter().enumerate() {
                let mut plain = Vec::new();
                read.by_index(i).unwrap().read_to_end(&mut plain).unwrap();
                assert!(plain == entry.plain, "{i}");
            }
        }
    }

    #[test]
    fn a_lie_changes_one_number() {
        let good = archive().write();
        let lie = Lie { record: Record::Central(3), field: 7, change: Change::By(1) };
        let bad = Archive { lies: vec![lie], ..archive() }.write();
        let differences: Vec<usize> = (0..good.len()).filter(|i| good[*i] != bad[*i]).collect();
        assert_eq!(good.len(), bad.len());
        assert_eq!(differences.len(), 1, "{differences:?}");
    }
}
