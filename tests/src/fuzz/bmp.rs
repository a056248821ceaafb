//! BMP: a header of many ages, a palette, rows or runs.

use super::{
    bytes::{Order, havoc},
    random::Random,
};

/// Where the fields of a file with a header of 40 bytes or more lie: offset and bytes.
const FIELDS: [(usize, usize); 17] = [
    (0, 2),
    (2, 4),
    (10, 4),
    (14, 4),
    (18, 4),
    (22, 4),
    (26, 2),
    (28, 2),
    (30, 4),
    (34, 4),
    (46, 4),
    (50, 4),
    (54, 4),
    (58, 4),
    (62, 4),
    (66, 4),
    (70, 4),
];

/// A picture of some kind, and what was done to it.
pub(crate) fn mutated(random: &mut Random) -> Vec<u8> {
    let mut file = any_picture(random);
    match random.below(10) {
        0 | 1 => havoc(&mut file, random),
        2..=7 => (0..random.few(3)).for_each(|_| {
            let (at, width) = random.pick(&FIELDS);
            Order::Little.change(&mut file, at, width, random);
        }),
        _ => file.truncate(random.below(file.len())),
    }
    file
}

fn any_picture(random: &mut Random) -> Vec<u8> {
    let (bits, compression) = random.pick(&[
        (1, 0),
        (4, 0),
        (8, 0),
        (16, 0),
        (24, 0),
        (32, 0),
        (8, 1),
        (4, 2),
        (16, 3),
        (32, 3),
        (32, 6),
        (24, 4),
        (2, 0),
    ]);
    let header = random.pick(&[40, 40, 40, 52, 56, 64, 108, 124, 12]);
    let (width, height) = (random.few(40) as i32, random.few(40) as i32);
    let height = if random.chance(15) { -height } else { height };
    picture(header, bits, compression, (width, height), random)
}

/// A picture with a header of so many bytes. Compression: 0 none, 1 runs of bytes, 2 runs of nibbles, 3 and 6 masks.
pub(crate) fn picture(
    header: u32,
    bits: u16,
    compression: u32,
    (width, height): (i32, i32),
    random: &mut Random,
) -> Vec<u8> {
    let masks = matches!(compression, 3 | 6) && header == 40;
    let palette = if bits <= 8 { 4 << bits } else { 0 };
    let offset = 14 + header + if masks { 12 } else { 0 } + palette;
    let row = (width.unsigned_abs() as usize * usize::from(bits)).div_ceil(32) * 4;
    let data = match compression {
        1 | 2 => runs(random),
        _ => random.bytes(row * height.unsigned_abs() as usize),
    };
    let mut file = b"BM".to_vec();
    file.extend([offset + data.len() as u32, 0, offset, header].map(u32::to_le_bytes).concat());
    if header == 12 {
        file.extend([width as u16, height as u16, 1, bits].map(u16::to_le_bytes).concat());
    } else {
        file.extend([width, height].map(i32::to_le_bytes).concat());
        file.extend([1, bits].map(u16::to_le_bytes).concat());
        let size = data.len() as u32;
        file.extend([compression, size, 2835, 2835, 0, 0].map(u32::to_le_bytes).concat());
    }
    let fields = [0xf800u32, 0x07e0, 0x001f, 0].map(u32::to_le_bytes).concat();
    file.extend(&fields[..if header >= 52 || masks { 12 } else { 0 }]);
    file.resize(offset as usize - palette as usize, 0);
    file.extend(random.bytes(palette as usize));
    [file, data].concat()
}

/// Run lengths, literal stretches, ends of lines, jumps, and an end, in any order.
fn runs(random: &mut Random) -> Vec<u8> {
    let mut data = Vec::new();
    for _ in 0..random.few(60) {
        match random.below(6) {
            0 => data.extend([0, 0]),
            1 => data.extend([0, 2, random.below(256) as u8, random.below(256) as u8]),
            2 => {
                let count = 3 + random.below(20);
                data.extend([0, count as u8]);
                data.extend(random.bytes(count.next_multiple_of(2)));
            }
            _ => data.extend([random.few(255) as u8, random.below(256) as u8]),
        }
    }
    data.extend([0, random.below(3) as u8]);
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(file: &[u8]) -> Option<(u32, u32)> {
        let read = image::load_from_memory_with_format(file, image::ImageFormat::Bmp).ok()?;
        Some((read.width(), read.height()))
    }

    #[test]
    fn pictures_are_read_by_others() {
        let mut random = Random::new(0, "bmp", 0);
        for (bits, compression) in [(1, 0), (4, 0), (8, 0), (16, 0), (24, 0), (32, 0), (16, 3)] {
            let file = picture(40, bits, compression, (13, 7), &mut random);
            assert_eq!(read(&file), Some((13, 7)), "{bits} bits, compression {compression}");
        }
        for (bits, compression) in [(8, 1), (4, 2)] {
            let good =
                (0..200).filter(|_| read(&picture(40, bits, compression, (13, 7), &mut random)).is_some());
            assert!(good.count() > 0, "runs of {bits} bits");
        }
    }

    #[test]
    fn most_mutations_are_no_good_picture_and_some_are() {
        let good = (0..300).filter(|case| read(&mutated(&mut Random::new(0, "bmp", *case))).is_some());
        let good = good.count();
        assert!((30..270).contains(&good), "{good} of 300");
    }
}
