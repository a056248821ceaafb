//! Mutations that know no format, and numbers in bytes.

use super::random::Random;

/// The order of the bytes of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Little,
    Big,
}

impl Order {
    /// The number of at most 8 bytes; what lies beyond the end reads as 0.
    pub(crate) fn get(self, bytes: &[u8], at: usize, width: usize) -> u64 {
        let byte = |i: usize| u64::from(bytes.get(at + i).copied().unwrap_or(0));
        match self {
            Self::Little => (0..width).rev().fold(0, |number, i| number << 8 | byte(i)),
            Self::Big => (0..width).fold(0, |number, i| number << 8 | byte(i)),
        }
    }

    /// Writes the lowest `width` bytes of `number`; what lies beyond the end is left out.
    pub(crate) fn put(self, bytes: &mut [u8], at: usize, width: usize, number: u64) {
        for i in 0..width {
            let place = match self {
                Self::Little => i,
                Self::Big => width - 1 - i,
            };
            if let Some(byte) = bytes.get_mut(at + place) {
                *byte = (number >> (8 * i)) as u8;
            }
        }
    }

    /// Changes the number at `at`.
    pub(crate) fn change(self, bytes: &mut [u8], at: usize, width: usize, random: &mut Random) {
        let number = random.change(self.get(bytes, at, width), width);
        self.put(bytes, at, width, number);
    }

    /// Changes a number at any place that is a multiple of its width.
    pub(crate) fn change_any(self, bytes: &mut [u8], random: &mut Random) {
        let width = random.pick(&[1, 2, 4, 4, 4, 8]);
        let at = random.below(bytes.len() / width) * width;
        self.change(bytes, at, width, random);
    }
}

/// Damages bytes in one to six places.
pub(crate) fn havoc(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..random.few(6) {
        damage(bytes, random);
    }
}

fn damage(bytes: &mut Vec<u8>, random: &mut Random) {
    let (from, to) = range(bytes.len(), random);
    match random.below(9) {
        0 | 1 => {
            if let Some(byte) = bytes.get_mut(from) {
                *byte ^= 1 << random.below(8);
            }
        }
        2 => random.pick(&[Order::Little, Order::Big]).change_any(bytes, random),
        3 => bytes.truncate(from),
        4 => drop(bytes.drain(from..to)),
        5 => bytes[from..to].fill(random.pick(&[0, 0xff, 0x80])),
        6 => {
            let noise = random.bytes(to - from);
            bytes[from..to].copy_from_slice(&noise);
        }
        7 => bytes.extend_from_within(from..to),
        _ => {
            let copied = bytes[from..to].to_vec();
            let at = random.below(bytes.len() + 1);
            bytes.splice(at..at, copied);
        }
    }
}

/// A range of at most 64 bytes, or rarely a large one.
fn range(len: usize, random: &mut Random) -> (usize, usize) {
    let from = random.below(len);
    let longest = if random.chance(10) { len } else { 64 };
    (from, from + random.few(longest).min(len - from))
}

/// The beginning of one and the end of another.
pub(crate) fn splice(first: &[u8], second: &[u8], random: &mut Random) -> Vec<u8> {
    let (cut, from) = (random.below(first.len() + 1), random.below(second.len() + 1));
    [&first[..cut], &second[from..]].concat()
}

/// The checksum of zip and PNG.
pub(crate) fn crc32(data: &[u8]) -> u32 {
    const TABLE: [u32; 256] = crc_table();
    !data.iter().fold(!0, |crc, byte| TABLE[((crc ^ u32::from(*byte)) & 0xff) as usize] ^ crc >> 8)
}

const fn crc_table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
}

/// Deflate without compression, valid as deflate64 too.
pub(crate) fn deflate_stored(plain: &[u8]) -> Vec<u8> {
    let mut blocks = plain.chunks(0xffff).peekable();
    let mut packed = Vec::new();
    loop {
        let block = blocks.next().unwrap_or_default();
        let length = block.len() as u16;
        packed.push(u8::from(blocks.peek().is_none()));
        packed.extend(length.to_le_bytes());
        packed.extend((!length).to_le_bytes());
        packed.extend(block);
        if blocks.peek().is_none() {
            return packed;
        }
    }
}

/// Deflate without compression, as zlib.
pub(crate) fn zlib_stored(plain: &[u8]) -> Vec<u8> {
    zlib(&deflate_stored(plain), plain)
}

/// Deflated data between the header and the checksum of zlib.
pub(crate) fn zlib(deflated: &[u8], plain: &[u8]) -> Vec<u8> {
    let (a, b) = plain.iter().fold((1u32, 0u32), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65_521;
        (a, (b + a) % 65_521)
    });
    [&[0x78, 1], deflated, &(b << 16 | a).to_be_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_and_written_in_either_order() {
        let mut bytes = [0; 4];
        Order::Big.put(&mut bytes, 1, 2, 0x12345);
        assert_eq!(bytes, [0, 0x23, 0x45, 0]);
        assert_eq!(Order::Big.get(&bytes, 1, 2), 0x2345);
        assert_eq!(Order::Little.get(&bytes, 1, 2), 0x4523);
        Order::Little.put(&mut bytes, 3, 2, 0xabcd);
        assert_eq!(bytes, [0, 0x23, 0x45, 0xcd]);
        assert_eq!(Order::Little.get(&bytes, 3, 2), 0xcd);
    }

    #[test]
    fn havoc_takes_anything_and_nearly_always_changes_it() {
        let mut changed = 0;
        for case in 0..300 {
            let mut random = Random::new(0, "havoc", case);
            havoc(&mut Vec::new(), &mut random);
            let mut bytes = b"some bytes that are to be damaged".to_vec();
            havoc(&mut bytes, &mut random);
            changed += usize::from(bytes != b"some bytes that are to be damaged");
        }
        assert!(changed > 270, "{changed}");
    }

    #[test]
    fn checksums_have_their_published_values() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert!(zlib_stored(b"Wikipedia").ends_with(&[0x11, 0xe6, 0x03, 0x98]));
    }

    #[test]
    fn stored_blocks_are_told_apart_from_the_last() {
        assert_eq!(deflate_stored(b"ab"), [1, 2, 0, 0xfd, 0xff, b'a', b'b']);
        assert_eq!(deflate_stored(b""), [1, 0, 0, 0xff, 0xff]);
        let long = deflate_stored(&[7; 0x1_0000]);
        assert_eq!((long[0], long[0xffff + 5], long.len()), (0, 1, 0x1_0000 + 10));
    }
}
