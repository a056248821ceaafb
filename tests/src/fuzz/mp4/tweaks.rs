//! Mutations that know what is in a box.
#![allow(clippy::ptr_arg, reason = "a tweak may add nodes, and all tweaks have one type")]

use super::{Body, Node, Order, havoc};
use crate::fuzz::{
    random::Random,
    tree::{Tweak, data_of, insert_into, one},
};

pub(super) const ALL: &[Tweak] = &[
    display,
    clock,
    durations,
    reordering,
    sizes,
    chunks,
    offsets,
    sync_samples,
    edits,
    handler,
    other_file,
    codec,
    codec,
    entry,
    entry,
    codec_header,
    codec_header,
    colour,
    chapters,
    fragment,
    encryption,
    comments,
    coded,
    coded,
    coded,
];

/// Codecs that a file may name: what is coded then is read by another decoder.
const CODECS: [&[u8; 4]; 40] = [
    b"avc1", b"avc3", b"hvc1", b"hev1", b"vp08", b"vp09", b"av01", b"mp4v", b"jpeg", b"mjp2", b"mjpa",
    b"mjpb", b"png ", b"tiff", b"gif ", b"rle ", b"smc ", b"rpza", b"cvid", b"SVQ1", b"SVQ3", b"raw ",
    b"2vuy", b"v210", b"apcn", b"ap4h", b"AVdn", b"AVdh", b"dvc ", b"dvh5", b"h263", b"s263", b"8BPS",
    b"qdrw", b"icod", b"CFHD", b"Hap1", b"SHQ0", b"FFV1", b"encv",
];

/// A box with a version, flags and numbers of 4 bytes.
fn table(id: &[u8; 4], version: u8, numbers: &[u64]) -> Node {
    let numbers = numbers.iter().flat_map(|number| (*number as u32).to_be_bytes());
    Node::data(id, [version, 0, 0, 0].into_iter().chain(numbers).collect::<Vec<_>>())
}

/// A table of up to 40 rows of `columns` numbers, whose count is mostly right.
fn any_table(id: &[u8; 4], columns: usize, random: &mut Random) -> Node {
    let rows = random.below(40);
    let count = if random.chance(80) { rows as u64 } else { random.number(4) };
    let mut cell = || if random.chance(60) { random.below(20) as u64 } else { random.number(4) };
    let mut numbers = vec![count];
    numbers.extend((0..rows * columns).map(|_| cell()));
    table(id, 0, &numbers)
}

/// Replaces a box, or adds it to one of `parents`.
fn put(nodes: &mut [Node], node: Node, parents: &[&[u8]], random: &mut Random) {
    let id = node.id.clone();
    match one(nodes, &[&id], random) {
        Some(old) => *old = node,
        None => insert_into(nodes, parents, node, random),
    }
}

/// The display matrix, and the size to show.
fn display(nodes: &mut Vec<Node>, random: &mut Random) {
    let value = random.pick(&[0, 0x1_0000, 0xffff_0000, 0x8000_0000, 0x4000_0000, 1, 0xb504, 0xffff_ffff]);
    let element = random.below(11);
    if let Some(data) = data_of(nodes, &[b"tkhd"], random) {
        let start = if data.first() == Some(&1) { 52 } else { 40 };
        Order::Big.put(data, start + 4 * element, 4, value);
    }
}

/// Time scale and duration of the file, the track, the media.
fn clock(nodes: &mut Vec<Node>, random: &mut Random) {
    let at = random.pick(&[0, 4, 8, 12, 16, 20]);
    if let Some(data) = data_of(nodes, &[b"mvhd", b"mdhd", b"tkhd"], random) {
        Order::Big.change(data, at, 4, random);
    }
}

fn durations(nodes: &mut Vec<Node>, random: &mut Random) {
    put(nodes, any_table(b"stts", 2, random), &[b"stbl"], random);
}

fn reordering(nodes: &mut Vec<Node>, random: &mut Random) {
    put(nodes, any_table(b"ctts", 2, random), &[b"stbl"], random);
}

fn sizes(nodes: &mut Vec<Node>, random: &mut Random) {
    let Some(data) = data_of(nodes, &[b"stsz", b"stz2"], random) else { return };
    match random.below(3) {
        0 => Order::Big.put(data, 4, 4, random.number(4)),
        1 => Order::Big.change(data, 8, 4, random),
        _ => {
            let sample = random.below(data.len() / 4);
            Order::Big.change(data, 4 * sample, 4, random);
        }
    }
}

fn chunks(nodes: &mut Vec<Node>, random: &mut Random) {
    put(nodes, any_table(b"stsc", 3, random), &[b"stbl"], random);
}

fn offsets(nodes: &mut Vec<Node>, random: &mut Random) {
    if let Some(data) = data_of(nodes, &[b"stco", b"co64"], random) {
        let entry = random.below(data.len() / 4);
        Order::Big.change(data, 4 * entry, 4, random);
    }
}

fn sync_samples(nodes: &mut Vec<Node>, random: &mut Random) {
    let id = random.pick(&[b"stss", b"stps", b"sdtp", b"sbgp", b"sgpd", b"cslg"]);
    put(nodes, any_table(id, 1, random), &[b"stbl"], random);
}

fn edits(nodes: &mut Vec<Node>, random: &mut Random) {
    let list = any_table(b"elst", 3, random);
    if one(nodes, &[b"edts"], random).is_some() {
        return put(nodes, list, &[b"edts"], random);
    }
    insert_into(nodes, &[b"trak"], Node::nodes(b"edts", &[], vec![list]), random);
}

fn handler(nodes: &mut Vec<Node>, random: &mut Random) {
    let kind =
        random.pick(&[b"vide", b"soun", b"text", b"hint", b"tmcd", b"meta", b"subt", b"clcp", b"\0\0\0\0"]);
    if let Some(data) = data_of(nodes, &[b"hdlr"], random) {
        Order::Big.put(data, 8, 4, u64::from(u32::from_be_bytes(*kind)));
    }
}

/// Data references to files and hosts, in the two forms that there are.
fn other_file(nodes: &mut Vec<Node>, random: &mut Random) {
    let url = random.pick(&[
        "file:///etc/passwd",
        "http://127.0.0.1:9/a.mp4",
        "concat:/etc/passwd|/etc/hosts",
        "../input.mp4",
        "/dev/zero",
        "tcp://127.0.0.1:9",
        "",
    ]);
    let reference = if random.chance(50) {
        Node::data(b"url ", [&[0, 0, 0, 0], url.as_bytes(), &[0]].concat())
    } else {
        Node::data(b"alis", alias(url, random))
    };
    if let Some(Node { body: Body::Nodes(_, references), .. }) = one(nodes, &[b"dref"], random) {
        *references = vec![reference];
    }
}

/// An alias record as QuickTime wrote it: sizes, volume and file name, then typed strings.
fn alias(path: &str, random: &mut Random) -> Vec<u8> {
    let mut record = vec![0; 154];
    Order::Big.put(&mut record, 8, 2, random.pick(&[0, 150, 0xffff]));
    Order::Big.put(&mut record, 14, 1, random.below(40) as u64);
    Order::Big.put(&mut record, 54, 1, random.below(80) as u64);
    for kind in [2u16, 18, random.number(2) as u16] {
        record.extend(kind.to_be_bytes());
        record.extend((path.len() as u16).to_be_bytes());
        record.extend(path.as_bytes());
        record.extend(vec![0; path.len() % 2]);
    }
    record.extend([0xff, 0xff, 0, 0]);
    record
}

fn codec(nodes: &mut Vec<Node>, random: &mut Random) {
    let codec = random.pick(&CODECS);
    if let Some(Node { body: Body::Nodes(_, entries), .. }) = one(nodes, &[b"stsd"], random)
        && let Some(entry) = entries.first_mut()
    {
        entry.id = codec.to_vec();
    }
}

/// A sample description: width, height, depth, colour table; or several of them.
fn entry(nodes: &mut Vec<Node>, random: &mut Random) {
    let Some(Node { body: Body::Nodes(_, entries), .. }) = one(nodes, &[b"stsd"], random) else { return };
    if random.chance(15) {
        return entries.extend(entries.first().cloned());
    }
    let Some(Node { body: Body::Nodes(head, _), .. }) = entries.first_mut() else { return };
    match random.below(4) {
        0 | 1 => {
            let at = random.pick(&[24, 26]);
            let side = if random.chance(40) { random.number(2) } else { random.few(700) as u64 };
            Order::Big.put(head, at, 2, side);
        }
        2 => Order::Big.put(head, 74, 2, random.pick(&[1, 2, 4, 8, 16, 24, 32, 33, 34, 36, 40, 64, 0])),
        _ => Order::Big.change_any(head, random),
    }
}

/// The parameters that the decoder gets before any frame.
fn codec_header(nodes: &mut Vec<Node>, random: &mut Random) {
    let boxes: [&[u8]; 9] = [b"avcC", b"hvcC", b"vpcC", b"av1C", b"esds", b"glbl", b"jp2h", b"fiel", b"SMI "];
    if random.chance(15) {
        let id = random.pick(&boxes);
        let length = random.few(60);
        let extra = Node::data(id, random.bytes(length));
        if let Some(Node { body: Body::Nodes(_, entries), .. }) = one(nodes, &[b"stsd"], random)
            && let Some(Node { body: Body::Nodes(_, boxes), .. }) = entries.first_mut()
        {
            boxes.push(extra);
        }
    }
    if let Some(data) = data_of(nodes, &boxes, random) {
        havoc(data, random);
    }
}

/// Pixel shape, crop, colours, light, projection.
fn colour(nodes: &mut Vec<Node>, random: &mut Random) {
    let id = random.pick(&[b"pasp", b"clap", b"colr", b"mdcv", b"clli", b"st3d", b"sv3d", b"dvcC", b"chrm"]);
    let kind = random.pick(&[b"nclx", b"nclc", b"prof", b"rICC"]);
    let data = match id {
        b"pasp" => [random.number(4) as u32, random.number(4) as u32].map(u32::to_be_bytes).concat(),
        b"colr" => [kind.as_slice(), &random.bytes(7)].concat(),
        _ => random.bytes(40),
    };
    if let Some(Node { body: Body::Nodes(_, entries), .. }) = one(nodes, &[b"stsd"], random)
        && let Some(Node { body: Body::Nodes(_, boxes), .. }) = entries.first_mut()
    {
        boxes.insert(0, Node::data(id, data));
    }
}

/// A track that says it holds the chapters, or the time code, of itself or another.
fn chapters(nodes: &mut Vec<Node>, random: &mut Random) {
    let id = random.pick(&[b"chap", b"tmcd", b"hint", b"sync", b"vdep"]);
    let tracks: Vec<u8> = (0..random.few(4)).flat_map(|_| (random.below(4) as u32).to_be_bytes()).collect();
    let references = Node::nodes(b"tref", &[], vec![Node::data(id, tracks)]);
    insert_into(nodes, &[b"trak"], references, random);
}

/// A fragment behind everything else, announced or not.
fn fragment(nodes: &mut Vec<Node>, random: &mut Random) {
    if random.chance(80) {
        let defaults = table(b"trex", 0, &[1, 1, random.number(4), random.number(4), 0]);
        insert_into(nodes, &[b"moov"], Node::nodes(b"mvex", &[], vec![defaults]), random);
    }
    let flags = random.below(0x1000) as u32;
    let mut run = any_table(b"trun", random.pick(&[1, 2, 3, 4]), random);
    if let Some(data) = run.data_mut() {
        Order::Big.put(data, 1, 3, u64::from(flags));
    }
    let header = table(b"tfhd", 0, &[1, random.number(4), random.number(4), random.number(4)]);
    let time = table(b"tfdt", random.below(2) as u8, &[random.number(4), random.number(4)]);
    let track = Node::nodes(b"traf", &[], vec![header, time, run]);
    nodes.push(Node::nodes(b"moof", &[], vec![table(b"mfhd", 0, &[1]), track]));
    if random.chance(30) {
        nodes.insert(1, any_table(b"sidx", 3, random));
    }
    let length = random.few(400);
    nodes.push(Node::data(b"mdat", random.bytes(length)));
}

fn encryption(nodes: &mut Vec<Node>, random: &mut Random) {
    let id = random.pick(&[b"senc", b"saiz", b"saio", b"tenc", b"schm", b"frma", b"pssh", b"uuid"]);
    let length = random.few(60);
    let node =
        if random.chance(50) { any_table(id, 1, random) } else { Node::data(id, random.bytes(length)) };
    insert_into(nodes, &[b"stbl", b"moov", b"traf", b"udta"], node, random);
}

/// Metadata in its several forms, with sizes that may lie.
fn comments(nodes: &mut Vec<Node>, random: &mut Random) {
    let id =
        random.pick(&[b"\xa9nam", b"covr", b"Xtra", b"loci", b"chpl", b"keys", b"XMP_", b"CNTH", b"----"]);
    let length = random.few_or_many(60, 10, 100_000);
    let value = Node { claims: Some(random.number(4)), ..Node::data(b"data", random.bytes(length)) };
    let list = Node::nodes(b"ilst", &[], vec![Node::nodes(id, &[], vec![value])]);
    let handler = table(b"hdlr", 0, &[0, u64::from(u32::from_be_bytes(*b"mdir")), 0, 0, 0]);
    let meta = Node::nodes(b"meta", &[0; 4], vec![handler, list]);
    insert_into(nodes, &[b"moov", b"trak"], Node::nodes(b"udta", &[], vec![meta]), random);
}

/// Damages coded frames.
fn coded(nodes: &mut Vec<Node>, random: &mut Random) {
    if let Some(data) = data_of(nodes, &[b"mdat"], random) {
        havoc(data, random);
    }
}
