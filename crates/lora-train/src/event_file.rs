//! Event files: what TensorBoard draws.
//!
//! A file is a row of records, each framed as `length u64, crc of length u32, event, crc of event u32`, little-endian.
//! An event is a protocol-buffer message, of which four fields are needed: `wall_time` (1, double), `step` (2,
//! varint), `file_version` (3, string) and `summary` (5), which holds values of a `tag` (1) and a `simple_value` (2, float).

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::Path,
};

use crate::write_whole;

/// A file of scalars by step. TensorBoard finds it in its log folder if `tfevents` is part of its name.
#[derive(Debug)]
pub struct EventFile(File);

impl EventFile {
    /// A new file, in place of one that is there. `wall_time` is in seconds since 1970, here as below.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn create(path: &Path, wall_time: f64) -> io::Result<Self> {
        write_whole(path, &record(&version(wall_time)))?;
        Self::append(path)
    }

    /// Goes on with a file, from which whatever comes after `step` is removed; also a record that was cut short.
    /// Where there is no file, or none with a good beginning, one is made.
    ///
    /// # Errors
    /// If the file cannot be read or written.
    pub fn resume(path: &Path, step: usize, wall_time: f64) -> io::Result<Self> {
        let bytes = match fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            read => read?,
        };
        match up_to(&bytes, step as u64) {
            0 => Self::create(path, wall_time),
            kept => {
                write_whole(path, &bytes[..kept])?;
                Self::append(path)
            }
        }
    }

    fn append(path: &Path) -> io::Result<Self> {
        OpenOptions::new().append(true).open(path).map(Self)
    }

    /// Adds scalars of a step, each with its tag.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&mut self, step: usize, wall_time: f64, scalars: &[(&str, f64)]) -> io::Result<()> {
        self.0.write_all(&record(&event(step as u64, wall_time, scalars)))
    }
}

/// How many bytes belong to whole records of events up to `step`.
fn up_to(bytes: &[u8], step: u64) -> usize {
    let mut rest = bytes;
    while let Some((event, after)) = next_record(rest) {
        if step_of(event) > step {
            break;
        }
        rest = after;
    }
    bytes.len() - rest.len()
}

fn record(event: &[u8]) -> Vec<u8> {
    let length = (event.len() as u64).to_le_bytes();
    let crc = |bytes| masked_crc(bytes).to_le_bytes();
    [&length[..], &crc(&length), event, &crc(event)].concat()
}

/// The event of the first record, and what comes after it; none if the record is cut short or damaged.
fn next_record(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let (crc, rest) = rest.split_first_chunk::<4>()?;
    let size = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    if *crc != masked_crc(length).to_le_bytes() || size > rest.len() {
        return None;
    }
    let (event, rest) = rest.split_at(size);
    let (crc, rest) = rest.split_first_chunk::<4>()?;
    (*crc == masked_crc(event).to_le_bytes()).then_some((event, rest))
}

const DOUBLE: u8 = 1;
const BYTES: u8 = 2;
const FLOAT: u8 = 5;

fn key(field: u8, kind: u8) -> u8 {
    field << 3 | kind
}

fn wall(wall_time: f64) -> Vec<u8> {
    [&[key(1, DOUBLE)], &wall_time.to_le_bytes()[..]].concat()
}

/// What every file begins with.
fn version(wall_time: f64) -> Vec<u8> {
    let mut event = wall(wall_time);
    push_bytes(&mut event, 3, b"brain.Event:2");
    event
}

fn event(step: u64, wall_time: f64, scalars: &[(&str, f64)]) -> Vec<u8> {
    let mut summary = Vec::new();
    for (tag, value) in scalars {
        let mut scalar = Vec::new();
        push_bytes(&mut scalar, 1, tag.as_bytes());
        scalar.push(key(2, FLOAT));
        scalar.extend((*value as f32).to_le_bytes());
        push_bytes(&mut summary, 1, &scalar);
    }
    let mut event = wall(wall_time);
    event.push(key(2, 0));
    push_varint(&mut event, step);
    push_bytes(&mut event, 5, &summary);
    event
}

/// The step of an event as [`event`] lays it out; 0 of any other, such as [`version`].
fn step_of(event: &[u8]) -> u64 {
    let Some([kind, rest @ ..]) = event.get(9..) else { return 0 };
    if *kind != key(2, 0) {
        return 0;
    }
    let mut step = 0;
    for (at, byte) in rest.iter().take(9).enumerate() {
        step |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            break;
        }
    }
    step
}

fn push_varint(message: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        message.push(value as u8 | 0x80);
        value >>= 7;
    }
    message.push(value as u8);
}

fn push_bytes(message: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    message.push(key(field, BYTES));
    push_varint(message, bytes.len() as u64);
    message.extend(bytes);
}

/// A checksum of data that may hold checksums themselves.
fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (Castagnoli), bit by bit: records are short.
fn crc32c(bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    let mut crc = !0u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (POLYNOMIAL & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(path: &Path) -> Vec<u64> {
        let bytes = fs::read(path).unwrap();
        let mut rest = bytes.as_slice();
        let mut steps = Vec::new();
        while let Some((event, after)) = next_record(rest) {
            steps.push(step_of(event));
            rest = after;
        }
        assert!(rest.is_empty(), "{} bytes are no record", rest.len());
        steps
    }

    #[test]
    fn the_checksum_is_that_of_the_standard() {
        // RFC 3720, B.4, and the check value of the catalogues.
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
    }

    #[test]
    fn a_file_has_the_bytes_that_tensorboard_reads() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.out.tfevents.0");
        EventFile::create(&path, 0.5).unwrap().write(300, 1.5, &[("loss", 0.25)]).unwrap();
        // Made by the record writer and the messages of the Python package `tensorboard` 2.21.
        let wanted = concat!(
            "1800000000000000a37f4b2209000000000000e03f1a0d627261696e2e4576656e743a3266f7e1a8",
            "1b000000000000001a0d9e1309000000000000f83f10ac022a0d0a0b0a046c6f7373150000803e99",
            "08deed",
        );
        let hex: String = fs::read(&path).unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, wanted);
    }

    #[test]
    fn a_resumed_file_has_no_step_twice() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.out.tfevents.0");
        let mut file = EventFile::create(&path, 0.0).unwrap();
        for step in [0, 1, 127, 128, 300, 70_000] {
            file.write(step, 1.0, &[("loss", 1.0), ("rate", 2.0)]).unwrap();
        }
        assert_eq!(steps(&path), [0, 0, 1, 127, 128, 300, 70_000]);
        EventFile::resume(&path, 128, 2.0).unwrap().write(129, 2.0, &[("loss", 1.0)]).unwrap();
        assert_eq!(steps(&path), [0, 0, 1, 127, 128, 129]);
    }

    #[test]
    fn a_record_that_was_cut_short_is_dropped_and_a_missing_file_made() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.out.tfevents.0");
        EventFile::resume(&path, 9, 0.0).unwrap().write(1, 1.0, &[("loss", 1.0)]).unwrap();
        let one = fs::read(&path).unwrap();
        EventFile::resume(&path, 9, 0.0).unwrap().write(2, 1.0, &[("loss", 1.0)]).unwrap();
        let two = fs::read(&path).unwrap();
        for cut in one.len()..two.len() {
            fs::write(&path, &two[..cut]).unwrap();
            EventFile::resume(&path, 9, 0.0).unwrap();
            assert_eq!(fs::read(&path).unwrap(), one, "cut at {cut}");
        }
    }
}
