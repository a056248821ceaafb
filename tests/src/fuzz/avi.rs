//! AVI: RIFF chunks of headers, frames and an index.
#![allow(clippy::ptr_arg, reason = "a tweak may add nodes, and all tweaks have one type")]

use super::{
    bytes::{Order, havoc},
    random::Random,
    riff,
    tree::{Body, Format, Node, all, data_of, one},
};

pub(crate) const AVI: Format = Format {
    order: Order::Little,
    read: riff::read,
    write: riff::write,
    tweaks: &[
        main_header,
        stream_header,
        stream_header,
        codec,
        codec,
        codec,
        format,
        format,
        palette,
        index,
        super_index,
        frame_name,
        coded,
        coded,
        coded,
        file_kind,
        second_stream,
    ],
};

/// Codecs that a file may name.
const CODECS: [&[u8; 4]; 56] = [
    b"MJPG",
    b"H264",
    b"HEVC",
    b"XVID",
    b"DIVX",
    b"DIV3",
    b"MP42",
    b"MPG1",
    b"MPG2",
    b"WMV1",
    b"WMV2",
    b"WMV3",
    b"WVC1",
    b"VP30",
    b"VP50",
    b"VP60",
    b"VP70",
    b"VP80",
    b"VP90",
    b"AV01",
    b"cvid",
    b"IV31",
    b"IV41",
    b"IV50",
    b"CRAM",
    b"MSVC",
    b"mrle",
    b"tscc",
    b"TSC2",
    b"FLIC",
    b"AFLC",
    b"ZMBV",
    b"HFYU",
    b"FFVH",
    b"FFV1",
    b"LAGS",
    b"UTVG",
    b"ULRG",
    b"MAGY",
    b"CSCD",
    b"FPS1",
    b"SNOW",
    b"DRAC",
    b"RV40",
    b"SVQ3",
    b"MSZH",
    b"ZLIB",
    b"LOCO",
    b"VCR1",
    b"CYUV",
    b"ASV2",
    b"RGB2",
    b"UYVY",
    b"DXSA",
    b"XMPG",
    b"\0\0\0\0",
];

/// A format of any codec, size and depth, as it also lies in Matroska.
pub(crate) fn any_format(random: &mut Random) -> Vec<u8> {
    let codec = random.pick(&CODECS);
    let (width, height) = (random.few(300) as u32, random.few(300) as u32);
    let bits = random.pick(&[1u16, 4, 8, 15, 16, 24, 32]);
    let mut format = [40, width, height].map(u32::to_le_bytes).concat();
    format.extend([1, bits].map(u16::to_le_bytes).concat());
    format.extend(codec);
    format.resize(40, 0);
    let more = random.below(64);
    format.extend(random.bytes(more));
    format
}

fn main_header(nodes: &mut Vec<Node>, random: &mut Random) {
    if let Some(data) = data_of(nodes, &[b"avih"], random) {
        Order::Little.change(data, 4 * random.below(14), 4, random);
    }
}

/// Kind, time base, start, length and sample size of a stream.
fn stream_header(nodes: &mut Vec<Node>, random: &mut Random) {
    let kind = random.pick(&[b"vids", b"auds", b"txts", b"iavs", b"mids"]);
    let Some(data) = data_of(nodes, &[b"strh"], random) else { return };
    match random.below(6) {
        0 => Order::Big.put(data, 0, 4, u64::from(u32::from_be_bytes(*kind))),
        _ => {
            let at = random.pick(&[4, 8, 16, 20, 24, 28, 32, 36, 44, 48, 52]);
            Order::Little.change(data, at, 4, random);
        }
    }
}

fn codec(nodes: &mut Vec<Node>, random: &mut Random) {
    let codec = u64::from(u32::from_be_bytes(*random.pick(&CODECS)));
    if let Some(data) = data_of(nodes, &[b"strh"], random) {
        Order::Big.put(data, 4, 4, codec);
    }
    if let Some(data) = data_of(nodes, &[b"strf"], random) {
        Order::Big.put(data, 16, 4, codec);
    }
}

/// Width, height, depth, and what the decoder gets before any frame.
fn format(nodes: &mut Vec<Node>, random: &mut Random) {
    let more = any_format(random);
    let Some(data) = data_of(nodes, &[b"strf"], random) else { return };
    match random.below(6) {
        0 => Order::Little.put(data, 4, 4, random.few(700) as u64),
        1 => Order::Little.put(data, 8, 4, random.few(700) as u64),
        2 => Order::Little.put(data, 14, 2, random.pick(&[0, 1, 2, 4, 8, 15, 16, 24, 32, 48, 64])),
        3 => data.extend(more),
        4 => *data = more,
        _ => {
            let at = random.pick(&[0, 4, 8, 12, 16, 20, 32, 36]);
            Order::Little.change(data, at, 4, random);
        }
    }
}

/// A palette behind the format, or one that changes between frames.
fn palette(nodes: &mut Vec<Node>, random: &mut Random) {
    let length = random.below(1100);
    let colours = random.bytes(length);
    if random.chance(50) {
        if let Some(data) = data_of(nodes, &[b"strf"], random) {
            Order::Little.put(data, 14, 2, random.pick(&[1, 2, 4, 8]));
            data.extend(colours);
        }
        return;
    }
    if let Some(movie) = movie(nodes) {
        movie.insert(random.below(movie.len() + 1), Node::data(b"00pc", colours));
    }
}

/// The list of frames.
fn movie(nodes: &mut [Node]) -> Option<&mut Vec<Node>> {
    all(nodes, &[b"RIFF"]).into_iter().find_map(|file| match &mut file.body {
        Body::Nodes(_, chunks) => chunks.iter_mut().find_map(|chunk| match &mut chunk.body {
            Body::Nodes(kind, frames) if kind == b"movi" => Some(frames),
            _ => None,
        }),
        Body::Data(_) => None,
    })
}

fn index(nodes: &mut Vec<Node>, random: &mut Random) {
    if let Some(data) = data_of(nodes, &[b"idx1"], random) {
        let entry = random.below(data.len() / 16);
        Order::Little.change(data, 16 * entry + 4 * random.below(4), 4, random);
    }
}

/// An OpenDML index, which may point anywhere and to itself.
fn super_index(nodes: &mut Vec<Node>, random: &mut Random) {
    let entries = random.few(6);
    let mut data = [2 + 2 * random.below(2) as u16].map(u16::to_le_bytes).concat();
    data.extend([random.below(3) as u8, random.below(2) as u8]);
    data.extend((entries as u32).to_le_bytes());
    data.extend(b"00dc");
    data.extend([0; 12]);
    for _ in 0..entries {
        let offset = if random.chance(60) { random.below(4000) as u64 } else { random.number(8) };
        data.extend(offset.to_le_bytes());
        data.extend((random.number(4) as u32).to_le_bytes());
        data.extend((random.number(4) as u32).to_le_bytes());
    }
    let id = random.pick(&[b"indx", b"ix00", b"idx1", b"dmlh", b"vprp", b"strd", b"strn", b"JUNK"]);
    super::tree::insert_into(nodes, &[b"LIST", b"RIFF"], Node::data(id, data), random);
}

/// Frames of other streams, and of streams that do not exist.
fn frame_name(nodes: &mut Vec<Node>, random: &mut Random) {
    let id = random.pick(&[b"00dc", b"00db", b"01dc", b"00wb", b"ix00", b"99dc", b"rec ", b"00pc", b"JUNK"]);
    if let Some(node) = one(nodes, &[b"00dc", b"00db"], random) {
        node.id = id.to_vec();
    }
}

/// Damages coded frames.
fn coded(nodes: &mut Vec<Node>, random: &mut Random) {
    if let Some(data) = data_of(nodes, &[b"00dc", b"00db"], random) {
        havoc(data, random);
    }
}

fn file_kind(nodes: &mut Vec<Node>, random: &mut Random) {
    let kind = random.pick(&[b"AVI ", b"AVIX", b"AVI\x19", b"movi", b"hdrl", b"strl", b"INFO", b"rec "]);
    if let Some(Node { body: Body::Nodes(old, _), .. }) = one(nodes, &[b"RIFF", b"LIST"], random) {
        *old = kind.to_vec();
    }
}

fn second_stream(nodes: &mut Vec<Node>, random: &mut Random) {
    for file in all(nodes, &[b"RIFF"]) {
        let Body::Nodes(_, chunks) = &mut file.body else { continue };
        let Some(Node { body: Body::Nodes(_, headers), .. }) = chunks.first_mut() else { continue };
        let copies = vec![headers.last().cloned(); random.few_or_many(2, 10, 120)];
        headers.extend(copies.into_iter().flatten());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz::{seeds::clip, tree::tests::check_format};

    #[test]
    fn clips_are_written_as_they_were() {
        check_format(&AVI, &["made/mjpeg.avi", "tree-cinepak-15fps.avi"].map(|name| clip(name).unwrap()));
    }
}
