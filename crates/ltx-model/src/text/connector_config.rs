//! The connector's configuration, from the checkpoint's metadata.

use serde_json::Value;

use crate::{Checkpoint, ModelError, Setting, settings::Settings};

/// The numbers in which connectors differ.
#[derive(Debug, Clone, PartialEq)]
pub struct ConnectorConfig {
    /// Attention heads, H.
    pub num_attention_heads: usize,
    /// Width of a head, d; the width D of features and context is H d.
    pub attention_head_dim: usize,
    /// Blocks.
    pub num_layers: usize,
    /// Extent of the positions.
    pub positional_embedding_max_pos: f64,
}

impl ConnectorConfig {
    /// LTX-2.3's, of the video stream.
    pub fn ltx_2_3() -> Self {
        Self {
            num_attention_heads: 32,
            attention_head_dim: 128,
            num_layers: 8,
            positional_embedding_max_pos: 4096.0,
        }
    }

    /// Reads the connector's part of `config.transformer`. The rest of the section may be absent.
    ///
    /// # Errors
    /// If the section is missing, or belongs to another variant of connector or feature extractor: every
    /// differing setting is named.
    pub fn of(checkpoint: &Checkpoint) -> Result<Self, ModelError> {
        let section = checkpoint.section("transformer")?;
        Self::read(section)
            .map_err(|settings| ModelError::Unsupported { path: checkpoint.path().to_owned(), settings })
    }

    /// The width of features and context, D.
    pub fn inner_dim(&self) -> usize {
        self.num_attention_heads * self.attention_head_dim
    }

    fn read(section: &Value) -> Result<Self, Vec<Setting>> {
        let mut s = Settings::new("transformer", section);
        require_variant(&mut s);
        let [positional_embedding_max_pos] = s.positives("connector_positional_embedding_max_pos", [1.0]);
        let config = Self {
            num_attention_heads: s.count("connector_num_attention_heads", 30),
            attention_head_dim: s.count("connector_attention_head_dim", 128),
            num_layers: s.count("connector_num_layers", 2),
            positional_embedding_max_pos,
        };
        if !config.attention_head_dim.is_multiple_of(2) {
            s.refuse("connector_attention_head_dim", "an even number");
        }
        let faults = s.faults();
        if faults.is_empty() { Ok(config) } else { Err(faults) }
    }
}

/// The feature extractor and connector of 2.3. In files of 2.0 these keys are absent.
fn require_variant(s: &mut Settings) {
    s.require("caption_proj_before_connector", true, Value::Null);
    for key in
        ["caption_projection_first_linear", "caption_proj_input_norm", "caption_projection_second_linear"]
    {
        s.require(key, false, Value::Null);
    }
    s.require("connector_apply_gated_attention", true, false);
    s.require("rope_type", "split", "split");
    s.require("frequencies_precision", "float64", "float32");
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn section() -> Value {
        json!({
            "caption_proj_before_connector": true, "caption_projection_first_linear": false,
            "caption_proj_input_norm": false, "caption_projection_second_linear": false,
            "connector_apply_gated_attention": true, "frequencies_precision": "float64",
        })
    }

    #[test]
    fn absent_numbers_have_their_own_defaults() -> Result<(), Vec<Setting>> {
        let config = ConnectorConfig::read(&section())?;
        assert_eq!((config.inner_dim(), config.num_layers), (3840, 2));
        assert_eq!(config.positional_embedding_max_pos, 1.0);
        Ok(())
    }

    #[test]
    fn every_setting_of_another_variant_is_named() {
        let faults = ConnectorConfig::read(&json!({})).unwrap_err();
        assert_eq!(faults.len(), 6, "{faults:?}");
        let mut section = section();
        section["caption_proj_input_norm"] = json!(true);
        section["rope_type"] = json!("interleaved");
        let keys: Vec<_> = ConnectorConfig::read(&section).unwrap_err().into_iter().map(|f| f.key).collect();
        assert_eq!(keys, ["transformer.caption_proj_input_norm", "transformer.rope_type"]);
    }
}
