//! Matroska and WebM: EBML elements.

use super::{
    bytes::Order,
    tree::{Format, Node},
};

mod tweaks;

pub(crate) const MATROSKA: Format = Format { order: Order::Big, read, write, tweaks: tweaks::ALL };

/// Elements that hold elements.
const CONTAINERS: [&[u8]; 27] = [
    b"\x1a\x45\xdf\xa3", // EBML
    b"\x18\x53\x80\x67", // Segment
    b"\x11\x4d\x9b\x74", // SeekHead
    b"\x4d\xbb",         // Seek
    b"\x15\x49\xa9\x66", // Info
    b"\x16\x54\xae\x6b", // Tracks
    b"\xae",             // TrackEntry
    b"\xe0",             // Video
    b"\x55\xb0",         // Colour
    b"\x55\xd0",         // MasteringMetadata
    b"\x76\x70",         // Projection
    b"\x6d\x80",         // ContentEncodings
    b"\x62\x40",         // ContentEncoding
    b"\x50\x34",         // ContentCompression
    b"\x50\x35",         // ContentEncryption
    b"\x1f\x43\xb6\x75", // Cluster
    b"\xa0",             // BlockGroup
    b"\x75\xa1",         // BlockAdditions
    b"\xa6",             // BlockMore
    b"\x1c\x53\xbb\x6b", // Cues
    b"\xbb",             // CuePoint
    b"\xb7",             // CueTrackPositions
    b"\x12\x54\xc3\x67", // Tags
    b"\x73\x73",         // Tag
    b"\x63\xc0",         // Targets
    b"\x67\xc8",         // SimpleTag
    b"\x19\x41\xa4\x69", // Attachments
];

fn read(bytes: &[u8]) -> Vec<Node> {
    let mut nodes = Vec::new();
    let mut rest = bytes;
    while let Some((node, after)) = split_element(rest) {
        nodes.push(node);
        rest = after;
    }
    if !rest.is_empty() {
        nodes.push(Node::raw(rest));
    }
    nodes
}

fn split_element(bytes: &[u8]) -> Option<(Node, &[u8])> {
    let id_bytes = length(bytes, 4)?;
    let size_bytes = length(bytes.get(id_bytes..)?, 8)?;
    let header = id_bytes + size_bytes;
    let size = Order::Big.get(bytes, id_bytes, size_bytes) ^ 1 << (7 * size_bytes);
    let end = header.checked_add(usize::try_from(size).ok()?)?;
    let (id, content) = (&bytes[..id_bytes], bytes.get(header..end)?);
    let node = match CONTAINERS.contains(&id) {
        true => Node::nodes(id, &[], read(content)),
        false => Node::data(id, content),
    };
    Some((Node { size_bytes, ..node }, &bytes[end..]))
}

/// Bytes of the number that begins here, which the zeros before its first one tell.
fn length(bytes: &[u8], longest: usize) -> Option<usize> {
    let length = bytes.first()?.leading_zeros() as usize + 1;
    (length <= longest && length <= bytes.len()).then_some(length)
}

fn write(nodes: &[Node]) -> Vec<u8> {
    let mut file = Vec::new();
    for node in nodes {
        let content = node.content(write);
        if !node.id.is_empty() {
            file.extend(&node.id);
            file.extend(size_field(node.stated(content.len()), node.size_bytes));
        }
        file.extend(content);
    }
    file
}

/// A size in `bytes` bytes, or in more where it needs them; all ones, an unknown size, where even 8 are too few.
fn size_field(size: u64, bytes: usize) -> Vec<u8> {
    let enough = (bytes.max(1)..8).find(|bytes| size < (1 << (7 * bytes)) - 1).unwrap_or(8);
    let size = size.min((1 << 56) - 1);
    (size | 1 << (7 * enough)).to_be_bytes()[8 - enough..].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz::{seeds::clip, tree::tests::check_format};

    #[test]
    fn clips_are_written_as_they_were() {
        let names = ["made/bt601.mkv", "made/odd-size.webm", "made/alpha.webm", "made/variable-rate.mkv"];
        check_format(&MATROSKA, &names.map(|name| clip(name).unwrap()));
    }

    #[test]
    fn sizes_take_as_many_bytes_as_they_need() {
        assert_eq!(size_field(5, 0), [0x85]);
        assert_eq!(size_field(126, 1), [0xfe]);
        assert_eq!(size_field(127, 1), [0x40, 127]);
        assert_eq!(size_field(5, 8), [1, 0, 0, 0, 0, 0, 0, 5]);
        assert_eq!(size_field(u64::MAX, 1), [1, 255, 255, 255, 255, 255, 255, 255]);
    }
}
