//! What the text path holds in memory at its highest, by arithmetic. Weights are as in the file, which is bf16;
//! what is computed is float32.

use super::{CONTEXT_TOKENS, ConnectorConfig, GemmaConfig};

const FLOAT: u64 = 4;
const STORED: u64 = 2;

/// The memory of encoding captions, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextMemory {
    /// Feature extractor and connector, which stay.
    pub weights: u64,
    /// One layer of Gemma; where matrices become float32 as a whole, with its largest.
    pub layer: u64,
    /// The hidden states of one caption.
    pub caption: u64,
    /// What the features and the context of one caption take besides.
    pub working: u64,
}

impl TextMemory {
    /// For captions of `tokens` tokens.
    ///
    /// `whole_weights` says that the device multiplies float32 matrices, into which a weight becomes whole for as long
    /// as it is used; the CPU widens a few rows.
    pub fn of(gemma: &GemmaConfig, connector: &ConnectorConfig, tokens: usize, whole_weights: bool) -> Self {
        let (hidden, inner) = (gemma.hidden_size as u64, gemma.intermediate_size as u64);
        let (states, width) = (gemma.hidden_states() as u64, connector.inner_dim() as u64);
        let heads = |heads: usize| (heads * gemma.head_dim) as u64;
        let (queries, keys) = (heads(gemma.num_attention_heads), heads(gemma.num_key_value_heads));
        let layer = 2 * hidden * queries + 2 * hidden * keys + 3 * hidden * inner;
        let projection = states * hidden * width;
        let blocks = connector.num_layers as u64 * 12 * width * width;
        let tokens = tokens as u64;
        let (caption, context) = (FLOAT * states * tokens * hidden, CONTEXT_TOKENS as u64 * width);
        // The normalised states, once as they were and once side by side; or a block of the connector: its input,
        // its norm, queries, keys and values before and after theirs, the result, and four times the width inside.
        let features = 2 * caption + if whole_weights { FLOAT * projection } else { 0 };
        let connected = FLOAT * 16 * context + if whole_weights { FLOAT * 4 * width * width } else { 0 };
        Self {
            weights: STORED * (projection + blocks),
            layer: STORED * layer + if whole_weights { FLOAT * hidden * inner } else { 0 },
            caption,
            working: features.max(connected),
        }
    }

    /// All of it with the states of `captions` captions in memory together.
    pub fn total(&self, captions: usize) -> u64 {
        // The layers are gone when the features are made.
        self.weights + captions as u64 * self.caption + self.layer.max(self.working)
    }
}
