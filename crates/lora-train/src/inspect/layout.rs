//! Keys of LoRA files: which end stands for what.

use serde::Serialize;

/// How a trainer writes the keys of the two factors. A is the first one that an input meets: `[rank, in]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// `.lora_A.weight`, `.lora_B.weight`: PEFT, diffusers, ComfyUI, the reference trainer, and ours.
    Peft,
    /// `.lora_A.default.weight`, `.lora_B.default.weight`: PEFT with the name of the adapter.
    PeftNamed,
    /// `.lora_A`, `.lora_B`.
    Bare,
    /// `.lora_down.weight`, `.lora_up.weight`: kohya's scripts and ComfyUI's own.
    Kohya,
    /// `.lora.down.weight`, `.lora.up.weight`: earlier diffusers.
    Diffusers,
    /// `_lora.down.weight`, `_lora.up.weight`: attention processors of the earliest diffusers.
    Processor,
    /// `.lora_linear_layer.down.weight`, `.lora_linear_layer.up.weight`: diffusers' text encoders.
    LinearLayer,
    /// `.alpha` and other keys that come with several of these.
    #[serde(skip)]
    Any,
}

impl Layout {
    /// The endings of the two factors.
    pub fn endings(self) -> [&'static str; 2] {
        let [a, b] = match self {
            Self::Peft => [".lora_A.weight", ".lora_B.weight"],
            Self::PeftNamed => [".lora_A.default.weight", ".lora_B.default.weight"],
            Self::Bare => [".lora_A", ".lora_B"],
            Self::Kohya => [".lora_down.weight", ".lora_up.weight"],
            Self::Diffusers => [".lora.down.weight", ".lora.up.weight"],
            Self::Processor => ["_lora.down.weight", "_lora.up.weight"],
            Self::LinearLayer => [".lora_linear_layer.down.weight", ".lora_linear_layer.up.weight"],
            Self::Any => ["", ""],
        };
        [a, b]
    }
}

/// What a key is of its module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    A,
    B,
    /// One number.
    Alpha,
    /// The middle factor of a convolution in three, or the magnitudes of a decomposed weight: the change is then no
    /// product of A and B alone.
    More,
}

const FACTORS: [Layout; 7] = [
    Layout::Peft,
    Layout::PeftNamed,
    Layout::Bare,
    Layout::Kohya,
    Layout::Diffusers,
    Layout::Processor,
    Layout::LinearLayer,
];

const OTHERS: [(&str, Part); 7] = [
    (".alpha", Part::Alpha),
    (".lora_alpha", Part::Alpha),
    (".lora_mid.weight", Part::More),
    (".dora_scale", Part::More),
    (".lora_magnitude_vector", Part::More),
    (".lora_magnitude_vector.weight", Part::More),
    (".lora_magnitude_vector.default.weight", Part::More),
];

/// The module that a key belongs to, and as what; none for keys of anything else.
pub(super) fn part_of(key: &str) -> Option<(&str, Layout, Part)> {
    let named = |module: Option<&'_ str>| module.is_some_and(|module| !module.is_empty());
    for layout in FACTORS {
        for (ending, part) in layout.endings().into_iter().zip([Part::A, Part::B]) {
            if let Some(module) = key.strip_suffix(ending).filter(|module| named(Some(module))) {
                return Some((module, layout, part));
            }
        }
    }
    OTHERS.into_iter().find_map(|(ending, part)| {
        let module = key.strip_suffix(ending).filter(|module| named(Some(module)))?;
        Some((module, Layout::Any, part))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_every_layout_are_taken_apart() {
        for (key, module, part) in [
            ("diffusion_model.a.0.attn1.to_q.lora_A.weight", "diffusion_model.a.0.attn1.to_q", Part::A),
            ("base_model.model.a.lora_B.default.weight", "base_model.model.a", Part::B),
            ("a.lora_B", "a", Part::B),
            ("lora_unet_a_0_to_out_0.lora_up.weight", "lora_unet_a_0_to_out_0", Part::B),
            ("unet.a.lora.down.weight", "unet.a", Part::A),
            ("a.processor.to_q_lora.up.weight", "a.processor.to_q", Part::B),
            ("text.q_proj.lora_linear_layer.down.weight", "text.q_proj", Part::A),
            ("lora_unet_a.alpha", "lora_unet_a", Part::Alpha),
            ("a.dora_scale", "a", Part::More),
        ] {
            let found = part_of(key).unwrap();
            assert_eq!((found.0, found.2), (module, part), "{key}");
        }
        for key in ["a.weight", ".lora_A.weight", "lora_A.weight.a", "", "a.hada_w1_a"] {
            assert_eq!(part_of(key), None, "{key}");
        }
    }
}
