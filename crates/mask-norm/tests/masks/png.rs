//! PNG files written byte by byte: any depth, palettes, EXIF data and headers that lie.

/// A PNG of these chunks.
pub(crate) fn file(chunks: &[(&[u8; 4], Vec<u8>)]) -> Vec<u8> {
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    for (kind, data) in chunks {
        let body = [kind.as_slice(), data].concat();
        file.extend((data.len() as u32).to_be_bytes());
        file.extend(&body);
        file.extend(crc32(&body).to_be_bytes());
    }
    file
}

/// The header chunk. Colours: 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGBA.
pub(crate) fn header(width: u32, height: u32, depth: u8, colour: u8) -> (&'static [u8; 4], Vec<u8>) {
    (b"IHDR", [&width.to_be_bytes()[..], &height.to_be_bytes(), &[depth, colour, 0, 0, 0]].concat())
}

/// The pixels of rows, each already packed, in one stored block.
pub(crate) fn pixels(rows: &[Vec<u8>]) -> (&'static [u8; 4], Vec<u8>) {
    let raw: Vec<u8> = rows.iter().flat_map(|row| [&[0], row.as_slice()].concat()).collect();
    let length = raw.len() as u16;
    let (a, b) = raw.iter().fold((1u32, 0u32), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65521;
        (a, (b + a) % 65521)
    });
    let block = [&[0x78, 1, 1][..], &length.to_le_bytes(), &(!length).to_le_bytes(), &raw];
    (b"IDAT", [block.concat(), (b << 16 | a).to_be_bytes().to_vec()].concat())
}

/// A whole file.
pub(crate) fn image(width: u32, depth: u8, colour: u8, palette: Option<&[u8]>, rows: &[Vec<u8>]) -> Vec<u8> {
    let mut chunks = vec![header(width, rows.len() as u32, depth, colour)];
    chunks.extend(palette.map(|palette| (b"PLTE", palette.to_vec())));
    chunks.push(pixels(rows));
    chunks.push((b"IEND", Vec::new()));
    file(&chunks)
}

/// An EXIF chunk that gives an orientation, 1 to 8.
pub(crate) fn exif(orientation: u8) -> (&'static [u8; 4], Vec<u8>) {
    let tiff = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0";
    (b"eXIf", [tiff.as_slice(), &[orientation, 0, 0, 0, 0, 0, 0]].concat())
}

fn crc32(data: &[u8]) -> u32 {
    let bit = |crc: u32| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
    !data.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| bit(crc)))
}
