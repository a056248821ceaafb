//! The transformer's configuration, read from the checkpoint's metadata.

use serde_json::Value;

use crate::{Checkpoint, ModelError, Setting, settings::Settings};

/// The numbers in which the tiny and the real transformer differ.
#[derive(Debug, Clone, PartialEq)]
pub struct TransformerConfig {
    /// Blocks.
    pub num_layers: usize,
    /// Attention heads, H.
    pub num_attention_heads: usize,
    /// Width of a head, d; the inner width D is H d.
    pub attention_head_dim: usize,
    /// Width of the text context.
    pub cross_attention_dim: usize,
    /// Latent channels in and out.
    pub in_channels: usize,
    /// Epsilon of every normalisation.
    pub norm_eps: f64,
    /// Base of the rotary frequencies.
    pub positional_embedding_theta: f64,
    /// Extent of time in seconds, and of height and width in pixels.
    pub positional_embedding_max_pos: [f64; 3],
    /// What sigma is multiplied with before its embedding.
    pub timestep_scale_multiplier: f64,
}

impl TransformerConfig {
    /// LTX-2.3, 22B: 13.1e9 parameters in the video stream.
    pub fn ltx_2_3() -> Self {
        Self {
            num_layers: 48,
            num_attention_heads: 32,
            attention_head_dim: 128,
            cross_attention_dim: 4096,
            in_channels: 128,
            norm_eps: 1e-6,
            positional_embedding_theta: 10_000.0,
            positional_embedding_max_pos: [20.0, 2048.0, 2048.0],
            timestep_scale_multiplier: 1000.0,
        }
    }

    /// Reads `config.transformer` of a checkpoint.
    ///
    /// # Errors
    /// If the section is missing, or belongs to another generation or variant: every differing setting is named.
    pub fn of(checkpoint: &Checkpoint) -> Result<Self, ModelError> {
        let section = checkpoint.section("transformer")?;
        Self::read(section)
            .map_err(|settings| ModelError::Unsupported { path: checkpoint.path().to_owned(), settings })
    }

    /// The inner width, D.
    pub fn inner_dim(&self) -> usize {
        self.num_attention_heads * self.attention_head_dim
    }

    fn read(section: &Value) -> Result<Self, Vec<Setting>> {
        let mut s = Settings::new("transformer", section);
        require_generation(&mut s);
        require_constants(&mut s);
        let real = Self::ltx_2_3();
        let config = Self {
            num_layers: s.count("num_layers", real.num_layers),
            num_attention_heads: s.count("num_attention_heads", real.num_attention_heads),
            attention_head_dim: s.count("attention_head_dim", real.attention_head_dim),
            cross_attention_dim: s.count("cross_attention_dim", real.cross_attention_dim),
            in_channels: s.count("in_channels", real.in_channels),
            norm_eps: s.positive("norm_eps", real.norm_eps),
            positional_embedding_theta: s
                .positive("positional_embedding_theta", real.positional_embedding_theta),
            positional_embedding_max_pos: s
                .positives("positional_embedding_max_pos", real.positional_embedding_max_pos),
            timestep_scale_multiplier: s
                .positive("timestep_scale_multiplier", real.timestep_scale_multiplier),
        };
        if !config.attention_head_dim.is_multiple_of(2) || config.inner_dim() < 12 {
            s.refuse("attention_head_dim", "even, and wide enough for two rotary frequencies an axis");
        }
        if config.in_channels != tensor_batch::LATENT_CHANNELS {
            s.refuse("in_channels", tensor_batch::LATENT_CHANNELS);
        }
        let faults = s.faults();
        if faults.is_empty() { Ok(config) } else { Err(faults) }
    }
}

/// What tells 2.3 from 2.0 and 2.5; the third value is what absence means.
fn require_generation(s: &mut Settings) {
    s.require("apply_gated_attention", true, false);
    s.require("cross_attention_adaln", true, false);
    s.require("caption_proj_before_connector", true, false);
    s.require("use_prompt_adaln_single", true, true);
    s.require("ff_bias", true, true);
    s.require("use_keyframes_abs_pos_embedding", false, false);
}

/// What every supported checkpoint has in common, and this code relies on.
fn require_constants(s: &mut Settings) {
    for key in
        ["caption_projection_first_linear", "caption_proj_input_norm", "caption_projection_second_linear"]
    {
        s.require(key, false, true);
    }
    for (key, wanted) in [
        ("rope_type", "split"),
        ("frequencies_precision", "float64"),
        ("activation_fn", "gelu-approximate"),
        ("qk_norm", "rms_norm"),
        ("standardization_norm", "rms_norm"),
        ("positional_embedding_type", "rope"),
    ] {
        s.require(key, wanted, wanted);
    }
    for key in ["use_middle_indices_grid", "attention_bias", "cross_attention_norm"] {
        s.require(key, true, true);
    }
    for key in [
        "norm_elementwise_affine",
        "use_linear_projection",
        "only_cross_attention",
        "double_self_attention",
        "upcast_attention",
        "share_ff",
    ] {
        s.require(key, false, false);
    }
    s.require("dropout", 0.0, 0.0);
    s.require("num_vector_embeds", Value::Null, Value::Null);
    s.require("out_channels", 128, 128);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn section() -> Value {
        json!({
            "num_layers": 4, "num_attention_heads": 4, "attention_head_dim": 32, "cross_attention_dim": 128,
            "apply_gated_attention": true, "cross_attention_adaln": true, "caption_proj_before_connector": true,
            "caption_projection_first_linear": false, "caption_proj_input_norm": false,
            "caption_projection_second_linear": false, "timestep_scale_multiplier": 1000.0, "surprise": [1, 2],
        })
    }

    #[test]
    fn absent_keys_take_the_published_values_and_unknown_ones_are_ignored() {
        let config = TransformerConfig::read(&section()).unwrap();
        assert_eq!(config.inner_dim(), 128);
        assert_eq!(config.positional_embedding_max_pos, [20.0, 2048.0, 2048.0]);
    }

    #[test]
    fn other_generations_are_refused_with_their_settings_named() {
        let mut two_five = section();
        two_five["ff_bias"] = json!(false);
        two_five["use_keyframes_abs_pos_embedding"] = json!(true);
        let faults = TransformerConfig::read(&two_five).unwrap_err();
        let keys: Vec<_> = faults.iter().map(|f| f.key.as_str()).collect();
        assert_eq!(keys, ["transformer.ff_bias", "transformer.use_keyframes_abs_pos_embedding"]);

        let two = json!({"num_layers": 48});
        let faults = TransformerConfig::read(&two).unwrap_err();
        assert!(faults.iter().any(|f| f.key == "transformer.apply_gated_attention" && f.found == "absent"));
        assert!(faults.iter().any(|f| f.key == "transformer.caption_proj_before_connector"));
    }
}
