//! Mutations that know what is in an element.
#![allow(clippy::ptr_arg, reason = "a tweak may add nodes, and all tweaks have one type")]

use super::Node;
use crate::fuzz::{
    bytes::{Order, havoc, zlib},
    random::Random,
    tree::{Body, Tweak, all, data_of, insert_into, one},
    zip_file::deflate,
};

pub(super) const ALL: &[Tweak] = &[
    picture_size,
    picture_size,
    picture_shape,
    clock,
    codec,
    codec_header,
    codec_header,
    encoding,
    block,
    block,
    block,
    block_group,
    unknown_size,
    side_element,
    document,
];

const SEGMENT: &[u8] = b"\x18\x53\x80\x67";
const TRACK: &[u8] = b"\xae";
const VIDEO: &[u8] = b"\xe0";
const CLUSTER: &[u8] = b"\x1f\x43\xb6\x75";
const SIMPLE_BLOCK: &[u8] = b"\xa3";
const BLOCK: &[u8] = b"\xa1";
const CODEC_ID: &[u8] = b"\x86";
const CODEC_PRIVATE: &[u8] = b"\x63\xa2";

/// Codecs that a file may name.
const CODECS: [&str; 32] = [
    "V_MPEG4/ISO/AVC",
    "V_MPEGH/ISO/HEVC",
    "V_VP8",
    "V_VP9",
    "V_AV1",
    "V_MPEG1",
    "V_MPEG2",
    "V_MPEG4/ISO/ASP",
    "V_MPEG4/ISO/SP",
    "V_MPEG4/MS/V3",
    "V_MS/VFW/FOURCC",
    "V_QUICKTIME",
    "V_THEORA",
    "V_REAL/RV10",
    "V_REAL/RV20",
    "V_REAL/RV30",
    "V_REAL/RV40",
    "V_SNOW",
    "V_DIRAC",
    "V_PRORES",
    "V_FFV1",
    "V_MJPEG",
    "V_PNG",
    "V_JPEG2000",
    "V_UNCOMPRESSED",
    "V_AVS2",
    "V_CAVS",
    "A_OPUS",
    "A_PCM/INT/LIT",
    "S_TEXT/UTF8",
    "S_VOBSUB",
    "D_WEBVTT/CAPTIONS",
];

/// An element that holds a number in as many bytes as it has, at least one.
fn number(id: &[u8], number: u64) -> Node {
    let zeros = (number.leading_zeros() as usize / 8).min(7);
    Node::data(id, &number.to_be_bytes()[zeros..])
}

/// Replaces an element, or adds it to one of `parent`.
fn put(nodes: &mut [Node], node: Node, parent: &[u8], random: &mut Random) {
    let id = node.id.clone();
    match one(nodes, &[&id], random) {
        Some(old) => *old = node,
        None => insert_into(nodes, &[parent], node, random),
    }
}

/// Coded and displayed width and height.
fn picture_size(nodes: &mut Vec<Node>, random: &mut Random) {
    let id = random.pick(&[b"\xb0".as_slice(), b"\xba", b"\x54\xb0", b"\x54\xba"]);
    let side = if random.chance(40) { random.number(4) } else { random.few(700) as u64 };
    put(nodes, number(id, side), VIDEO, random);
}

/// Crop, unit of the displayed size, stereo, alpha, interlacing, colours, and turns in space.
fn picture_shape(nodes: &mut Vec<Node>, random: &mut Random) {
    let id = random.pick(&[
        b"\x54\xaa".as_slice(),
        b"\x54\xbb",
        b"\x54\xcc",
        b"\x54\xdd",
        b"\x54\xb2",
        b"\x53\xb8",
        b"\x53\xc0",
        b"\x9a",
        b"\x9d",
        b"\x2e\xb5\x24",
    ]);
    if random.chance(70) {
        let value = if random.chance(50) { random.below(16) as u64 } else { random.number(8) };
        return put(nodes, number(id, value), VIDEO, random);
    }
    let pose = [b"\x76\x73".as_slice(), b"\x76\x74", b"\x76\x75"].map(|id| {
        let degrees = random.pick(&[0.0, 90.0, -90.0, 180.0, 1e30, f64::NAN, 45.0]);
        Node::data(id, degrees.to_be_bytes())
    });
    let mut projection = vec![number(b"\x76\x71", random.below(5) as u64)];
    projection.extend(pose);
    put(nodes, Node::nodes(b"\x76\x70", &[], projection), VIDEO, random);
}

/// Time scale, duration of frames, time of clusters, delays.
fn clock(nodes: &mut Vec<Node>, random: &mut Random) {
    let value = random.number(8);
    let (id, parent) = random.pick(&[
        (b"\x2a\xd7\xb1".as_slice(), b"\x15\x49\xa9\x66".as_slice()),
        (b"\x44\x89", b"\x15\x49\xa9\x66"),
        (b"\x23\xe3\x83", TRACK),
        (b"\x23\x4e\x7a", TRACK),
        (b"\x56\xaa", TRACK),
        (b"\x56\xbb", TRACK),
        (b"\xe7", CLUSTER),
        (b"\x23\x31\x4f", TRACK),
    ]);
    put(nodes, number(id, value), parent, random);
}

fn codec(nodes: &mut Vec<Node>, random: &mut Random) {
    let codec = random.pick(&CODECS);
    put(nodes, Node::data(CODEC_ID, codec), TRACK, random);
    if codec == "V_MS/VFW/FOURCC" {
        put(nodes, Node::data(CODEC_PRIVATE, crate::fuzz::avi::any_format(random)), TRACK, random);
    }
}

fn codec_header(nodes: &mut Vec<Node>, random: &mut Random) {
    if random.chance(15) {
        let length = random.few(300);
        return put(nodes, Node::data(CODEC_PRIVATE, random.bytes(length)), TRACK, random);
    }
    if let Some(data) = data_of(nodes, &[CODEC_PRIVATE], random) {
        havoc(data, random);
    }
}

/// Says that frames are compressed or encrypted, and perhaps makes it true: a small block that inflates.
fn encoding(nodes: &mut Vec<Node>, random: &mut Random) {
    let algorithm = number(b"\x42\x54", random.below(5) as u64);
    let length = random.few(20);
    let settings = Node::data(b"\x42\x55", random.bytes(length));
    let mut parts = vec![
        number(b"\x50\x31", random.below(3) as u64),
        number(b"\x50\x32", random.below(8) as u64),
        number(b"\x50\x33", random.below(3) as u64),
    ];
    parts.push(Node::nodes(b"\x50\x34", &[], vec![algorithm, settings]));
    let encodings = Node::nodes(b"\x6d\x80", &[], vec![Node::nodes(b"\x62\x40", &[], parts)]);
    put(nodes, encodings, TRACK, random);
    if random.chance(60) {
        let plain = vec![0; random.few_or_many(5000, 20, 1 << 23)];
        let packed = zlib(&deflate(&plain), &plain);
        if let Some(data) = data_of(nodes, &[SIMPLE_BLOCK], random) {
            data.truncate(4);
            data.extend(packed);
        }
    }
}

/// A block: its track, time, flags (lacing among them), or what is coded.
fn block(nodes: &mut Vec<Node>, random: &mut Random) {
    let Some(data) = data_of(nodes, &[SIMPLE_BLOCK, BLOCK], random) else { return };
    match random.below(8) {
        0 => Order::Big.put(data, 0, 1, random.pick(&[0x80, 0x81, 0x82, 0x40, 1, 0xff])),
        1 => Order::Big.change(data, 1, 2, random),
        2 => Order::Big.put(data, 3, 1, random.below(256) as u64),
        _ => {
            let mut coded = data.split_off(4.min(data.len()));
            havoc(&mut coded, random);
            data.extend(coded);
        }
    }
}

/// A simple block becomes one of a group: with a duration, references, additions such as alpha.
fn block_group(nodes: &mut Vec<Node>, random: &mut Random) {
    let length = random.few(100);
    let addition = vec![number(b"\xee", random.below(5) as u64), Node::data(b"\xa5", random.bytes(length))];
    let additions = Node::nodes(b"\x75\xa1", &[], vec![Node::nodes(b"\xa6", &[], addition)]);
    let others = vec![number(b"\x9b", random.number(8)), number(b"\xfb", random.number(8)), additions];
    if let Some(node) = one(nodes, &[SIMPLE_BLOCK], random)
        && let Body::Data(data) = &node.body
    {
        let block = vec![Node::data(BLOCK, data.clone())];
        *node = Node::nodes(b"\xa0", &[], [block, others].concat());
    }
}

/// The size of a stream whose end was not known when it was written.
fn unknown_size(nodes: &mut Vec<Node>, random: &mut Random) {
    let id = random.pick(&[SEGMENT, CLUSTER, TRACK]);
    all(nodes, &[id]).into_iter().for_each(|node| node.claims = Some(u64::MAX));
}

/// Tags, chapters, attachments, cues, voids and checksums, with anything in them.
fn side_element(nodes: &mut Vec<Node>, random: &mut Random) {
    let id = random.pick(&[
        b"\x12\x54\xc3\x67".as_slice(),
        b"\x10\x43\xa7\x70",
        b"\x19\x41\xa4\x69",
        b"\x1c\x53\xbb\x6b",
        b"\x11\x4d\x9b\x74",
        b"\xec",
        b"\xbf",
        b"\xa3",
    ]);
    let length = random.few_or_many(100, 10, 100_000);
    insert_into(nodes, &[SEGMENT, CLUSTER, TRACK], Node::data(id, random.bytes(length)), random);
}

/// What the file says that it is.
fn document(nodes: &mut Vec<Node>, random: &mut Random) {
    let kind =
        random.pick(&["webm", "matroska", "", "avi", "matroska\0\0\0", "a kind that nobody has heard of"]);
    let value = random.number(4);
    match random.below(3) {
        0 => put(nodes, Node::data(b"\x42\x82", kind), b"\x1a\x45\xdf\xa3", random),
        1 => put(nodes, number(b"\x42\xf2", value), b"\x1a\x45\xdf\xa3", random),
        _ => put(nodes, number(b"\x42\xf3", value), b"\x1a\x45\xdf\xa3", random),
    }
}
