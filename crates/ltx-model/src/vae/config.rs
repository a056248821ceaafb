//! The VAE's configuration, read from the checkpoint's metadata.

use serde_json::Value;
use tensor_batch::LATENT_CHANNELS;

use super::{
    ConvPadding, SpatialPadding,
    block_list::{ALL, BlockList, Network, SPACE, TIME},
};
use crate::{Checkpoint, ModelError, Setting, settings::Settings};

/// Channels of a picture.
pub(super) const RGB: usize = 3;

/// A block that moves pixels into channels (encoder) or back (decoder).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compression {
    /// Along time, height and width; 1 or 2 each.
    pub stride: [usize; 3],
    /// Channels in.
    pub inputs: usize,
    /// Channels out.
    pub width: usize,
    /// Whether a decoder's block adds its unfolded input. An encoder's block always has its own kind of skip.
    pub residual: bool,
}

impl Compression {
    /// Pixels that become one.
    pub fn fold(&self) -> usize {
        self.stride.iter().product()
    }
}

/// A block of the encoder or the decoder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VaeBlock {
    /// `res_x`.
    Res {
        /// Residual blocks in a row.
        num_layers: usize,
        /// Channels in and out.
        width: usize,
    },
    /// `compress_*`.
    Compress(Compression),
}

impl VaeBlock {
    /// Channels out.
    pub fn width(&self) -> usize {
        match self {
            Self::Res { width, .. } => *width,
            Self::Compress(block) => block.width,
        }
    }
}

/// The numbers in which the tiny and the real VAE differ, and the settings that older ones have differently.
#[derive(Debug, Clone, PartialEq)]
pub struct VaeConfig {
    /// Channels of a latent.
    pub latent_channels: usize,
    /// Side of the pixel patches that the first layer sees.
    pub patch_size: usize,
    /// Channels after the encoder's first convolution.
    pub encoder_base_channels: usize,
    /// The encoder's blocks, in the order of application.
    pub encoder_blocks: Vec<VaeBlock>,
    /// Channels after the encoder's last convolution: the latent's, and those of an unused variance.
    pub encoder_outputs: usize,
    /// Channels after the decoder's first convolution.
    pub decoder_inputs: usize,
    /// The decoder's blocks, in the order of application.
    pub decoder_blocks: Vec<VaeBlock>,
    /// Channels before the decoder's last convolution.
    pub decoder_base_channels: usize,
    /// Of every convolution of the encoder.
    pub encoder_padding: ConvPadding,
    /// Of every convolution of the decoder.
    pub decoder_padding: ConvPadding,
}

impl VaeConfig {
    /// Reads `config.vae` of a checkpoint.
    ///
    /// # Errors
    /// If the section is missing, or describes a VAE that is not implemented: every such setting is named.
    pub fn of(checkpoint: &Checkpoint) -> Result<Self, ModelError> {
        let section = checkpoint.section("vae")?;
        Self::read(section)
            .map_err(|settings| ModelError::Unsupported { path: checkpoint.path().to_owned(), settings })
    }

    /// LTX-2.3: 319 million parameters in the encoder, 407 million in the decoder.
    pub fn ltx_2_3() -> Self {
        let zeros = |causal| ConvPadding { causal, spatial: SpatialPadding::Zeros };
        let res = |num_layers, width| VaeBlock::Res { num_layers, width };
        let compress = |stride, inputs, width| {
            VaeBlock::Compress(Compression { stride, inputs, width, residual: false })
        };
        Self {
            latent_channels: LATENT_CHANNELS,
            patch_size: 4,
            encoder_base_channels: 128,
            encoder_blocks: vec![
                res(4, 128),
                compress(SPACE, 128, 256),
                res(6, 256),
                compress(TIME, 256, 512),
                res(4, 512),
                compress(ALL, 512, 1024),
                res(2, 1024),
                compress(ALL, 1024, 1024),
                res(2, 1024),
            ],
            encoder_outputs: LATENT_CHANNELS + 1,
            decoder_inputs: 1024,
            decoder_blocks: vec![
                res(2, 1024),
                compress(ALL, 1024, 512),
                res(2, 512),
                compress(ALL, 512, 512),
                res(4, 512),
                compress(TIME, 512, 256),
                res(6, 256),
                compress(SPACE, 256, 128),
                res(4, 128),
            ],
            decoder_base_channels: 128,
            encoder_padding: zeros(true),
            decoder_padding: zeros(false),
        }
    }

    fn read(section: &Value) -> Result<Self, Vec<Setting>> {
        let mut s = Settings::new("vae", section);
        require_implemented(&mut s);
        let latent_channels = s.count("latent_channels", LATENT_CHANNELS);
        let patch_size = s.count("patch_size", 4);
        let encoder_base_channels = s.count("encoder_base_channels", latent_channels);
        let decoder_base_channels = s.count("decoder_base_channels", 128);
        let encoder = BlockList::read(&mut s, Network::Encoder);
        let decoder = BlockList::read(&mut s, Network::Decoder);
        let encoder_blocks = encoder.encoder_blocks(&mut s, encoder_base_channels, patch_size);
        let (decoder_inputs, decoder_blocks) =
            decoder.decoder_blocks(&mut s, decoder_base_channels, patch_size);
        let config = Self {
            latent_channels,
            patch_size,
            encoder_base_channels,
            encoder_blocks,
            encoder_outputs: encoder_outputs(&mut s, latent_channels),
            decoder_inputs,
            decoder_blocks,
            decoder_base_channels,
            encoder_padding: ConvPadding {
                causal: true,
                spatial: spatial_padding(&mut s, "encoder_spatial_padding_mode", SpatialPadding::Zeros),
            },
            decoder_padding: ConvPadding {
                causal: s.flag("causal_decoder", false),
                spatial: spatial_padding(&mut s, "spatial_padding_mode", SpatialPadding::Reflect),
            },
        };
        let faults = s.faults();
        if faults.is_empty() { Ok(config) } else { Err(faults) }
    }
}

/// What older and newer VAEs have differently; the third value is what absence means.
fn require_implemented(s: &mut Settings) {
    s.require("_class_name", "CausalVideoAutoencoder", "CausalVideoAutoencoder");
    s.require("dims", 3, 3);
    s.require("in_channels", RGB, RGB);
    s.require("out_channels", RGB, RGB);
    s.require("norm_layer", "pixel_norm", "pixel_norm");
    s.require("timestep_conditioning", false, true);
    s.require("inject_noise", false, false);
}

fn encoder_outputs(s: &mut Settings, latent_channels: usize) -> usize {
    match s.get("latent_log_var").map_or(Some("uniform"), Value::as_str) {
        Some("uniform" | "constant") => latent_channels + 1,
        Some("per_channel") => 2 * latent_channels,
        Some("none") => latent_channels,
        _ => {
            s.refuse("latent_log_var", "uniform, constant, per_channel or none");
            latent_channels
        }
    }
}

fn spatial_padding(s: &mut Settings, key: &str, absent: SpatialPadding) -> SpatialPadding {
    match s.get(key).map(Value::as_str) {
        None => absent,
        Some(Some("zeros")) => SpatialPadding::Zeros,
        Some(Some("reflect")) => SpatialPadding::Reflect,
        Some(_) => {
            s.refuse(key, "zeros or reflect");
            absent
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The section of the real file, as far as it is known.
    fn published() -> Value {
        json!({
            "_class_name": "CausalVideoAutoencoder", "dims": 3, "in_channels": 3, "out_channels": 3,
            "latent_channels": 128,
            "encoder_blocks": [
                ["res_x", {"num_layers": 4}], ["compress_space_res", {"multiplier": 2}],
                ["res_x", {"num_layers": 6}], ["compress_time_res", {"multiplier": 2}],
                ["res_x", {"num_layers": 4}], ["compress_all_res", {"multiplier": 2}],
                ["res_x", {"num_layers": 2}], ["compress_all_res", {"multiplier": 1}],
                ["res_x", {"num_layers": 2}]
            ],
            "decoder_blocks": [
                ["res_x", {"num_layers": 4}], ["compress_space", {"multiplier": 2}],
                ["res_x", {"num_layers": 6}], ["compress_time", {"multiplier": 2}],
                ["res_x", {"num_layers": 4}], ["compress_all", {"multiplier": 1}],
                ["res_x", {"num_layers": 2}], ["compress_all", {"multiplier": 2}],
                ["res_x", {"num_layers": 2}]
            ],
            "norm_layer": "pixel_norm", "patch_size": 4, "latent_log_var": "uniform", "causal_decoder": false,
            "timestep_conditioning": false, "encoder_spatial_padding_mode": "zeros",
            "spatial_padding_mode": "zeros", "decoder_base_channels": 128, "of_no_concern": 1
        })
    }

    fn refused(change: impl FnOnce(&mut Value)) -> Vec<String> {
        let mut section = published();
        change(&mut section);
        VaeConfig::read(&section).unwrap_err().iter().map(Setting::to_string).collect()
    }

    #[test]
    fn the_published_configuration_is_ltx_2_3() {
        assert_eq!(VaeConfig::read(&published()), Ok(VaeConfig::ltx_2_3()));
    }

    #[test]
    fn a_bare_integer_is_a_number_of_layers() {
        let mut section = published();
        section["encoder_blocks"][0][1] = json!(4);
        section["decoder_blocks"][5] = json!(["compress_all", {}]);
        assert_eq!(VaeConfig::read(&section), Ok(VaeConfig::ltx_2_3()));
    }

    #[test]
    fn absent_settings_mean_an_older_vae() {
        let refused = refused(|section| {
            for key in
                ["timestep_conditioning", "spatial_padding_mode", "decoder_base_channels", "norm_layer"]
            {
                section.as_object_mut().unwrap().remove(key);
            }
        });
        assert_eq!(refused, ["vae.timestep_conditioning is absent, expected false"]);
        let mut section = published();
        section.as_object_mut().unwrap().remove("spatial_padding_mode");
        assert_eq!(VaeConfig::read(&section).unwrap().decoder_padding.spatial, SpatialPadding::Reflect);
    }

    #[test]
    fn everything_that_is_not_implemented_is_named_at_once() {
        let refused = refused(|section| {
            section["_class_name"] = json!("CausalDiffusionVAE");
            section["norm_layer"] = json!("group_norm");
            section["encoder_blocks"][2][1]["inject_noise"] = json!(true);
            section["encoder_blocks"][4][0] = json!("attn_res_x");
            section["encoder_blocks"][5][1] = json!({});
            section["spatial_padding_mode"] = json!("circular");
        });
        let keys: Vec<&str> = refused.iter().filter_map(|fault| fault.split(' ').next()).collect();
        let wanted = [
            "vae._class_name",
            "vae.norm_layer",
            "vae.encoder_blocks[2].inject_noise",
            "vae.encoder_blocks[4]",
            "vae.encoder_blocks[5].multiplier",
            "vae.spatial_padding_mode",
        ];
        assert_eq!(keys, wanted);
    }

    #[test]
    fn another_compression_or_an_impossible_width_is_refused() {
        let wrong = refused(|section| section["encoder_blocks"][7] = json!(["res_x", 2]));
        let told = "vae.encoder_blocks is 4 frames and 16 pixels to a cell, expected 8 frames and 32 pixels to a cell";
        assert_eq!(wrong, [told]);
        let wrong = refused(|section| section["encoder_blocks"][5][1]["multiplier"] = json!(3));
        assert!(wrong[0].starts_with("vae.encoder_blocks is"), "{wrong:?}");
        let empty = refused(|section| section["decoder_blocks"] = json!([]));
        assert_eq!(empty, ["vae.decoder_blocks is [], expected a list of blocks"]);
        let wide = refused(|section| section["decoder_blocks"][5][1]["multiplier"] = json!(1_000_000));
        assert!(wide[0].starts_with("vae.decoder_blocks is"), "{wide:?}");
    }

    #[test]
    fn ltx_2_3_has_the_published_number_of_parameters() {
        let conv = |inputs: usize, outputs: usize| outputs * (27 * inputs + 1);
        let network = |blocks: &[VaeBlock], outputs: fn(&Compression) -> usize| -> usize {
            let block = |block: &VaeBlock| match block {
                VaeBlock::Res { num_layers, width } => 2 * num_layers * conv(*width, *width),
                VaeBlock::Compress(block) => conv(block.inputs, outputs(block)),
            };
            blocks.iter().map(block).sum()
        };
        let config = VaeConfig::ltx_2_3();
        let encoder = network(&config.encoder_blocks, |block| block.width / block.fold());
        let decoder = network(&config.decoder_blocks, |block| block.width * block.fold());
        assert_eq!(conv(48, 128) + encoder + conv(1024, config.encoder_outputs), 318_936_897);
        assert_eq!(conv(128, config.decoder_inputs) + decoder + conv(128, 48), 407_169_072);
    }
}
