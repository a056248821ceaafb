//! WebP: RIFF chunks around VP8 and VP8L.
#![allow(clippy::ptr_arg, reason = "a tweak may add nodes, and all tweaks have one type")]

use super::{
    bytes::{Order, havoc},
    png::orientation,
    random::Random,
    riff,
    tree::{Format, Node, data_of, insert_into, one},
};

pub(crate) const WEBP: Format = Format {
    order: Order::Little,
    read: riff::read,
    write: riff::write,
    tweaks: &[canvas, canvas, lossy, lossy, lossless, lossless, alpha, animation, frame, exif, swap_codec],
};

/// Flags and size of the canvas, which files with alpha or animation begin with.
fn canvas(nodes: &mut Vec<Node>, random: &mut Random) {
    if random.chance(30) {
        let size = [0, 0, 0, 0, random.few(80) as u8, 0, 0, random.few(80) as u8, 0, 0];
        if let Some(Node { body: super::tree::Body::Nodes(_, chunks), .. }) = one(nodes, &[b"RIFF"], random) {
            chunks.insert(0, Node::data(b"VP8X", size));
        }
    }
    let Some(data) = data_of(nodes, &[b"VP8X"], random) else { return };
    match random.below(3) {
        0 => Order::Little.put(data, 0, 1, random.below(256) as u64),
        1 => Order::Little.put(data, 4, 3, random.number(3)),
        _ => Order::Little.put(data, 7, 3, random.number(3)),
    }
}

/// The header of a lossy frame: kind, partitions, width, height; then its coded data.
fn lossy(nodes: &mut Vec<Node>, random: &mut Random) {
    let side = (random.few(200) | random.below(4) << 14) as u64;
    let Some(data) = data_of(nodes, &[b"VP8 "], random) else { return };
    match random.below(5) {
        0 => Order::Little.change(data, 0, 3, random),
        1 => Order::Little.put(data, 6, 2, side),
        2 => Order::Little.put(data, 8, 2, side),
        _ => damage_tail(data, 10, random),
    }
}

/// The header of a lossless picture: width and height of 14 bits each; then its transforms and codes.
fn lossless(nodes: &mut Vec<Node>, random: &mut Random) {
    let Some(data) = data_of(nodes, &[b"VP8L"], random) else { return };
    match random.below(4) {
        0 => Order::Little.put(data, 1, 4, (random.few(200) as u64) | (random.few(200) as u64) << 14),
        1 => Order::Little.change(data, 1, 4, random),
        _ => damage_tail(data, 5, random),
    }
}

fn damage_tail(data: &mut Vec<u8>, head: usize, random: &mut Random) {
    let mut tail = data.split_off(head.min(data.len()));
    havoc(&mut tail, random);
    data.extend(tail);
}

/// How alpha is filtered and compressed.
fn alpha(nodes: &mut Vec<Node>, random: &mut Random) {
    if random.chance(30) {
        let length = random.few(2000);
        let chunk = Node::data(b"ALPH", random.bytes(length));
        insert_into(nodes, &[b"RIFF", b"ANMF"], chunk, random);
    }
    let flags = random.below(256) as u64;
    if let Some(data) = data_of(nodes, &[b"ALPH"], random) {
        Order::Little.put(data, 0, 1, flags);
    }
}

fn animation(nodes: &mut Vec<Node>, random: &mut Random) {
    let chunk = Node::data(b"ANIM", random.bytes(6));
    insert_into(nodes, &[b"RIFF"], chunk, random);
}

/// Place, size and kind of a frame of an animation.
fn frame(nodes: &mut Vec<Node>, random: &mut Random) {
    let (at, width) = random.pick(&[(0, 3), (3, 3), (6, 3), (9, 3), (12, 3), (15, 1)]);
    if let Some(data) = data_of(nodes, &[b"ANMF"], random) {
        Order::Little.change(data, at, width, random);
    }
}

fn exif(nodes: &mut Vec<Node>, random: &mut Random) {
    let chunk = Node::data(b"EXIF", orientation(random));
    insert_into(nodes, &[b"RIFF"], chunk, random);
}

/// Lossy data read as lossless, and the other way.
fn swap_codec(nodes: &mut Vec<Node>, random: &mut Random) {
    let id = random.pick(&[b"VP8 ", b"VP8L", b"ALPH", b"ANMF"]);
    if let Some(node) = one(nodes, &[b"VP8 ", b"VP8L"], random) {
        node.id = id.to_vec();
    }
}
