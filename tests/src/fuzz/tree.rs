//! Files as trees of named nodes, and mutations of such trees: what boxes, elements, chunks and segments share.

use super::{
    bytes::{Order, havoc, splice},
    random::Random,
};

/// A box, element, chunk or segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    /// Its name as in the file. Bytes that are none of the format's nodes have no name.
    pub(crate) id: Vec<u8>,
    pub(crate) body: Body,
    /// The size to state where that is to be a lie.
    pub(crate) claims: Option<u64>,
    /// Bytes of the size field, for formats that have a choice; 0 for the usual.
    pub(crate) size_bytes: usize,
}

/// So much may be added to a file by copying: the spoilt file is to be hard to read, and not to be had by its size.
pub(crate) const MOST_BYTES: usize = 1 << 18;

/// What is in a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Body {
    Data(Vec<u8>),
    /// Nodes after some bytes that are none.
    Nodes(Vec<u8>, Vec<Node>),
}

impl Node {
    pub(crate) fn data(id: &[u8], data: impl Into<Vec<u8>>) -> Self {
        Self { id: id.to_vec(), body: Body::Data(data.into()), claims: None, size_bytes: 0 }
    }

    /// Bytes that are no node of the format.
    pub(crate) fn raw(bytes: &[u8]) -> Self {
        Self::data(&[], bytes)
    }

    pub(crate) fn nodes(id: &[u8], head: &[u8], nodes: Vec<Self>) -> Self {
        Self { id: id.to_vec(), body: Body::Nodes(head.to_vec(), nodes), claims: None, size_bytes: 0 }
    }

    pub(crate) fn data_mut(&mut self) -> Option<&mut Vec<u8>> {
        match &mut self.body {
            Body::Data(data) => Some(data),
            Body::Nodes(..) => None,
        }
    }

    /// What is in the node as bytes, its nodes written by `write`.
    pub(crate) fn content(&self, write: fn(&[Self]) -> Vec<u8>) -> Vec<u8> {
        match &self.body {
            Body::Data(data) => data.clone(),
            Body::Nodes(head, nodes) => [head.as_slice(), &write(nodes)].concat(),
        }
    }

    /// About how many bytes it takes.
    pub(crate) fn weight(&self) -> usize {
        let inside = match &self.body {
            Body::Data(data) => data.len(),
            Body::Nodes(head, nodes) => head.len() + nodes.iter().map(Self::weight).sum::<usize>(),
        };
        inside + 8
    }

    /// The size to state.
    pub(crate) fn stated(&self, true_size: usize) -> u64 {
        self.claims.unwrap_or(true_size as u64)
    }
}

/// Changes something that a format gives a meaning.
pub(crate) type Tweak = fn(&mut Vec<Node>, &mut Random);

/// A format whose files are trees.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Format {
    pub(crate) order: Order,
    /// Reads any bytes; those that are no tree become nodes without a name.
    pub(crate) read: fn(&[u8]) -> Vec<Node>,
    /// Writes sizes and checksums anew. A tree that was read is written as it was.
    pub(crate) write: fn(&[Node]) -> Vec<u8>,
    pub(crate) tweaks: &'static [Tweak],
}

impl Format {
    /// A mutation of `file`. Some take parts of `other`, which is of the same format.
    pub(crate) fn mutate(&self, file: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
        if random.chance(12) {
            let mut bytes = if random.chance(30) { splice(file, other, random) } else { file.to_vec() };
            havoc(&mut bytes, random);
            return bytes;
        }
        let mut nodes = (self.read)(file);
        for _ in 0..random.few(4) {
            match random.pick_of(self.tweaks) {
                Some(tweak) if random.chance(60) => tweak(&mut nodes, random),
                _ => self.restructure(&mut nodes, other, random),
            }
        }
        let mut bytes = (self.write)(&nodes);
        if random.chance(15) {
            havoc(&mut bytes, random);
        }
        bytes
    }

    /// A mutation that any tree can have.
    fn restructure(&self, nodes: &mut Vec<Node>, other: &[u8], random: &mut Random) {
        let Some(path) = random.pick_of(&paths(nodes)).cloned() else { return };
        match random.below(12) {
            0 => graft(nodes, &path, &(self.read)(other), random),
            1 => transplant(nodes, &path, random),
            2 => rename(nodes, &path, random),
            3 | 4 => rearrange(nodes, &path, random),
            _ => {
                if let Some((list, i)) = list_of(nodes, &path) {
                    damage(&mut list[i], self.order, random);
                }
            }
        }
    }
}

/// The ways to all nodes: the index in each list on the way.
fn paths(nodes: &[Node]) -> Vec<Vec<usize>> {
    let mut found = Vec::new();
    for (i, node) in nodes.iter().enumerate() {
        found.push(vec![i]);
        if let Body::Nodes(_, nodes) = &node.body {
            found.extend(paths(nodes).into_iter().map(|below| [vec![i], below].concat()));
        }
    }
    found
}

/// The list that a node is in, and its place there.
fn list_of<'a>(nodes: &'a mut Vec<Node>, path: &[usize]) -> Option<(&'a mut Vec<Node>, usize)> {
    match path {
        [] => None,
        [i] => (*i < nodes.len()).then_some((nodes, *i)),
        [i, below @ ..] => match &mut nodes.get_mut(*i)?.body {
            Body::Nodes(_, nodes) => list_of(nodes, below),
            Body::Data(_) => None,
        },
    }
}

fn node_at<'a>(nodes: &'a [Node], path: &[usize]) -> Option<&'a Node> {
    let (i, below) = path.split_first()?;
    let node = nodes.get(*i)?;
    match &node.body {
        Body::Nodes(_, nodes) if !below.is_empty() => node_at(nodes, below),
        _ => Some(node),
    }
}

/// All nodes of these names, but none inside another of them.
pub(crate) fn all<'a>(nodes: &'a mut [Node], ids: &[&[u8]]) -> Vec<&'a mut Node> {
    let mut found = Vec::new();
    for node in nodes {
        if ids.contains(&node.id.as_slice()) {
            found.push(node);
        } else if let Body::Nodes(_, below) = &mut node.body {
            found.extend(all(below, ids));
        }
    }
    found
}

/// One of the nodes of these names.
pub(crate) fn one<'a>(nodes: &'a mut [Node], ids: &[&[u8]], random: &mut Random) -> Option<&'a mut Node> {
    let mut found = all(nodes, ids);
    if found.is_empty() {
        return None;
    }
    let chosen = random.below(found.len());
    Some(found.swap_remove(chosen))
}

/// The data of one of the nodes of these names.
pub(crate) fn data_of<'a>(
    nodes: &'a mut [Node],
    ids: &[&[u8]],
    random: &mut Random,
) -> Option<&'a mut Vec<u8>> {
    one(nodes, ids, random)?.data_mut()
}

/// Puts `node` anywhere into one of the nodes of these names.
pub(crate) fn insert_into(nodes: &mut [Node], ids: &[&[u8]], node: Node, random: &mut Random) {
    if let Some(Node { body: Body::Nodes(_, list), .. }) = one(nodes, ids, random) {
        list.insert(random.below(list.len() + 1), node);
    }
}

/// Puts a node of another tree here; one of the same name, if there is one.
fn graft(nodes: &mut Vec<Node>, path: &[usize], donor: &[Node], random: &mut Random) {
    let Some((list, i)) = list_of(nodes, path) else { return };
    let donors: Vec<&Node> = paths(donor).iter().filter_map(|path| node_at(donor, path)).collect();
    let named: Vec<&Node> = donors.iter().copied().filter(|node| node.id == list[i].id).collect();
    let from = if named.is_empty() { donors } else { named };
    if let Some(node) = random.pick_of(&from) {
        list[i] = (*node).clone();
    }
}

/// Copies a node to another place.
fn transplant(nodes: &mut Vec<Node>, path: &[usize], random: &mut Random) {
    let Some(node) = node_at(nodes, path).cloned() else { return };
    let to = random.pick_of(&paths(nodes)).cloned().unwrap_or_default();
    if let Some((list, i)) = list_of(nodes, &to) {
        list.insert(i, node);
    }
}

/// Gives a node the name of another one, or one that is nearly its own.
fn rename(nodes: &mut Vec<Node>, path: &[usize], random: &mut Random) {
    let other =
        random.pick_of(&paths(nodes)).and_then(|path| node_at(nodes, path)).map(|node| node.id.clone());
    let Some((list, i)) = list_of(nodes, path) else { return };
    match other {
        Some(other) if random.chance(70) => list[i].id = other,
        _ => Order::Big.change_any(&mut list[i].id, random),
    }
}

fn rearrange(nodes: &mut Vec<Node>, path: &[usize], random: &mut Random) {
    let Some((list, i)) = list_of(nodes, path) else { return };
    match random.below(4) {
        0 => drop(list.remove(i)),
        1 => {
            let affordable = MOST_BYTES / list[i].weight() + 1;
            let copies = random.few_or_many(3, 5, 300).min(affordable);
            let copies = vec![list[i].clone(); copies];
            list.splice(i..i, copies);
        }
        2 => {
            let other = random.below(list.len());
            list.swap(i, other);
        }
        _ => {
            let affordable = 16 * MOST_BYTES / list[i].weight() + 1;
            let depth = random.few_or_many(4, 20, 400).min(affordable);
            for _ in 0..depth {
                let id = list[i].id.clone();
                let inner = std::mem::replace(&mut list[i], Node::raw(&[]));
                list[i] = Node::nodes(&id, &[], vec![inner]);
            }
        }
    }
}

/// Damages one node: its size, the bytes before its nodes, or its data.
fn damage(node: &mut Node, order: Order, random: &mut Random) {
    if random.chance(15) {
        node.claims = Some(random.number(8));
        return;
    }
    let data = match &mut node.body {
        Body::Data(data) => data,
        Body::Nodes(head, _) => head,
    };
    match random.below(8) {
        0 => data.clear(),
        1 => {
            let zeros = random.few_or_many(32, 10, 1 << 16);
            let at = random.below(data.len() + 1);
            data.splice(at..at, vec![0; zeros]);
        }
        2 | 3 => havoc(data, random),
        _ => (0..random.few(4)).for_each(|_| order.change_any(data, random)),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A tree that is written as it was read, and mutations that are mutations: most differ, all end.
    pub(crate) fn check_format(format: &Format, files: &[Vec<u8>]) {
        for (i, file) in files.iter().enumerate() {
            assert!((format.write)(&(format.read)(file)) == *file, "file {i} is written otherwise");
            let mutate = |case| {
                let other = &files[(i + 1) % files.len()];
                format.mutate(file, other, &mut Random::new(3, "format", case))
            };
            assert!(mutate(5) == mutate(5));
            let changed = (0..200).filter(|case| mutate(*case) != *file).count();
            assert!(changed > 150, "{changed} of 200 mutations of file {i} change it");
        }
    }

    fn tree() -> Vec<Node> {
        vec![
            Node::data(b"a", "1"),
            Node::nodes(b"b", b"", vec![Node::data(b"c", "2"), Node::data(b"a", "3")]),
        ]
    }

    #[test]
    fn every_node_has_a_path() {
        assert_eq!(paths(&tree()), [vec![0], vec![1], vec![1, 0], vec![1, 1]]);
        assert_eq!(node_at(&tree(), &[1, 0]).map(|node| node.id.clone()), Some(b"c".to_vec()));
        assert!(list_of(&mut tree(), &[1, 2]).is_none() && list_of(&mut tree(), &[0, 0]).is_none());
    }

    #[test]
    fn nodes_are_found_by_name_at_any_depth() {
        let mut tree = tree();
        let data: Vec<_> =
            all(&mut tree, &[b"a"]).into_iter().filter_map(|n| n.data_mut().cloned()).collect();
        assert_eq!(data, [b"1", b"3"]);
        assert!(one(&mut tree, &[b"x"], &mut Random::new(0, "", 0)).is_none());
    }
}
