//! What a crate is really built from, as `cargo tree` tells it.

use crate::command::{Failure, cargo, output, root};

/// The dependencies of one crate, normal and build, in the order of a depth-first walk.
#[derive(Debug)]
pub(crate) struct Tree {
    /// Distance from the crate itself, and name.
    nodes: Vec<(usize, String)>,
}

impl Tree {
    /// Resolves the tree of one crate by itself, as if it were built alone: no features of its neighbours.
    pub(crate) fn of(name: &str) -> Result<Self, Failure> {
        let mut command = cargo();
        command.args(["tree", "-p", name, "-e", "normal,build", "--prefix", "depth"]).current_dir(root());
        Self::parse(&output(command)?)
    }

    /// Reads lines such as `1serde v1.0.0 (*)`: depth, name, version.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        let node = |line: &str| {
            let digits = line.find(|c: char| !c.is_ascii_digit())?;
            let name = line[digits..].split_whitespace().next()?;
            Some((line[..digits].parse().ok()?, name.to_owned()))
        };
        let read = |line: &str| {
            node(line)
                .ok_or_else(|| Failure::new(format!("cannot read `{line}` in the output of `cargo tree`")))
        };
        let nodes = text.lines().filter(|line| !line.is_empty()).map(read).collect::<Result<_, _>>()?;
        Ok(Self { nodes })
    }

    /// The crates that the manifest names.
    pub(crate) fn direct(&self) -> impl Iterator<Item = &str> {
        self.nodes.iter().filter(|(depth, _)| *depth == 1).map(|(_, name)| name.as_str())
    }

    /// How the crate reaches the first dependency that `wanted` picks: the crates from the root to it.
    pub(crate) fn path_to(&self, wanted: impl Fn(&str) -> bool) -> Option<Vec<&str>> {
        let mut path: Vec<&str> = Vec::new();
        for (depth, name) in &self.nodes {
            path.truncate(*depth);
            path.push(name);
            if *depth > 0 && wanted(name) {
                return Some(path);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: &str = "0top v0.1.0 (/somewhere/top)\n1left v1.0.0\n2deep v2.0.0 (proc-macro)\n\
                        1right v1.0.0 (*)\n2deeper v0.1.0\n";

    #[test]
    fn direct_dependencies_are_those_at_depth_one() {
        let tree = Tree::parse(TREE).unwrap();
        assert_eq!(tree.direct().collect::<Vec<_>>(), ["left", "right"]);
    }

    #[test]
    fn a_path_leads_from_the_crate_to_the_dependency() {
        let tree = Tree::parse(TREE).unwrap();
        assert_eq!(tree.path_to(|name| name == "deeper"), Some(vec!["top", "right", "deeper"]));
        assert_eq!(tree.path_to(|name| name == "absent"), None);
        assert_eq!(tree.path_to(|name| name == "top"), None);
    }

    #[test]
    fn an_unknown_line_is_an_error_and_no_silent_pass() {
        assert!(Tree::parse("0top v0.1.0\n[build-dependencies]\n").is_err());
    }
}
