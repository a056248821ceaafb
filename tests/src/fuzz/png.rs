//! PNG: chunks with their checksums.
#![allow(clippy::ptr_arg, reason = "a tweak may add nodes, and all tweaks have one type")]

use super::{
    bytes::{Order, crc32, havoc, zlib, zlib_stored},
    random::Random,
    tree::{Format, Node, data_of, one},
    zip_file::deflate,
};

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

pub(crate) const PNG: Format = Format {
    order: Order::Big,
    read,
    write,
    tweaks: &[other_header, other_header, other_pixels, split_pixels, palette, transparency, ancillary, exif],
};

fn read(file: &[u8]) -> Vec<Node> {
    let mut nodes = Vec::new();
    let mut rest = file;
    if let Some(after) = file.strip_prefix(SIGNATURE) {
        nodes.push(Node::raw(SIGNATURE));
        rest = after;
    }
    while let Some((chunk, after)) = split_chunk(rest) {
        nodes.push(chunk);
        rest = after;
    }
    if !rest.is_empty() {
        nodes.push(Node::raw(rest));
    }
    nodes
}

fn split_chunk(bytes: &[u8]) -> Option<(Node, &[u8])> {
    let length = Order::Big.get(bytes, 0, 4) as usize;
    let chunk = bytes.get(4..length.checked_add(8)?)?;
    let (id, data) = chunk.split_at(4);
    let after = bytes.get(length + 12..)?;
    (Order::Big.get(bytes, length + 8, 4) == u64::from(crc32(chunk))).then(|| (Node::data(id, data), after))
}

fn write(nodes: &[Node]) -> Vec<u8> {
    let mut file = Vec::new();
    for node in nodes {
        let data = node.content(write);
        if node.id.is_empty() {
            file.extend(data);
            continue;
        }
        let chunk = [node.id.as_slice(), &data].concat();
        file.extend((node.stated(data.len()) as u32).to_be_bytes());
        file.extend(&chunk);
        file.extend(crc32(&chunk).to_be_bytes());
    }
    file
}

/// A picture of any kind that PNG has: `colour` is 0 for grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGBA.
pub(crate) fn picture(width: u32, height: u32, depth: u8, colour: u8, random: &mut Random) -> Vec<u8> {
    let mut nodes = vec![Node::raw(SIGNATURE), Node::data(b"IHDR", header(width, height, depth, colour, 0))];
    if colour == 3 {
        nodes.push(Node::data(b"PLTE", random.bytes(3 << depth)));
    }
    let raw = scan_lines(width, height, depth, colour, random);
    nodes.extend([Node::data(b"IDAT", zlib_stored(&raw)), Node::data(b"IEND", [])]);
    write(&nodes)
}

fn header(width: u32, height: u32, depth: u8, colour: u8, interlaced: u8) -> Vec<u8> {
    [&width.to_be_bytes()[..], &height.to_be_bytes(), &[depth, colour, 0, 0, interlaced]].concat()
}

/// Noise of the right length, each line behind a filter that exists.
fn scan_lines(width: u32, height: u32, depth: u8, colour: u8, random: &mut Random) -> Vec<u8> {
    let line = line_bytes(width, depth, colour);
    let mut lines = random.bytes((line + 1) * height as usize);
    lines.chunks_mut(line + 1).for_each(|line| line[0] %= 5);
    lines
}

fn line_bytes(width: u32, depth: u8, colour: u8) -> usize {
    let channels = match colour {
        2 => 3,
        4 => 2,
        6 => 4,
        _ => 1,
    };
    (width as usize * channels * usize::from(depth)).div_ceil(8)
}

/// A header of any kind, valid or nearly, in front of the same pixels or of such as it asks for.
fn other_header(nodes: &mut Vec<Node>, random: &mut Random) {
    let side = |random: &mut Random| match random.below(5) {
        0 => random.number(4) as u32,
        1 => random.few(600) as u32,
        _ => random.few(40) as u32,
    };
    let (width, height) = (side(random), side(random));
    let depth = random.pick(&[1, 2, 4, 8, 16, 8, 16, 0, 3, 32]);
    let colour = random.pick(&[0, 2, 3, 4, 6, 0, 2, 3, 4, 6, 1, 5, 7]);
    let interlaced = u8::from(random.chance(25));
    if let Some(data) = data_of(nodes, &[b"IHDR"], random) {
        *data = header(width, height, depth, colour, interlaced);
    }
    let affordable = u64::from(width.max(1)) * u64::from(height.max(1)) < 1 << 16;
    if affordable && random.chance(70) {
        let raw = scan_lines(width, height, depth, colour, random);
        put_pixels(nodes, &raw, random);
    }
}

/// Pixels of another length, or behind filters that do not exist.
fn other_pixels(nodes: &mut Vec<Node>, random: &mut Random) {
    let length = if random.chance(10) { 1 << 20 } else { random.few(5000) };
    let raw = if random.chance(50) { random.bytes(length) } else { vec![random.below(7) as u8; length] };
    put_pixels(nodes, &raw, random);
}

fn put_pixels(nodes: &mut [Node], raw: &[u8], random: &mut Random) {
    let mut packed = zlib_stored(raw);
    if random.chance(15) {
        havoc(&mut packed, random);
    }
    if let Some(data) = data_of(nodes, &[b"IDAT"], random) {
        *data = packed;
    }
}

/// The same pixels in several chunks, perhaps with something between.
fn split_pixels(nodes: &mut Vec<Node>, random: &mut Random) {
    let Some(at) = nodes.iter().position(|node| node.id == b"IDAT") else { return };
    let data = nodes[at].content(write);
    let cut = random.below(data.len() + 1);
    let mut parts = vec![Node::data(b"IDAT", &data[..cut]), Node::data(b"IDAT", &data[cut..])];
    if random.chance(40) {
        let id = random.pick(&[b"IDAT", b"tEXt", b"IEND", b"PLTE", b"fdAT"]);
        parts.insert(1, Node::data(id, []));
    }
    nodes.splice(at..=at, parts);
}

fn palette(nodes: &mut Vec<Node>, random: &mut Random) {
    let colours = random.pick(&[0, 1, 2, 16, 255, 256, 257, 700]) * 3 + usize::from(random.chance(10));
    put(nodes, Node::data(b"PLTE", random.bytes(colours)), random);
}

fn transparency(nodes: &mut Vec<Node>, random: &mut Random) {
    let length = random.pick(&[0, 1, 2, 6, 5, 256, 300]);
    put(nodes, Node::data(b"tRNS", random.bytes(length)), random);
}

/// Chunks that say more about the picture, most of them compressed or counted.
fn ancillary(nodes: &mut Vec<Node>, random: &mut Random) {
    let id = random.pick(&[
        b"iCCP", b"zTXt", b"iTXt", b"tEXt", b"acTL", b"fcTL", b"fdAT", b"gAMA", b"cHRM", b"sRGB", b"sBIT",
        b"bKGD", b"pHYs", b"cICP", b"mDCV", b"cLLI", b"caNv", b"CgBI",
    ]);
    let length = random.pick(&[0, 1, 4, 8, 26, 32, 40]);
    let data = match id {
        b"iCCP" | b"zTXt" => {
            let plain = vec![0; random.few_or_many(4096, 5, 1 << 22)];
            [b"name\0\0".as_slice(), &zlib(&deflate(&plain), &plain)].concat()
        }
        b"acTL" => [random.number(4) as u32, random.number(4) as u32].map(u32::to_be_bytes).concat(),
        _ => random.bytes(length),
    };
    put(nodes, Node::data(id, data), random);
}

/// EXIF data that turns the picture, whole or damaged.
fn exif(nodes: &mut Vec<Node>, random: &mut Random) {
    let data = orientation(random);
    put(nodes, Node::data(b"eXIf", data), random);
}

/// EXIF data with an orientation.
pub(crate) fn orientation(random: &mut Random) -> Vec<u8> {
    let mut tiff = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    tiff.extend([random.below(10) as u8, 0, 0, 0, 0, 0, 0]);
    if random.chance(50) {
        havoc(&mut tiff, random);
    }
    tiff
}

/// Replaces the chunk of that name, or puts it anywhere behind the header.
fn put(nodes: &mut Vec<Node>, node: Node, random: &mut Random) {
    let id = node.id.clone();
    if random.chance(70)
        && let Some(old) = one(nodes, &[&id], random)
    {
        *old = node;
        return;
    }
    let at = 2 + random.below(nodes.len().saturating_sub(2));
    nodes.insert(at.min(nodes.len()), node);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz::tree::tests::check_format;

    #[test]
    fn pictures_of_every_kind_are_read_by_others_and_written_as_they_were() {
        let mut random = Random::new(0, "png", 0);
        let kinds =
            [(1, 0), (2, 0), (4, 0), (8, 0), (16, 0), (8, 2), (16, 2), (1, 3), (2, 3), (4, 3), (8, 3)];
        let kinds = kinds.iter().chain(&[(8, 4), (16, 4), (8, 6), (16, 6)]);
        let files: Vec<_> =
            kinds.map(|(depth, colour)| picture(13, 7, *depth, *colour, &mut random)).collect();
        for file in &files {
            let picture = image::load_from_memory(file).unwrap();
            assert_eq!((picture.width(), picture.height()), (13, 7));
        }
        check_format(&PNG, &files);
    }
}
