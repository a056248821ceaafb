//! RIFF: chunks of WebP and AVI.

use super::{bytes::Order, tree::Node};

/// Reads chunks; `RIFF` and `LIST` hold a kind and more chunks.
pub(crate) fn read(file: &[u8]) -> Vec<Node> {
    let mut nodes = Vec::new();
    let mut rest = file;
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
    let size = Order::Little.get(bytes, 4, 4) as usize;
    let data = bytes.get(8..size.checked_add(8)?)?;
    let padding = bytes.get(8 + size..8 + size + size % 2)?;
    if padding.iter().any(|byte| *byte != 0) {
        return None;
    }
    let id = &bytes[..4];
    let node = match data.split_at_checked(4) {
        Some((kind, chunks)) if id == b"RIFF" || id == b"LIST" => Node::nodes(id, kind, read(chunks)),
        _ => Node::data(id, data),
    };
    Some((node, &bytes[8 + size + size % 2..]))
}

/// Writes chunks with their sizes.
pub(crate) fn write(nodes: &[Node]) -> Vec<u8> {
    let mut file = Vec::new();
    for node in nodes {
        let data = node.content(write);
        if node.id.is_empty() {
            file.extend(data);
            continue;
        }
        let padding = data.len() % 2;
        file.extend(&node.id);
        file.extend((node.stated(data.len()) as u32).to_le_bytes());
        file.extend(data);
        file.extend(vec![0; padding]);
    }
    file
}
