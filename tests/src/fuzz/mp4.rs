//! MP4 and MOV: boxes. Chunk offsets follow their data when boxes before it grow or shrink.

use super::{
    bytes::{Order, havoc},
    tree::{Body, Format, Node, all},
};

mod tweaks;

pub(crate) const MP4: Format =
    Format { order: Order::Big, read: read_file, write: write_file, tweaks: tweaks::ALL };

/// Boxes that hold boxes, and how many bytes lie before those.
const CONTAINERS: [(&[u8], usize); 22] = [
    (b"moov", 0),
    (b"trak", 0),
    (b"mdia", 0),
    (b"minf", 0),
    (b"stbl", 0),
    (b"dinf", 0),
    (b"edts", 0),
    (b"udta", 0),
    (b"mvex", 0),
    (b"moof", 0),
    (b"traf", 0),
    (b"mfra", 0),
    (b"gmhd", 0),
    (b"tref", 0),
    (b"sinf", 0),
    (b"schi", 0),
    (b"wave", 0),
    (b"tapt", 0),
    (b"ilst", 0),
    (b"meta", 4),
    (b"dref", 8),
    (b"stsd", 8),
];
/// Bytes of a visual sample entry before its boxes.
const VISUAL_ENTRY: usize = 78;

/// Reads a file. Chunk offsets become relative to the data, so that they can follow it.
fn read_file(file: &[u8]) -> Vec<Node> {
    let mut nodes = read(file, b"");
    let start = data_start(&nodes);
    shift_chunks(&mut nodes, start.wrapping_neg());
    nodes
}

fn write_file(nodes: &[Node]) -> Vec<u8> {
    let mut nodes = nodes.to_vec();
    let start = data_start(&nodes);
    shift_chunks(&mut nodes, start);
    write(&nodes)
}

fn read(bytes: &[u8], parent: &[u8]) -> Vec<Node> {
    let mut nodes = Vec::new();
    let mut rest = bytes;
    while let Some((node, after)) = split_box(rest, parent) {
        nodes.push(node);
        rest = after;
    }
    if !rest.is_empty() {
        nodes.push(Node::raw(rest));
    }
    nodes
}

fn split_box<'a>(bytes: &'a [u8], parent: &[u8]) -> Option<(Node, &'a [u8])> {
    let short = Order::Big.get(bytes, 0, 4);
    let (size, header) = if short == 1 { (Order::Big.get(bytes, 8, 8), 16) } else { (short, 8) };
    let content = bytes.get(header..usize::try_from(size).ok()?)?;
    let id = &bytes[4..8];
    let head = match parent {
        b"stsd" => Some(VISUAL_ENTRY),
        _ => CONTAINERS.iter().find(|(name, _)| *name == id).map(|(_, head)| *head),
    };
    let node = match head.and_then(|head| content.split_at_checked(head)) {
        Some((head, boxes)) => Node::nodes(id, head, read(boxes, id)),
        None => Node::data(id, content),
    };
    Some((Node { size_bytes: header - 8, ..node }, &bytes[size as usize..]))
}

fn write(nodes: &[Node]) -> Vec<u8> {
    let mut file = Vec::new();
    for node in nodes {
        let content = node.content(write);
        if !node.id.is_empty() {
            let size = node.stated(content.len() + 8 + node.size_bytes);
            let short = if node.size_bytes == 0 { size as u32 } else { 1 };
            file.extend(short.to_be_bytes());
            file.extend(&node.id);
            file.extend(&size.to_be_bytes()[8 - node.size_bytes..]);
        }
        file.extend(content);
    }
    file
}

/// Where the content of the first box of data begins; 0 without one.
fn data_start(nodes: &[Node]) -> u64 {
    let Some(at) = nodes.iter().position(|node| node.id == b"mdat") else { return 0 };
    (write(&nodes[..at]).len() + 8 + nodes[at].size_bytes) as u64
}

/// Adds to every chunk offset.
fn shift_chunks(nodes: &mut [Node], by: u64) {
    for table in all(nodes, &[b"stco", b"co64"]) {
        let width = if table.id == b"stco" { 4 } else { 8 };
        let Some(data) = table.data_mut() else { continue };
        for at in (8..data.len().saturating_sub(width - 1)).step_by(width) {
            let offset = Order::Big.get(data, at, width).wrapping_add(by);
            Order::Big.put(data, at, width, offset);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz::{seeds::clip, tree::tests::check_format};

    #[test]
    fn clips_are_written_as_they_were() {
        let names = ["made/bt709.mp4", "made/alpha.mov", "made/bt2020-10bit.mp4", "bunny-too-short.mp4"];
        check_format(&MP4, &names.map(|name| clip(name).unwrap()));
    }

    #[test]
    fn chunk_offsets_follow_their_data() {
        let file = clip("made/alpha.mov").unwrap();
        let mut nodes = read_file(&file);
        nodes.insert(1, Node::data(b"free", [0; 100]));
        let longer = write_file(&nodes);
        let first_chunk = |file: &[u8]| {
            let at = file.windows(4).position(|id| id == b"stco").unwrap() + 12;
            Order::Big.get(file, at, 4)
        };
        assert_eq!(longer.len(), file.len() + 108);
        assert_eq!(first_chunk(&longer), first_chunk(&file) + 108);
    }
}
