//! The text path: caption to tokens to Gemma's hidden states to features to context.

mod connector;
mod connector_config;
mod encoder;
mod features;
mod gemma;
mod gemma_config;
mod gemma_layer;
mod memory;
mod shards;
mod tokenizer;

pub use connector::{Connector, ConnectorBlock};
pub use connector_config::ConnectorConfig;
pub use encoder::{CAPTIONS_AT_ONCE, CONTEXT_TOKENS, TextEncoder};
pub use features::{FeatureExtractor, normalise_states};
pub use gemma::Gemma;
pub use gemma_config::{GemmaConfig, GemmaRope, LayerType};
pub use memory::TextMemory;
pub use tokenizer::{Tokenizer, Tokens};
