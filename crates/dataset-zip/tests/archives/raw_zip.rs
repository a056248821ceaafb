//! Zip archives written byte by byte, so that every field can lie.

/// One entry. What the headers say comes from here and from nowhere else.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) name: Vec<u8>,
    /// The name in the header before the data, where that is another one.
    pub(crate) local_name: Option<Vec<u8>>,
    pub(crate) data: Vec<u8>,
    pub(crate) flags: u16,
    pub(crate) method: u16,
    pub(crate) crc: u32,
    pub(crate) inflated: u32,
    pub(crate) mode: u32,
    /// The offset of the header, where that is to be a lie.
    pub(crate) offset: Option<u32>,
    /// Extra fields in the directory.
    pub(crate) extra: Vec<u8>,
}

impl Entry {
    /// A stored file.
    pub(crate) fn new(name: &str, data: &[u8]) -> Self {
        Self {
            name: name.into(),
            local_name: None,
            data: data.to_vec(),
            flags: 0,
            method: 0,
            crc: crc32(data),
            inflated: data.len() as u32,
            mode: 0o100_644,
            offset: None,
            extra: Vec::new(),
        }
    }
}

/// An archive of these entries.
pub(crate) fn zip(entries: &[Entry]) -> Vec<u8> {
    let mut archive = Vec::new();
    let mut directory = Vec::new();
    for entry in entries {
        let offset = entry.offset.unwrap_or(archive.len() as u32);
        let local_name = entry.local_name.as_ref().unwrap_or(&entry.name);
        archive.extend(b"PK\x03\x04");
        archive.extend(shared_fields(entry, local_name, &[]));
        archive.extend(local_name);
        archive.extend(&entry.data);
        directory.extend(b"PK\x01\x02");
        directory.extend([20, 3]);
        directory.extend(shared_fields(entry, &entry.name, &entry.extra));
        directory.extend([0; 6]);
        directory.extend((entry.mode << 16).to_le_bytes());
        directory.extend(offset.to_le_bytes());
        directory.extend([entry.name.as_slice(), &entry.extra].concat());
    }
    let offset = archive.len() as u32;
    archive.extend(&directory);
    archive.extend(end_record(entries.len() as u16, directory.len() as u32, offset));
    archive
}

fn shared_fields(entry: &Entry, name: &[u8], extra: &[u8]) -> Vec<u8> {
    let words = |words: &[u16]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>();
    let mut fields = words(&[20, entry.flags, entry.method, 0, 0x21]);
    for number in [entry.crc, entry.data.len() as u32, entry.inflated] {
        fields.extend(number.to_le_bytes());
    }
    fields.extend(words(&[name.len() as u16, extra.len() as u16]));
    fields
}

/// An end record without a comment.
pub(crate) fn end_record(entries: u16, directory_bytes: u32, offset: u32) -> Vec<u8> {
    let mut record = b"PK\x05\x06\0\0\0\0".to_vec();
    record.extend([entries.to_le_bytes(), entries.to_le_bytes()].concat());
    record.extend([directory_bytes.to_le_bytes(), offset.to_le_bytes()].concat());
    record.extend([0, 0]);
    record
}

/// The checksum of zip.
pub(crate) fn crc32(data: &[u8]) -> u32 {
    let bit = |crc: u32| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
    !data.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| bit(crc)))
}
