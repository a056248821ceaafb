//! Kinds of the folder `vae`: the video VAE, its parts, and tiling.

use super::Kind;

const FOLDER: &str = "vae";

pub(super) const KINDS: &[Kind] = &[
    Kind::not_implemented(FOLDER, "unit-causal-conv"),
    Kind::not_implemented(FOLDER, "unit-res-block"),
    Kind::not_implemented(FOLDER, "unit-down-blocks"),
    Kind::not_implemented(FOLDER, "unit-up-blocks"),
    Kind::not_implemented(FOLDER, "unit-patchify-stats"),
    Kind::not_implemented(FOLDER, "encode"),
    Kind::not_implemented(FOLDER, "decode"),
    Kind::not_implemented(FOLDER, "tiled-encode-trainer"),
    Kind::not_implemented(FOLDER, "tiled-encode-core"),
    Kind::not_implemented(FOLDER, "tiled-decode"),
    Kind::not_implemented(FOLDER, "tiling-intervals"),
];
