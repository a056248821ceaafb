//! The layers: what each crate names of ours, and what it never reaches.

use crate::tree::Tree;

/// The rules of one crate.
pub(crate) struct Layer {
    pub(crate) name: &'static str,
    /// The crates of ours that it names, exactly; none for crates at the edge, which may name any.
    ours: Option<&'static [&'static str]>,
    /// What it must not reach by any path, and why.
    never: &'static [(Family, &'static str)],
}

/// Crates that stand for one ability.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Burn,
    Zip,
    Image,
    Ffmpeg,
    Http,
}

const NO_TENSORS: (Family, &str) =
    (Family::Burn, "preprocessing and billing build without a tensor framework");
const NO_ARCHIVES: (Family, &str) = (Family::Zip, "only archives are read with zip, and only by dataset-zip");
const NO_PIXELS: (Family, &str) = (Family::Image, "only mask-norm decodes pictures");
const NO_VIDEO: (Family, &str) = (Family::Ffmpeg, "only video-fit touches FFmpeg");
const NO_NETWORK: (Family, &str) = (Family::Http, "only inpaint-trainer fetches");
const MUST_BUILD_ANYWHERE: [(Family, &str); 5] = [
    (Family::Burn, "xtask builds in seconds"),
    (Family::Zip, "xtask depends on small crates only"),
    (Family::Image, "xtask depends on small crates only"),
    (Family::Ffmpeg, "xtask installs FFmpeg where it is missing"),
    (Family::Http, "xtask depends on small crates only"),
];

/// One row a crate, from the vocabulary up.
pub(crate) const LAYERS: [Layer; 13] = [
    Layer {
        name: "tensor-batch",
        ours: Some(&[]),
        never: &[NO_TENSORS, NO_ARCHIVES, NO_PIXELS, NO_VIDEO, NO_NETWORK],
    },
    Layer {
        name: "dataset-zip",
        ours: Some(&["tensor-batch"]),
        never: &[NO_TENSORS, NO_PIXELS, NO_VIDEO, NO_NETWORK],
    },
    Layer {
        name: "mask-norm",
        ours: Some(&["tensor-batch"]),
        never: &[NO_TENSORS, NO_ARCHIVES, NO_VIDEO, NO_NETWORK],
    },
    Layer {
        name: "video-fit",
        ours: Some(&["tensor-batch"]),
        never: &[NO_TENSORS, NO_ARCHIVES, NO_PIXELS, NO_NETWORK],
    },
    Layer {
        name: "ltx-model",
        ours: Some(&["tensor-batch"]),
        never: &[NO_ARCHIVES, NO_PIXELS, NO_VIDEO, NO_NETWORK],
    },
    Layer {
        name: "lora-train",
        ours: Some(&["ltx-model", "tensor-batch"]),
        never: &[NO_ARCHIVES, NO_PIXELS, NO_VIDEO, NO_NETWORK],
    },
    Layer {
        name: "billing",
        ours: Some(&[]),
        never: &[NO_TENSORS, NO_ARCHIVES, NO_PIXELS, NO_VIDEO, NO_NETWORK],
    },
    Layer {
        name: "inpaint-trainer",
        ours: Some(&[
            "billing",
            "dataset-zip",
            "lora-train",
            "ltx-model",
            "mask-norm",
            "tensor-batch",
            "video-fit",
        ]),
        never: &[],
    },
    Layer { name: "inpaint-cli", ours: Some(&["inpaint-trainer", "tensor-batch"]), never: &[] },
    Layer { name: "service", ours: Some(&["inpaint-trainer"]), never: &[] },
    Layer { name: "xtask", ours: Some(&[]), never: &MUST_BUILD_ANYWHERE },
    Layer { name: "tests", ours: None, never: &[] },
    Layer { name: "benches", ours: None, never: &[] },
];

/// The only crate whose manifest may name a member of [`Family::Ffmpeg`].
const VIDEO_CRATE: &str = "video-fit";

/// What is wrong with the tree of one crate.
pub(crate) fn faults(layer: &Layer, tree: &Tree) -> Vec<String> {
    let mut faults: Vec<String> = layer.never.iter().filter_map(|rule| reached(layer, tree, *rule)).collect();
    faults.extend(layer.ours.and_then(|drawn| wrong_edges(layer.name, drawn, tree)));
    faults.extend(named_video(layer.name, tree));
    faults
}

fn reached(layer: &Layer, tree: &Tree, (family, reason): (Family, &str)) -> Option<String> {
    let path = tree.path_to(|name| family.holds(name))?;
    let found = path.last()?;
    Some(format!("{} reaches {found}: {reason}\n    {}", layer.name, path.join(" -> ")))
}

fn wrong_edges(name: &str, drawn: &[&str], tree: &Tree) -> Option<String> {
    let mut ours: Vec<&str> = tree.direct().filter(|name| is_ours(name)).collect();
    ours.sort_unstable();
    ours.dedup();
    let list = |names: &[&str]| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    (ours != drawn).then(|| format!("{name} names {} of ours, drawn are {}", list(&ours), list(drawn)))
}

fn named_video(name: &str, tree: &Tree) -> Option<String> {
    let found = tree.direct().find(|found| name != VIDEO_CRATE && Family::Ffmpeg.holds(found))?;
    Some(format!("{name} names {found}: only {VIDEO_CRATE} may"))
}

fn is_ours(name: &str) -> bool {
    LAYERS.iter().any(|layer| layer.name == name)
}

impl Family {
    fn holds(self, name: &str) -> bool {
        match self {
            Self::Burn => name == "burn" || name.starts_with("burn-"),
            Self::Zip => name == "zip",
            Self::Image => name == "image",
            Self::Ffmpeg => ["video-rs", "ffmpeg-next", "ffmpeg-sys-next"].contains(&name),
            Self::Http => ["ureq", "reqwest", "hyper", "curl"].contains(&name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults_of(name: &str, tree: &str) -> Vec<String> {
        let layer = LAYERS.iter().find(|layer| layer.name == name).unwrap();
        faults(layer, &Tree::parse(tree).unwrap())
    }

    #[test]
    fn a_tree_as_drawn_is_clean() {
        let tree = "0lora-train v0.1.0\n1ltx-model v0.1.0\n2tensor-batch v0.1.0\n1tensor-batch v0.1.0\n1burn v0.22.1\n";
        assert_eq!(faults_of("lora-train", tree), Vec::<String>::new());
    }

    #[test]
    fn a_forbidden_crate_is_found_at_any_depth_with_its_path() {
        let tree = "0lora-train v0.1.0\n1tensor-batch v0.1.0\n1ltx-model v0.1.0\n2tensor-batch v0.1.0 (*)\n\
                    2burn v0.22.1\n3burn-store v0.22.1\n4zip v9.4.1\n";
        let faults = faults_of("lora-train", tree);
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(faults[0].starts_with("lora-train reaches zip: "));
        assert!(faults[0].ends_with("lora-train -> ltx-model -> burn -> burn-store -> zip"), "{}", faults[0]);
    }

    #[test]
    fn every_crate_of_burn_counts_as_burn() {
        for found in ["burn", "burn-tensor"] {
            let tree = format!("0billing v0.1.0\n1{found} v0.22.1\n");
            assert_eq!(faults_of("billing", &tree).len(), 1, "{found}");
        }
        assert_eq!(faults_of("billing", "0billing v0.1.0\n1burnish v1.0.0\n").len(), 0);
    }

    #[test]
    fn an_edge_that_is_not_drawn_and_a_drawn_edge_that_is_missing_are_faults() {
        let more = faults_of("mask-norm", "0mask-norm v0.1.0\n1dataset-zip v0.1.0\n1tensor-batch v0.1.0\n");
        assert_eq!(more, ["mask-norm names dataset-zip, tensor-batch of ours, drawn are tensor-batch"]);
        let less = faults_of("mask-norm", "0mask-norm v0.1.0\n1thiserror v2.0.0\n");
        assert_eq!(less, ["mask-norm names none of ours, drawn are tensor-batch"]);
    }

    #[test]
    fn ffmpeg_may_be_reached_from_above_but_named_only_by_video_fit() {
        let reach = "0tests v0.1.0\n1video-fit v0.1.0\n2video-rs v0.12.0\n";
        assert_eq!(faults_of("tests", reach), Vec::<String>::new());
        let name = "0tests v0.1.0\n1ffmpeg-next v9.0.0\n";
        assert_eq!(faults_of("tests", name), ["tests names ffmpeg-next: only video-fit may"]);
    }

    #[test]
    fn drawn_edges_are_sorted_so_that_they_can_be_compared() {
        let sorted = |layer: &Layer| layer.ours.is_none_or(|ours| ours.is_sorted());
        assert!(LAYERS.iter().all(sorted));
    }
}
