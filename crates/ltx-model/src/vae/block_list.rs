//! The block lists of the VAE's configuration, and the widths that follow from them.

use serde_json::{Value, json};
use tensor_batch::{CELL_FRAMES, CELL_PIXELS};

use super::{Compression, VaeBlock};
use crate::settings::Settings;

pub(super) const SPACE: [usize; 3] = [1, 2, 2];
pub(super) const TIME: [usize; 3] = [2, 1, 1];
pub(super) const ALL: [usize; 3] = [2, 2, 2];

/// Wider layers are taken for a broken configuration.
const WIDEST: usize = 1 << 20;

/// Which of the two lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Network {
    Encoder,
    Decoder,
}

#[derive(Debug, Clone, Copy)]
enum Listed {
    Res { num_layers: usize },
    Compress { stride: [usize; 3], multiplier: usize, residual: bool },
}

/// A list in the order of application, without widths.
pub(super) struct BlockList {
    key: &'static str,
    blocks: Vec<Listed>,
}

impl BlockList {
    /// Reads `encoder_blocks` or `decoder_blocks`; the latter is written back to front.
    pub(super) fn read(s: &mut Settings, network: Network) -> Self {
        let key = match network {
            Network::Encoder => "encoder_blocks",
            Network::Decoder => "decoder_blocks",
        };
        let list = s.get(key).and_then(Value::as_array);
        let Some(entries) = list.filter(|entries| !entries.is_empty()) else {
            s.refuse(key, "a list of blocks");
            return Self { key, blocks: Vec::new() };
        };
        let mut entry = |(i, entry)| read_entry(s, &format!("{key}[{i}]"), entry, network);
        let blocks: Vec<Option<Listed>> = entries.iter().enumerate().map(&mut entry).collect();
        let mut blocks: Vec<Listed> = blocks.into_iter().collect::<Option<_>>().unwrap_or_default();
        if network == Network::Decoder {
            blocks.reverse();
        }
        Self { key, blocks }
    }

    /// The encoder's blocks behind `base` channels.
    pub(super) fn encoder_blocks(&self, s: &mut Settings, base: usize, patch_size: usize) -> Vec<VaeBlock> {
        self.require_factors(s, patch_size);
        let mut width = base;
        let blocks = self.blocks.iter().map(|listed| {
            let inputs = width;
            if let Listed::Compress { stride, multiplier, .. } = listed {
                width = widened(inputs, *multiplier)?;
                let fold: usize = stride.iter().product();
                // The convolution gives width / fold, the skip averages fold / multiplier channels.
                (width.is_multiple_of(fold) && fold.is_multiple_of(*multiplier)).then_some(())?;
            }
            Some(listed.with_widths(inputs, width))
        });
        let blocks: Option<Vec<VaeBlock>> = blocks.collect();
        blocks.unwrap_or_else(|| self.refuse_widths(s, base))
    }

    /// The decoder's blocks before `base` channels, and the channels before the first one.
    pub(super) fn decoder_blocks(
        &self,
        s: &mut Settings,
        base: usize,
        patch_size: usize,
    ) -> (usize, Vec<VaeBlock>) {
        self.require_factors(s, patch_size);
        let mut width = base;
        // Backwards, because `base` is the width at the end.
        let blocks = self.blocks.iter().rev().map(|listed| {
            let outputs = width;
            if let Listed::Compress { stride, multiplier, residual } = listed {
                width = widened(outputs, *multiplier)?;
                let fold: usize = stride.iter().product();
                let divides = width.is_multiple_of(fold) && fold.is_multiple_of(*multiplier);
                (divides || !residual).then_some(())?;
            }
            Some(listed.with_widths(width, outputs))
        });
        let blocks: Option<Vec<VaeBlock>> = blocks.collect();
        let mut blocks = blocks.unwrap_or_else(|| self.refuse_widths(s, base));
        blocks.reverse();
        (width, blocks)
    }

    /// The rest of the system relies on 8 frames and 32 pixels to a latent cell.
    fn require_factors(&self, s: &mut Settings, patch_size: usize) {
        let factor = |axis: usize| {
            let strides = self.blocks.iter().map(|listed| listed.stride()[axis]);
            strides.fold(1, usize::saturating_mul)
        };
        let found = [factor(0), factor(1).saturating_mul(patch_size)];
        let wanted = [CELL_FRAMES as usize, CELL_PIXELS as usize];
        if !self.blocks.is_empty() && found != wanted {
            let cell =
                |[frames, pixels]: [usize; 2]| format!("{frames} frames and {pixels} pixels to a cell");
            s.note(self.key, cell(found), cell(wanted));
        }
    }

    fn refuse_widths(&self, s: &mut Settings, base: usize) -> Vec<VaeBlock> {
        s.note(
            self.key,
            format!("for {base} channels"),
            "multipliers that divide the channels of each block",
        );
        Vec::new()
    }
}

impl Listed {
    fn stride(&self) -> [usize; 3] {
        match self {
            Self::Res { .. } => [1; 3],
            Self::Compress { stride, .. } => *stride,
        }
    }

    fn with_widths(self, inputs: usize, width: usize) -> VaeBlock {
        match self {
            Self::Res { num_layers } => VaeBlock::Res { num_layers, width },
            Self::Compress { stride, residual, .. } => {
                VaeBlock::Compress(Compression { stride, inputs, width, residual })
            }
        }
    }
}

fn widened(width: usize, multiplier: usize) -> Option<usize> {
    width.checked_mul(multiplier).filter(|width| *width <= WIDEST)
}

/// `["name", parameters]`, where a bare integer stands for the number of layers.
fn read_entry(s: &mut Settings, key: &str, entry: &Value, network: Network) -> Option<Listed> {
    let name = entry.get(0).and_then(Value::as_str).unwrap_or_default();
    let Some(kind) = kind_of(name, network) else {
        s.note(key, entry, "a residual or compressing block of this network, without attention");
        return None;
    };
    let parameters = match entry.get(1) {
        Some(number @ Value::Number(_)) => json!({ "num_layers": number }),
        Some(parameters) => parameters.clone(),
        None => Value::Null,
    };
    let mut block = Settings::new(format!("vae.{key}"), &parameters);
    block.require("inject_noise", false, false);
    let listed = match (kind, network) {
        (Kind::Res, _) => Listed::Res { num_layers: needed(&mut block, "num_layers") },
        (Kind::Compress(stride), Network::Encoder) => {
            Listed::Compress { stride, multiplier: needed(&mut block, "multiplier"), residual: false }
        }
        (Kind::Compress(stride), Network::Decoder) => {
            let residual = block.flag("residual", false);
            Listed::Compress { stride, multiplier: block.count("multiplier", 1), residual }
        }
    };
    let faults = block.faults();
    let sound = faults.is_empty();
    s.extend(faults);
    sound.then_some(listed)
}

enum Kind {
    Res,
    Compress([usize; 3]),
}

fn kind_of(name: &str, network: Network) -> Option<Kind> {
    let compression = match network {
        Network::Encoder => name.strip_suffix("_res").unwrap_or_default(),
        Network::Decoder => name,
    };
    match (name, compression) {
        ("res_x", _) => Some(Kind::Res),
        (_, "compress_space") => Some(Kind::Compress(SPACE)),
        (_, "compress_time") => Some(Kind::Compress(TIME)),
        (_, "compress_all") => Some(Kind::Compress(ALL)),
        _ => None,
    }
}

/// A count that has no default.
fn needed(block: &mut Settings, key: &str) -> usize {
    if block.get(key).is_none() {
        block.refuse(key, "a whole number above 0");
    }
    block.count(key, 1)
}
