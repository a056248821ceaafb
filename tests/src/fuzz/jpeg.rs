//! JPEG: marker segments, and the coded data between them.
#![allow(clippy::ptr_arg, reason = "a tweak may add nodes, and all tweaks have one type")]

use super::{
    bytes::{Order, havoc},
    png::orientation,
    random::Random,
    tree::{Format, MOST_BYTES, Node, data_of},
};

pub(crate) const JPEG: Format = Format {
    order: Order::Big,
    read,
    write,
    tweaks: &[frame, frame_kind, components, scan, scan, tables, tables, restarts, adobe, exif, coded, scans],
};

/// Start of frame: baseline, extended, progressive, lossless, arithmetic and so on.
const FRAMES: [&[u8]; 10] = [
    b"\xff\xc0",
    b"\xff\xc1",
    b"\xff\xc2",
    b"\xff\xc3",
    b"\xff\xc5",
    b"\xff\xc6",
    b"\xff\xc9",
    b"\xff\xca",
    b"\xff\xcb",
    b"\xff\xcf",
];
const SCAN: &[u8] = b"\xff\xda";

fn read(file: &[u8]) -> Vec<Node> {
    let mut nodes = Vec::new();
    let mut rest = file;
    while !rest.is_empty() {
        let (node, after) = segment(rest).unwrap_or_else(|| {
            let end = marker(&rest[1..]).map_or(rest.len(), |at| at + 1);
            (Node::raw(&rest[..end]), &rest[end..])
        });
        nodes.push(node);
        rest = after;
    }
    nodes
}

/// A marker with a length and what that covers.
fn segment(bytes: &[u8]) -> Option<(Node, &[u8])> {
    let [0xff, marker, ..] = bytes else { return None };
    let alone = matches!(marker, 0 | 1 | 0xd0..=0xd9 | 0xff);
    let end = 2 + Order::Big.get(bytes, 2, 2) as usize;
    (!alone && end >= 4 && end <= bytes.len())
        .then(|| (Node::data(&bytes[..2], &bytes[4..end]), &bytes[end..]))
}

/// Where the next marker that is no restart begins.
fn marker(bytes: &[u8]) -> Option<usize> {
    bytes.windows(2).position(|pair| pair[0] == 0xff && !matches!(pair[1], 0 | 0xd0..=0xd7 | 0xff))
}

fn write(nodes: &[Node]) -> Vec<u8> {
    let mut file = Vec::new();
    for node in nodes {
        let data = node.content(write);
        if !node.id.is_empty() {
            file.extend(&node.id);
            file.extend((node.stated(data.len() + 2) as u16).to_be_bytes());
        }
        file.extend(data);
    }
    file
}

/// Precision, height and width.
fn frame(nodes: &mut Vec<Node>, random: &mut Random) {
    let side = |random: &mut Random| {
        if random.chance(30) { random.number(2) } else { random.few(300) as u64 }
    };
    let (at, width, value) = match random.below(5) {
        0 => (0, 1, random.pick(&[0, 2, 8, 12, 16])),
        1 | 2 => (1, 2, side(random)),
        _ => (3, 2, side(random)),
    };
    if let Some(data) = data_of(nodes, &FRAMES, random) {
        Order::Big.put(data, at, width, value);
    }
}

fn frame_kind(nodes: &mut Vec<Node>, random: &mut Random) {
    let kind = random.pick(&FRAMES);
    if let Some(node) = super::tree::one(nodes, &FRAMES, random) {
        node.id = kind.to_vec();
    }
}

/// Another number of components, other sampling factors, other tables.
fn components(nodes: &mut Vec<Node>, random: &mut Random) {
    let Some(data) = data_of(nodes, &FRAMES, random) else { return };
    if random.chance(30) {
        let count = random.pick(&[0, 1, 2, 3, 4, 5, 255]);
        data.truncate(6);
        Order::Big.put(data, 5, 1, count);
        (0..count as u8).for_each(|i| data.extend([i + 1, random.pick(&[0x11, 0x22, 0x21]), i % 2]));
        return;
    }
    let factors = random.pick(&[0x11, 0x12, 0x21, 0x22, 0x41, 0x14, 0x44, 0x31, 0x13, 0, 0xff, 0x10]);
    let component = 6 + 3 * random.below(4);
    match random.below(3) {
        0 => Order::Big.put(data, component + 2, 1, random.below(5) as u64),
        _ => Order::Big.put(data, component + 1, 1, factors),
    }
}

/// Which components and which bits of which coefficients a scan holds.
fn scan(nodes: &mut Vec<Node>, random: &mut Random) {
    let bits = random.pick(&[0, 1, 0x10, 0x21, 0x0d, 0xff]);
    let (first, last) = (random.below(66) as u8, random.below(66) as u8);
    let Some(data) = data_of(nodes, &[SCAN], random) else { return };
    let Some(spectrum) = data.len().checked_sub(3) else { return };
    match random.below(4) {
        0 => data[spectrum] = first,
        1 => data[spectrum + 1] = last,
        2 => data[spectrum + 2] = bits,
        _ => Order::Big.change_any(data, random),
    }
}

/// Quantisation and Huffman tables.
fn tables(nodes: &mut Vec<Node>, random: &mut Random) {
    let Some(data) = data_of(nodes, &[b"\xff\xc4", b"\xff\xdb", b"\xff\xcc"], random) else { return };
    match random.below(4) {
        0 => Order::Big.put(data, 0, 1, random.pick(&[0, 1, 2, 3, 4, 0x10, 0x11, 0x13, 0xff])),
        1 => Order::Big.change(data, 1 + random.below(16), 1, random),
        2 => havoc(data, random),
        _ => data.extend_from_within(..),
    }
}

fn restarts(nodes: &mut Vec<Node>, random: &mut Random) {
    let every = (random.number(2) as u16).to_be_bytes();
    insert(nodes, Node::data(b"\xff\xdd", every), random);
}

/// The segment that says how components become colours.
fn adobe(nodes: &mut Vec<Node>, random: &mut Random) {
    let data = [b"Adobe\0\x64\0\0\0\0".as_slice(), &[random.below(5) as u8]].concat();
    insert(nodes, Node::data(b"\xff\xee", data), random);
}

fn exif(nodes: &mut Vec<Node>, random: &mut Random) {
    let data = [b"Exif\0\0".to_vec(), orientation(random)].concat();
    insert(nodes, Node::data(b"\xff\xe1", data), random);
}

/// Damages coded data.
fn coded(nodes: &mut Vec<Node>, random: &mut Random) {
    if let Some(data) = data_of(nodes, &[b""], random) {
        havoc(data, random);
    }
}

/// Repeats the last scan: each takes time, and none takes many bytes.
fn scans(nodes: &mut Vec<Node>, random: &mut Random) {
    let Some(at) = nodes.iter().rposition(|node| node.id == SCAN) else { return };
    let end = (at + 2).min(nodes.len());
    let scan = nodes[at..end].to_vec();
    let affordable = MOST_BYTES / scan.iter().map(Node::weight).sum::<usize>() + 1;
    let times = random.few_or_many(5, 20, 400).min(affordable);
    (0..times).for_each(|_| drop(nodes.splice(end..end, scan.clone())));
}

fn insert(nodes: &mut Vec<Node>, node: Node, random: &mut Random) {
    let at = 1 + random.below(nodes.len());
    nodes.insert(at.min(nodes.len()), node);
}
