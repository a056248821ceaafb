//! Gemma 3's configuration, in the old and the new form of its `config.json`.

use std::path::Path;

use serde_json::Value;

use crate::{ModelError, Setting, settings::Settings};

/// What a layer's queries see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayerType {
    /// Every earlier token.
    Full,
    /// The `sliding_window` latest tokens.
    Sliding,
}

/// The rotary embedding of one layer type.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GemmaRope {
    /// Base of the frequencies.
    pub theta: f64,
    /// What the frequencies are divided by.
    pub factor: f64,
}

/// The numbers in which text models of the Gemma 3 family differ.
#[derive(Debug, Clone, PartialEq)]
pub struct GemmaConfig {
    /// Width of the hidden states.
    pub hidden_size: usize,
    /// Width inside the feed-forward layers.
    pub intermediate_size: usize,
    /// Heads of the queries.
    pub num_attention_heads: usize,
    /// Heads of keys and values, each of which serves as many query heads.
    pub num_key_value_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Attention scores are divided by its square root.
    pub query_pre_attn_scalar: f64,
    /// Epsilon of every normalisation.
    pub rms_norm_eps: f64,
    /// How many tokens a sliding layer sees.
    pub sliding_window: usize,
    /// The type of each layer.
    pub layer_types: Vec<LayerType>,
    /// Of full layers.
    pub rope_full: GemmaRope,
    /// Of sliding layers.
    pub rope_sliding: GemmaRope,
}

impl GemmaConfig {
    /// Gemma 3, 12B, which LTX-2.3's text path is made for.
    pub fn gemma_3_12b() -> Self {
        let layer = |i: usize| if (i + 1).is_multiple_of(6) { LayerType::Full } else { LayerType::Sliding };
        Self {
            hidden_size: 3840,
            intermediate_size: 15_360,
            num_attention_heads: 16,
            num_key_value_heads: 8,
            head_dim: 256,
            query_pre_attn_scalar: 256.0,
            rms_norm_eps: 1e-6,
            sliding_window: 1024,
            layer_types: (0..48).map(layer).collect(),
            rope_full: GemmaRope { theta: 1e6, factor: 8.0 },
            rope_sliding: GemmaRope { theta: 1e4, factor: 1.0 },
        }
    }

    /// Reads `config.json` in `folder`, of the multimodal model or of the text model alone. Absent settings
    /// are those of the 12B model.
    ///
    /// # Errors
    /// If the file cannot be read or is no JSON, or asks for what is not implemented: every such setting is
    /// named.
    pub fn open(folder: &Path) -> Result<Self, ModelError> {
        let path = folder.join("config.json");
        let bytes = std::fs::read(&path).map_err(|source| ModelError::Io { path: path.clone(), source })?;
        let root: Value = serde_json::from_slice(&bytes)
            .map_err(|e| ModelError::Malformed { path: path.clone(), reason: e.to_string() })?;
        Self::read(&root).map_err(|settings| ModelError::Unsupported { path, settings })
    }

    /// How many hidden states the model gives: the embeddings and one for each layer.
    pub fn hidden_states(&self) -> usize {
        self.layer_types.len() + 1
    }

    /// The rotary embedding of a layer.
    pub fn rope(&self, layer: LayerType) -> GemmaRope {
        match layer {
            LayerType::Full => self.rope_full,
            LayerType::Sliding => self.rope_sliding,
        }
    }

    fn read(root: &Value) -> Result<Self, Vec<Setting>> {
        let (section, values) = match root.get("text_config") {
            Some(values) => ("text_config", values),
            None => ("config", root),
        };
        let mut s = Settings::new(section, values);
        require_family(&mut s);
        let (rope_full, rope_sliding) = ropes(&mut s, values);
        let config = Self {
            hidden_size: s.count("hidden_size", 3840),
            intermediate_size: s.count("intermediate_size", 15_360),
            num_attention_heads: s.count("num_attention_heads", 16),
            num_key_value_heads: s.count("num_key_value_heads", 8),
            head_dim: s.count("head_dim", 256),
            query_pre_attn_scalar: s.positive("query_pre_attn_scalar", 256.0),
            rms_norm_eps: s.positive("rms_norm_eps", 1e-6),
            sliding_window: s.count("sliding_window", 1024),
            layer_types: layer_types(&mut s),
            rope_full,
            rope_sliding,
        };
        if !config.num_attention_heads.is_multiple_of(config.num_key_value_heads) {
            s.refuse("num_key_value_heads", format!("a divisor of {}", config.num_attention_heads));
        }
        if !config.head_dim.is_multiple_of(2) {
            s.refuse("head_dim", "an even number");
        }
        let faults = s.faults();
        if faults.is_empty() { Ok(config) } else { Err(faults) }
    }
}

/// What other models and variants have and this code does not.
fn require_family(s: &mut Settings) {
    if !matches!(s.get("model_type").map(Value::as_str), None | Some(Some("gemma3" | "gemma3_text"))) {
        s.refuse("model_type", "gemma3 or gemma3_text");
    }
    s.require("hidden_activation", "gelu_pytorch_tanh", "gelu_pytorch_tanh");
    s.require("attention_bias", false, false);
    s.require("use_bidirectional_attention", false, false);
    s.require("attn_logit_softcapping", Value::Null, Value::Null);
    s.require("final_logit_softcapping", Value::Null, Value::Null);
}

/// `layer_types` where it is given, otherwise every `sliding_window_pattern`-th layer is full.
fn layer_types(s: &mut Settings) -> Vec<LayerType> {
    let layers = s.count("num_hidden_layers", 48);
    let Some(list) = s.get("layer_types") else {
        let old = s.count("_sliding_window_pattern", 6);
        let pattern = s.count("sliding_window_pattern", old);
        let full = |layer: usize| (layer + 1).is_multiple_of(pattern);
        return (0..layers).map(|i| if full(i) { LayerType::Full } else { LayerType::Sliding }).collect();
    };
    let named = |name: &Value| match name.as_str() {
        Some("full_attention") => Some(LayerType::Full),
        Some("sliding_attention") => Some(LayerType::Sliding),
        _ => None,
    };
    let types = list.as_array().and_then(|list| list.iter().map(named).collect::<Option<Vec<_>>>());
    types.filter(|types| types.len() == layers).unwrap_or_else(|| {
        s.refuse("layer_types", format!("full_attention or sliding_attention for each of {layers} layers"));
        Vec::new()
    })
}

/// The rotary embeddings of full and sliding layers.
fn ropes(s: &mut Settings, values: &Value) -> (GemmaRope, GemmaRope) {
    let full = GemmaRope { theta: s.positive("rope_theta", 1e6), factor: 8.0 };
    let sliding = GemmaRope { theta: s.positive("rope_local_base_freq", 1e4), factor: 1.0 };
    let new = |layer_type| values.get("rope_parameters").and_then(|parameters| parameters.get(layer_type));
    let full = rope("rope_scaling", values.get("rope_scaling"), full, s);
    (
        rope("rope_parameters.full_attention", new("full_attention"), full, s),
        rope("rope_parameters.sliding_attention", new("sliding_attention"), sliding, s),
    )
}

/// One section of rotary settings. Where it is given it says by itself whether frequencies are scaled:
/// `null`, like a `rope_type` of `default`, means that they are not.
fn rope(
    section: &'static str,
    values: Option<&Value>,
    absent: GemmaRope,
    faults: &mut Settings,
) -> GemmaRope {
    let Some(values) = values else { return absent };
    let mut s = Settings::new(section, values);
    let theta = s.positive("rope_theta", absent.theta);
    let kind = if s.get("rope_type").is_some() { "rope_type" } else { "type" };
    let factor = match s.get(kind).map(Value::as_str) {
        None => s.positive("factor", 1.0),
        Some(Some("default")) => 1.0,
        Some(Some("linear")) => s.positive("factor", absent.factor),
        Some(_) => {
            s.refuse(kind, "default or linear");
            1.0
        }
    };
    faults.extend(s.faults());
    GemmaRope { theta, factor }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn keys(root: &Value) -> Vec<String> {
        GemmaConfig::read(root).err().into_iter().flatten().map(|fault| fault.key).collect()
    }

    #[test]
    fn an_empty_text_config_is_the_12b_model() -> Result<(), Vec<Setting>> {
        let config = GemmaConfig::read(&json!({"model_type": "gemma3", "text_config": {}}))?;
        assert_eq!(config, GemmaConfig::gemma_3_12b());
        assert_eq!((config.hidden_size, config.intermediate_size, config.head_dim), (3840, 15_360, 256));
        assert_eq!((config.num_attention_heads, config.num_key_value_heads), (16, 8));
        assert_eq!(config.hidden_states(), 49);
        let full: Vec<_> = (0..48).filter(|i| config.layer_types[*i] == LayerType::Full).collect();
        assert_eq!(full, [5, 11, 17, 23, 29, 35, 41, 47]);
        assert_eq!(config.rope(LayerType::Full), GemmaRope { theta: 1e6, factor: 8.0 });
        assert_eq!(config.rope(LayerType::Sliding), GemmaRope { theta: 1e4, factor: 1.0 });
        Ok(())
    }

    #[test]
    fn old_and_new_forms_say_the_same() -> Result<(), Vec<Setting>> {
        let old = json!({
            "model_type": "gemma3_text", "num_hidden_layers": 4, "sliding_window_pattern": 2,
            "rope_theta": 5e5, "rope_local_base_freq": 2e4, "rope_scaling": {"type": "linear", "factor": 4},
        });
        let new = json!({"text_config": {
            "num_hidden_layers": 4,
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention", "full_attention"],
            "rope_parameters": {
                "full_attention": {"rope_type": "linear", "rope_theta": 5e5, "factor": 4.0},
                "sliding_attention": {"rope_type": "default", "rope_theta": 2e4},
            },
        }});
        let old = GemmaConfig::read(&old)?;
        assert_eq!(old, GemmaConfig::read(&new)?);
        assert_eq!(old.rope_full, GemmaRope { theta: 5e5, factor: 4.0 });
        Ok(())
    }

    #[test]
    fn null_means_unscaled_where_absence_means_the_default() -> Result<(), Vec<Setting>> {
        assert_eq!(GemmaConfig::read(&json!({"rope_scaling": null}))?.rope_full.factor, 1.0);
        assert_eq!(GemmaConfig::read(&json!({}))?.rope_full.factor, 8.0);
        Ok(())
    }

    #[test]
    fn everything_that_is_not_implemented_is_named() {
        let root = json!({"text_config": {
            "model_type": "gemma2", "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0,
            "attention_bias": true, "use_bidirectional_attention": true, "hidden_activation": "silu",
            "head_dim": 15, "num_key_value_heads": 3,
            "num_hidden_layers": 2, "layer_types": ["full_attention"],
            "rope_scaling": {"rope_type": "yarn", "factor": 8.0},
        }});
        let mut found = keys(&root);
        found.sort();
        assert_eq!(
            found,
            [
                "rope_scaling.rope_type",
                "text_config.attention_bias",
                "text_config.attn_logit_softcapping",
                "text_config.final_logit_softcapping",
                "text_config.head_dim",
                "text_config.hidden_activation",
                "text_config.layer_types",
                "text_config.model_type",
                "text_config.num_key_value_heads",
                "text_config.use_bidirectional_attention",
            ]
        );
    }
}
